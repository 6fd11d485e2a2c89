"""Installed packages that one service needs, and those that its image does not.

The closure is computed over what is installed, so that there is one lock and no second list to keep equal to it.
"""

import argparse
import re
import sys
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path

_PROJECT = Path(__file__).parent / "pyproject.toml"
# Tools of the environment itself.
_ALWAYS_KEPT = frozenset({"pip"})
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?")


def required_packages(service: str, project: dict[str, object]) -> set[str]:
    """Returns the names of all packages that `service` needs, its dependencies' dependencies included."""
    section = project["project"]
    assert isinstance(section, dict)  # noqa: S101 - pyproject.toml's own shape
    installed = {_normalize(each.name): each for each in distributions()}
    waiting = [*section["dependencies"], *section["optional-dependencies"].get(service, [])]
    found: dict[str, set[str]] = {}
    while waiting:
        name, extras = _parse_requirement(waiting.pop())
        if name not in installed or (extras <= found.get(name, set()) and name in found):
            continue
        found[name] = found.get(name, set()) | extras
        waiting += _requirements(installed[name], found[name])
    return set(found)


def _requirements(distribution: Distribution, extras: set[str]) -> list[str]:
    """Returns what a package requires here; a marker for an extra counts when that extra is asked for."""
    wanted = []
    for text in distribution.requires or []:
        marker = text.partition(";")[2]
        asked = set(re.findall(r"extra\s*==\s*[\"']([^\"']+)", marker))
        if not asked or asked & extras:
            wanted.append(text)
    return wanted


def _parse_requirement(requirement: str) -> tuple[str, set[str]]:
    match = _REQUIREMENT.match(requirement)
    if match is None:
        raise ValueError(f"no requirement: {requirement!r}")
    return _normalize(match[1]), {extra.strip() for extra in (match[2] or "").split(",") if extra.strip()}


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service")
    parser.add_argument("--others", action="store_true", help="print the packages that are not needed")
    options = parser.parse_args()
    names = required_packages(options.service, tomllib.loads(_PROJECT.read_text(encoding="utf-8")))
    if options.others:
        names = {_normalize(each.name) for each in distributions()} - names - _ALWAYS_KEPT
    sys.stdout.writelines(f"{name}\n" for name in sorted(names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
