"""Names of modules, classes and functions in product code are free of the retired vocabulary."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
RETIRED = {
    "house",
    "room",
    "rooms",
    "tell",
    "tells",
    "stranger",
    "strangers",
    "keeper",
    "whoever",
    "nobody",
    "somebody",
    "anybody",
    "somewhere",
    "walk",
    "spoken",
    "heard",
    "story",
    "card",
    "ledger",
    "desk",
    "door",
    "mouth",
    "goodbye",
    "aside",
    "watching",
    "callers",
    "means",
    "fold",
    "folds",
    "turns",
    "words",
    "say",
    "says",
    "said",
}


def names() -> Iterator[tuple[Path, str]]:
    """Yields each module, class and function of product code with its file."""
    for folder in ("libs", "services", "deploy"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, path.stem
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    yield path, node.name


def parts(name: str) -> set[str]:
    """Returns the lower-case parts of a name in snake case or camel case."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def test_no_name_uses_a_retired_word() -> None:
    found = [f"{path.relative_to(ROOT)}: {name}" for path, name in names() if parts(name) & RETIRED]
    assert not found, "rename these in the terms of the field: " + ", ".join(found)


# Prose of product code and READMEs. `nobody` is a user of Unix where a module or a test of embedded servers names it.
RETIRED_PROSE = re.compile(
    r"\b(whoever|somebody|anybody|strangers?|the house|(?:results|only|core) rooms?|keepers?)\b", re.IGNORECASE
)


def prose() -> Iterator[Path]:
    """Yields the files whose text is checked: product code, and every README of it."""
    for folder in ("libs", "services", "deploy"):
        yield from sorted((ROOT / folder).rglob("*.py"))
        yield from sorted((ROOT / folder).rglob("*.md"))
    yield ROOT / "README.md"


def test_no_text_uses_retired_prose() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in prose()
        for match in RETIRED_PROSE.finditer(path.read_text())
    }
    assert not found, "say it in the terms of the field: " + ", ".join(sorted(found))
