"""The README's table of settings is the settings."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy"))

from settings_table import replace_table  # noqa: E402 - a script, found by the line above


def test_the_readme_lists_every_setting():
    readme = (ROOT / "README.md").read_text()
    assert replace_table(readme) == readme, "run `./run settings`"
