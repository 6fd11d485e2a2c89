"""Writes the table of all settings into README.md, from the settings themselves."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from libs.process import wording  # noqa: E402 - found by the line above
from libs.process.settings import SECRETS, Settings, hints, variable  # noqa: E402

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def table() -> str:
    """Returns the rows, one for each setting."""
    lines = ["| Variable | Default | Meaning |", "|---|---|---|"]
    defaults = Settings()
    for name, kind in hints().items():
        also = f" (or `{variable(name)}_FILE`)" if name in SECRETS else ""
        default = _text(getattr(defaults, name))
        lines.append(f"| `{variable(name)}`{also} | {default} | {wording.description(kind)} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """Returns `text` with the table between its two marks."""
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"no {BEGIN} and {END} to write between")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _text(value: object) -> str:
    shown = (
        ",".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
    )
    return f"`{shown}`" if shown else ""


def main() -> int:
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
