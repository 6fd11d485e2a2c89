"""Programs from outside that tests hold us against; tests/debian-packages.txt names their packages."""

import os
import shutil

import pytest


def program(name: str) -> str:
    """Returns the path of a program. Without it a test is skipped, and in CI, which installs it, it fails."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin")
    if path is not None:
        return path
    said = f"{name} is not installed; tests/debian-packages.txt names its package"
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)
