"""Sealed values in specs of any shape: replaced, kept and hidden."""

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.model.fields import sealed_secrets
from libs.model.fields.sealed_secrets import SecretNotStoredError
from libs.model.spec import SecretPath

names = st.text(max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
specs = st.dictionaries(names, values, min_size=1, max_size=5)
SECRET = {"sealed": "v1.0a1b2c3d.SECRET", "for": "https://a.example"}


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def paths_of(value: object, before: SecretPath = ()) -> list[SecretPath]:
    if not isinstance(value, dict):
        return []
    return [path for name, item in value.items() for path in ((*before, name), *paths_of(item, (*before, name)))]


@st.composite
def specs_with_paths(draw: st.DrawFn, count: int = 2) -> tuple[dict[str, Any], list[SecretPath]]:
    """A spec, and places in it none of which is inside another."""
    spec = draw(specs)
    found: list[SecretPath] = []
    for path in draw(st.lists(st.sampled_from(paths_of(spec)), min_size=1, max_size=count)):
        if not any(path[: len(other)] == other or other[: len(path)] == path for other in found):
            found.append(path)
    return spec, found


def filled(spec: dict[str, Any], paths: list[SecretPath], value: object) -> dict[str, Any]:
    for path in paths:
        spec = sealed_secrets.with_value(spec, path, value)
    return spec


@given(specs_with_paths(), values)
def test_a_value_is_placed_where_it_belongs_and_nothing_else_moves(
    drawn: tuple[dict[str, Any], list[SecretPath]], value: object
) -> None:
    spec, paths = drawn
    before = msgspec.json.encode(spec)
    assert all(sealed_secrets.value_at(filled(spec, paths, value), path) == value for path in paths)
    assert msgspec.json.encode(spec) == before
    back = spec
    for path in paths:
        back = sealed_secrets.with_value(
            sealed_secrets.with_value(back, path, value), path, sealed_secrets.value_at(spec, path)
        )
    assert back == spec


@given(specs_with_paths())
def test_no_sealed_value_is_shown_wherever_it_stands(drawn: tuple[dict[str, Any], list[SecretPath]]) -> None:
    spec, paths = drawn
    shown = sealed_secrets.redact_spec(raw(filled(spec, paths, SECRET)))
    assert b"SECRET" not in bytes(shown)
    assert b"a.example" not in bytes(shown)
    assert msgspec.json.decode(shown) == filled(spec, paths, {"sealed": True})


@given(specs)
def test_a_spec_without_secrets_is_shown_as_it_is(spec: dict[str, Any]) -> None:
    assert msgspec.json.decode(sealed_secrets.redact_spec(raw(spec))) == spec


@given(specs_with_paths(), specs_with_paths())
def test_what_is_kept_is_what_was_stored(
    drawn: tuple[dict[str, Any], list[SecretPath]], other: tuple[dict[str, Any], list[SecretPath]]
) -> None:
    """The old spec has other options beside the same secrets."""
    spec, paths = drawn
    old = {**other[0], **{path[0]: spec[path[0]] for path in paths}}
    new = sealed_secrets.with_stored_secrets(
        raw(filled(spec, paths, sealed_secrets.REDACTED)), raw(filled(old, paths, SECRET)), paths, SECRET["for"]
    )
    assert msgspec.json.decode(new) == filled(spec, paths, SECRET)


@given(specs_with_paths(1), st.text(max_size=20))
def test_a_secret_is_not_kept_for_another_recipient(
    drawn: tuple[dict[str, Any], list[SecretPath]], recipient: str
) -> None:
    spec, paths = drawn
    assume(recipient != SECRET["for"])
    with pytest.raises(SecretNotStoredError, match=r"was given for https://a\.example") as caught:
        sealed_secrets.with_stored_secrets(
            raw(filled(spec, paths, sealed_secrets.REDACTED)), raw(filled(spec, paths, SECRET)), paths, recipient
        )
    assert "SECRET" not in str(caught.value)
    assert caught.value.path == paths[0]


@given(specs_with_paths(1), specs)
def test_what_is_not_stored_cannot_be_kept(drawn: tuple[dict[str, Any], list[SecretPath]], old: dict[str, Any]) -> None:
    spec, paths = drawn
    with pytest.raises(SecretNotStoredError, match="nothing is stored here"):
        sealed_secrets.with_stored_secrets(
            raw(filled(spec, paths, sealed_secrets.REDACTED)), raw(old), paths, SECRET["for"]
        )


@pytest.mark.parametrize(
    "value", [{"sealed": 1}, {"sealed": "true"}, {"sealed": True, "for": "x"}, {"sealed": None}, {}, True, "sealed"]
)
def test_only_one_form_means_kept(value: object) -> None:
    assert not sealed_secrets.is_redacted(value)
    assert sealed_secrets.is_redacted({"sealed": True})


@given(st.lists(st.text(max_size=5), min_size=4, max_size=6), st.lists(st.text(max_size=5), min_size=4, max_size=6))
def test_different_places_are_different_contexts(one: list[str], other: list[str]) -> None:
    texts = [
        sealed_secrets.sealing_context(parts[0], parts[1], tuple(parts[2:-1]), parts[-1]) for parts in (one, other)
    ]
    assert (texts[0] == texts[1]) == (one == other)
