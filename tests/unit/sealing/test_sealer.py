"""What is sealed opens with its key in its context, and in no other way."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.sealing.keys import new_key, parse_key, split_keys
from libs.sealing.sealer import NoSealingKeyError, Sealer, UnsealError, key_id_of

OLD, NEW = (Sealer.from_texts([new_key()]) for _ in range(2))
keys = st.binary(min_size=32, max_size=32)
contexts = st.text(max_size=40)
plains = st.binary(max_size=200)


@given(plain=plains, context=contexts, key=keys)
def test_what_was_sealed_is_opened_again(plain: bytes, context: str, key: bytes) -> None:
    sealer = Sealer([key])
    sealed = sealer.seal(plain, context)
    assert sealer.open(sealed, context) == plain
    assert key_id_of(sealed) == sealer.newest_key_id
    assert sealer.seal(plain, context) != sealed


@given(plain=plains, context=contexts, where=st.integers(0, 9999), other=st.characters(codec="utf-8"))
@settings(max_examples=300)
def test_a_text_that_was_altered_anywhere_does_not_open(plain: bytes, context: str, where: int, other: str) -> None:
    # The text is another one each time: what is drawn must not depend on it.
    sealed = NEW.seal(plain, context)
    place = cut = where % len(sealed)
    if other == sealed[place]:
        other = "!"
    for altered in (sealed[:place] + other + sealed[place + 1 :], sealed[:cut], sealed + other):
        with pytest.raises(UnsealError):
            NEW.open(altered, context)


def test_every_other_last_letter_is_refused() -> None:
    """Of the last letter of base64 some bits mean nothing, so that several texts would decode to the same bytes."""
    sealed = NEW.seal(b"secret", "a")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
    for letter in set(alphabet) - {sealed[-1]}:
        with pytest.raises(UnsealError):
            NEW.open(sealed[:-1] + letter, "a")


@given(plain=plains, context=contexts, other=contexts)
def test_it_does_not_open_in_another_context(plain: bytes, context: str, other: str) -> None:
    if context == other:
        return
    with pytest.raises(UnsealError):
        NEW.open(NEW.seal(plain, context), other)


@given(text=st.text(max_size=80) | st.from_regex(r"v1\.[0-9a-f]{8}\.[A-Za-z0-9_-]{0,80}", fullmatch=True))
def test_any_text_that_was_not_sealed_is_unreadable_and_no_accident(text: str) -> None:
    with pytest.raises(UnsealError):
        NEW.open(text, "")


def test_the_newest_key_seals_and_all_open() -> None:
    old, new = new_key(), new_key()
    before, both, after = Sealer.from_texts([old]), Sealer.from_texts([new, old]), Sealer.from_texts([new])
    early, late = before.seal(b"x", "c"), both.seal(b"y", "c")
    assert (both.open(early, "c"), both.open(late, "c"), after.open(late, "c")) == (b"x", b"y", b"y")
    assert both.newest_key_id == after.newest_key_id
    with pytest.raises(UnsealError, match=f"the key {before.newest_key_id}, which is not among our 1"):
        after.open(early, "c")


def test_without_a_key_nothing_is_sealed_or_opened() -> None:
    nobody = Sealer([])
    assert nobody.newest_key_id is None
    with pytest.raises(NoSealingKeyError):
        nobody.seal(b"", "")
    with pytest.raises(NoSealingKeyError):
        nobody.digest(b"", "")
    with pytest.raises(UnsealError):
        nobody.open(NEW.seal(b"", ""), "")


@given(plain=plains, context=contexts)
def test_a_digest_tells_secrets_apart_and_is_nothing_without_the_key(plain: bytes, context: str) -> None:
    assert NEW.digest(plain, context) == NEW.digest(plain, context)
    assert NEW.digest(plain + b"x", context) != NEW.digest(plain, context)
    assert OLD.digest(plain, context) != NEW.digest(plain, context)


@given(key=keys)
def test_a_key_is_read_in_both_alphabets_with_and_without_padding(key: bytes) -> None:
    texts = [base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()]
    assert {parse_key(text) for text in (*texts, *(text.rstrip("=") for text in texts))} == {key}


@pytest.mark.parametrize("text", ["", "x", "hunter2!", "A" * 42, "A" * 44, "A" * 43 + "ä", "A A" * 15])
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"it is not base64|bytes and not 32") as caught:
        parse_key(text)
    assert not text or text not in str(caught.value)


def test_keys_stand_in_lines_or_between_commas() -> None:
    assert split_keys(" a\nb\r\n\nc , d,") == ("a", "b", "c", "d")
    assert split_keys(" \n") == ()
