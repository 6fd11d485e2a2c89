"""Each kind's README is the kind: every option and every reason of its spec is told there."""

import importlib
import inspect
from enum import StrEnum
from pathlib import Path

import pytest

from libs.kinds.registry import kinds


def reasons(name: str) -> list[StrEnum]:
    """Returns the reasons that a kind adds to those that all share."""
    module = importlib.import_module(f"services.{name}.spec")
    own = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    return [word for each in own if issubclass(each, StrEnum) and each.__name__.endswith("Reason") for word in each]


@pytest.mark.parametrize("name", kinds())
def test_the_readme_tells_every_option_and_every_reason(name: str) -> None:
    spec = kinds()[name]
    readme = Path(inspect.getfile(spec)).with_name("README.md").read_text()
    untold = {word for word in (*reasons(name), *spec.__struct_fields__) if f"`{word}`" not in readme}
    assert not untold


@pytest.mark.parametrize("name", kinds())
def test_reasons_are_their_names(name: str) -> None:
    assert all(reason.value == reason.name.lower() for reason in reasons(name))
