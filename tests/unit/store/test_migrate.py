from pathlib import Path

import pytest

from libs.store.core.migrate import Migration, MigrationError, migrations, pending

ONE = Migration(1, "001_one.sql", "SELECT 1")
TWO = Migration(2, "002_two.sql", "-- no-transaction\nSELECT 2")


def test_what_is_not_applied_is_pending_in_order() -> None:
    assert pending([ONE, TWO], {}) == [ONE, TWO]
    assert pending([ONE, TWO], {1: ONE.sha256}) == [TWO]
    assert pending([ONE, TWO], {1: ONE.sha256, 2: TWO.sha256}) == []


def test_a_changed_file_is_refused_by_its_name() -> None:
    with pytest.raises(MigrationError, match=r"001_one\.sql was changed"):
        pending([ONE, TWO], {1: "0" * 64})


def test_a_newer_database_is_refused_with_its_version() -> None:
    with pytest.raises(MigrationError, match="migration 003, which this version does not know"):
        pending([ONE, TWO], {1: ONE.sha256, 2: TWO.sha256, 3: "0" * 64})


def test_only_a_file_that_says_so_runs_outside_a_transaction() -> None:
    assert ONE.transactional
    assert not TWO.transactional


def test_files_are_read_in_order_of_their_number(tmp_path: Path) -> None:
    for name in ("002_b.sql", "001_a.sql"):
        (tmp_path / name).write_text("SELECT 1")
    (tmp_path / "README.md").write_text("not a migration")
    assert [each.name for each in migrations(tmp_path)] == ["001_a.sql", "002_b.sql"]


@pytest.mark.parametrize("names", [["001_a.sql", "003_c.sql"], ["001_a.sql", "001_b.sql"], ["one.sql"], ["001_A.sql"]])
def test_a_gap_a_double_or_a_strange_name_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError):
        migrations(tmp_path)


def test_our_own_files_are_in_order() -> None:
    assert migrations()[0].name == "001_foundation.sql"
