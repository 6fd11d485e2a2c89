"""The keys of `vedette up`: made once, kept, and joined by those that were given."""

from pathlib import Path

import pytest

from libs.cli.up import _with_sealing_keys
from libs.process.errors import StartError
from libs.process.settings import Settings
from libs.sealing.keys import new_key


def test_a_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "sealing.keys"
    (key,) = _with_sealing_keys(Settings(), path).sealing_keys
    assert path.stat().st_mode & 0o777 == 0o600
    assert _with_sealing_keys(Settings(), path).sealing_keys == (key,)


def test_given_keys_come_first_and_those_of_the_file_still_open(tmp_path: Path) -> None:
    path, given = tmp_path / "sealing.keys", new_key()
    assert _with_sealing_keys(Settings(sealing_keys=(given,)), path).sealing_keys == (given,)
    assert not path.exists()
    kept = _with_sealing_keys(Settings(), path).sealing_keys
    assert _with_sealing_keys(Settings(sealing_keys=(given,)), path).sealing_keys == (given, *kept)


@pytest.mark.parametrize(("text", "words"), [("", "holds no key"), ("hunter2", "must hold base64")])
def test_a_file_without_keys_stops_the_start_and_is_not_replaced(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "sealing.keys"
    path.write_text(text)
    with pytest.raises(StartError, match=words):
        _with_sealing_keys(Settings(), path)
    assert path.read_text() == text
