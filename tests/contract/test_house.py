"""The rules of the house that no linter knows."""

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.process.version import VERSION

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
CODE = ("libs", "services")

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 50
FUNCTION_LINES_MEDIAN_MAX = 10


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in path.parts)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yields each function with its lines, from the first of its head to the last of its body."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def service_folders() -> list[Path]:
    return sorted(path.parent for path in (ROOT / "services").glob("*/__main__.py"))


def extras() -> dict[str, list[str]]:
    return PROJECT["project"]["optional-dependencies"]


def test_no_file_is_longer_than_a_person_reads():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in python_files(*CODE, "tests")}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_no_function_is_longer_than_a_screen():
    lengths = dict(each for path in python_files(*CODE, "tests", "deploy") for each in functions(path))
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX} == {}


def test_the_median_function_is_short():
    lengths = [lines for path in python_files(*CODE) for _, lines in functions(path)]
    assert statistics.median(lengths) <= FUNCTION_LINES_MEDIAN_MAX


def test_every_service_says_what_it_is_in_a_readme():
    assert [folder.name for folder in service_folders() if not (folder / "README.md").exists()] == []


def test_every_kind_is_a_spec_a_probe_and_a_main():
    for spec in (ROOT / "services").glob("*/spec.py"):
        names = {path.name for path in spec.parent.iterdir()}
        assert {"__init__.py", "spec.py", "probe.py", "__main__.py", "README.md"} <= names


def test_every_service_has_an_extra_and_up_brings_them_all():
    names = {folder.name for folder in service_folders()}
    assert set(extras()) == names | {"up"}
    brought = re.search(r"vedette\[([^\]]+)\]", " ".join(extras()["up"]))
    assert brought is not None
    assert set(brought[1].split(",")) == names


def requirements() -> list[str]:
    groups = [PROJECT["project"]["dependencies"], *extras().values(), *PROJECT["dependency-groups"].values()]
    return [text for group in groups for text in group if not text.startswith("vedette[")]


@pytest.mark.parametrize("requirement", requirements())
def test_every_dependency_is_pinned_and_locked_at_that_version(requirement: str):
    match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[^\]]+\])?==([^ ;]+)(?: *;.*)?", requirement)
    assert match is not None, "pin it with =="
    assert re.search(rf"^{match[1].lower()}=={re.escape(match[2])} ", LOCK, re.MULTILINE), "run `./run lock`"


def test_everything_locked_has_a_hash_and_no_download_host():
    entries = re.findall(r"^([a-z0-9].*?)(?=^[a-z0-9]|\Z)", LOCK, re.MULTILINE | re.DOTALL)
    assert len(entries) > 20
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert [entry.splitlines()[0] for entry in entries if "==" not in entry.splitlines()[0]] == []
    assert "://" not in LOCK
    assert "--index" not in LOCK
    assert "--find-links" not in LOCK


def test_there_is_one_version():
    assert PROJECT["project"]["version"] == VERSION


def test_settings_are_read_in_one_place():
    """Whoever starts the process hands the environment over; only libs.process.settings looks into it."""
    readers = {
        str(path.relative_to(ROOT))
        for path in python_files(*CODE)
        if re.search(r"os\.(environ|getenv)", path.read_text())
    }
    assert readers <= {"libs/process/settings.py", "libs/process/run.py", "services/__main__.py"}
