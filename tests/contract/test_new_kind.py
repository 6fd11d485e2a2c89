"""`./run new-kind` makes a kind that works and that every contract accepts."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy"))

from new_kind import create_kind  # noqa: E402 - a script, found by the line above


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    unwanted = shutil.ignore_patterns(".git", ".venv", ".vedette", "__pycache__", ".*_cache", "secrets", "bench-*.json")
    shutil.copytree(ROOT, tmp_path / "house", ignore=unwanted)
    return tmp_path / "house"


def run_module(root: Path, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_two_new_kinds_pass_their_own_tests_and_all_contracts(copied: Path):
    (copied / "deploy" / "secrets").mkdir()
    shutil.copy(ROOT / "deploy" / "secrets" / ".gitignore", copied / "deploy" / "secrets")
    for name in ("doorbell", "letterbox"):
        create_kind(name, copied)
    run_module(copied, "ruff", "format", "--check", "services", "tests/integration/doorbell")
    run_module(copied, "ruff", "check", "services", "tests/integration/doorbell")
    run_module(copied, "mypy", "services/doorbell")
    contracts = ("tests/contract/test_house.py", "tests/contract/test_containers.py", "tests/contract/test_imports.py")
    chosen = ("-k", "not broken_import")
    run_module(copied, "pytest", "-q", "-p", "no:cacheprovider", *contracts, "tests/integration/doorbell", *chosen)


@pytest.mark.parametrize("name", ["Ping", "my-kind", "1st", "a.b", "", "http", "ntp"])
def test_a_name_that_cannot_be_used_changes_nothing(copied: Path, name: str):
    before = (copied / "pyproject.toml").read_text()
    with pytest.raises(ValueError, match=r"cannot be a kind|exists already|is a URL scheme of kind"):
        create_kind(name, copied)
    assert (copied / "pyproject.toml").read_text() == before
