"""Programs from outside that tests hold us against; tests/debian-packages.txt names their packages."""

import os
import shutil
import subprocess
from typing import NoReturn

import pytest


def installed(name: str) -> str:
    """Returns the path of a program. Without it a test is skipped, and in CI, which installs it, it fails."""
    path = shutil.which(name)
    if path is None:
        give_up(f"{name} is not installed; tests/debian-packages.txt names its package")
    return path


def program(name: str, version: str) -> str:
    """Returns the path of a program whose `--version` holds `version`, for instance `0.23.`; as `installed` does."""
    path = installed(name)
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=20)
    if f" {version}" not in done.stdout + done.stderr:
        give_up(f"{name} is another version than {version}: {(done.stdout + done.stderr).splitlines()[:1]}")
    return path


def give_up(said: str) -> NoReturn:
    """Skips a test that cannot run here; in CI, where it can, the test fails."""
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)
