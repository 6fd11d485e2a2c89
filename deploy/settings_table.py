"""Generator of the table of settings in README.md."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from libs.process import type_descriptions  # noqa: E402 - found by the line above
from libs.process.settings import SECRET_SETTINGS, Settings, env_name, setting_types  # noqa: E402

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def render_table() -> str:
    """Returns the rows, one for each setting."""
    lines = ["| Variable | Default | Meaning |", "|---|---|---|"]
    defaults = Settings()
    for name, kind in setting_types().items():
        also = f" (or `{env_name(name)}_FILE`)" if name in SECRET_SETTINGS else ""
        default = _format_default(getattr(defaults, name))
        lines.append(f"| `{env_name(name)}`{also} | {default} | {type_descriptions.description(kind)} |")
    return "\n".join(lines)


def replace_table(text: str) -> str:
    """Returns `text` with the table between its two marks."""
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"no {BEGIN} and {END} to write between")
    return f"{before}{BEGIN}\n{render_table()}\n{END}{after}"


def _format_default(value: object) -> str:
    shown = (
        ",".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
    )
    return f"`{shown}`" if shown else ""


def main() -> int:
    readme = ROOT / "README.md"
    readme.write_text(replace_table(readme.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
