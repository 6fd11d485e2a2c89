"""READMEs name packages and files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = sorted(
    path.relative_to(ROOT)
    for folder in ("libs", "services", ".")
    for path in ((ROOT / folder).rglob("README.md") if folder != "." else [ROOT / "README.md"])
)


def packages() -> set[str]:
    folders = [path for name in ("libs", "services") for path in (ROOT / name).iterdir()]
    return {f"{path.parent.name}/{path.name}/" for path in folders if (path / "__init__.py").exists()}


def test_the_readme_lists_every_package_and_no_other() -> None:
    listed = re.findall(r"^\| `((?:libs|services)/\w+/)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(packages())


def test_the_glossary_has_at_most_twenty_terms() -> None:
    section = (ROOT / "README.md").read_text().split("### Glossary\n")[1].split("\n## ")[0]
    assert 0 < len(re.findall(r"^\| (?!Term )\w", section, re.MULTILINE)) <= 20


def exists(name: str, base: Path) -> bool:
    """Tells whether `name` is a path from the root, or ends the path of a file of the README's package or of the tests."""
    return (ROOT / name).exists() or any(any(folder.rglob(name)) for folder in (base, ROOT / "libs", ROOT / "tests"))


@pytest.mark.parametrize("readme", READMES, ids=str)
def test_files_named_in_a_readme_exist(readme: Path) -> None:
    text = (ROOT / readme).read_text()
    named = set(re.findall(r"`((?:[\w.]+/)*\w+\.py)(?:: ?\w+)?`", text))
    missing = [name for name in sorted(named) if "NAME" not in name and not exists(name, (ROOT / readme).parent)]
    assert missing == [], "no such file"


@pytest.mark.parametrize("readme", READMES, ids=str)
def test_links_between_readmes_lead_to_headings(readme: Path) -> None:
    base = (ROOT / readme).parent
    for link in re.findall(r"\]\(([^)]+)\)", (ROOT / readme).read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (base / path) if path else (ROOT / readme)
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, link
