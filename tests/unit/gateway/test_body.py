"""Strict bodies, without any server."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.exceptions import ClientException

from libs.model.interval import INTERVALS_S
from libs.model.refusal import Refusal, RefusalCode, RefusedError
from libs.sealing.sealer import Sealer
from services.gateway.body import decode
from services.gateway.native.shapes import CheckCreate, KeyCreate, MonitorCreate, MonitorPatch
from services.gateway.specs import Specs
from tests.unit.gateway.strictness import CHECKS, GOOD, KEYS, MONITORS, NOT_JSON

SPECS = Specs(Sealer([]), "t1")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def read(body: object, shape: type[Any] = MonitorCreate) -> Refusal | None:
    """Reads `body` as the handlers do, and returns why it was refused."""
    try:
        found = decode(msgspec.json.encode(body), shape)
        if isinstance(found, MonitorCreate):
            found.draft(SPECS)
        if isinstance(found, CheckCreate) and found.spec is not msgspec.UNSET:
            SPECS.new(found.spec)
    except RefusedError as error:
        return error.refusal
    return None


def refused(body: object, shape: type[Any]) -> tuple[str | None, str]:
    refusal = read(body, shape)
    assert refusal is not None
    assert refusal.code is RefusalCode.INVALID
    return refusal.field, refusal.detail


@pytest.mark.parametrize(("body", "field", "words"), MONITORS)
def test_a_monitor_that_is_not_as_described_is_refused_by_the_name_of_the_field(
    body: object, field: str, words: str
) -> None:
    blamed, detail = refused(body, MonitorCreate)
    assert blamed == field
    assert words in detail


@pytest.mark.parametrize(("body", "field", "words"), KEYS)
def test_a_key_that_is_not_as_described_is_refused_by_the_name_of_the_field(
    body: object, field: str, words: str
) -> None:
    blamed, detail = refused(body, KeyCreate)
    assert blamed == field
    assert words in detail


@pytest.mark.parametrize(("body", "field", "words"), CHECKS)
def test_a_check_that_is_not_as_described_is_refused_by_the_name_of_the_field(
    body: object, field: str, words: str
) -> None:
    blamed, detail = refused(body, CheckCreate)
    assert blamed == field
    assert words in detail


@pytest.mark.parametrize("raw", [*NOT_JSON, b"[" * 100_000, b'{"spec":' + b"[" * 100_000])
def test_what_is_not_json_is_malformed_and_not_invalid(raw: bytes) -> None:
    with pytest.raises((ClientException, RefusedError)) as caught:
        decode(raw, MonitorCreate)
    if isinstance(caught.value, ClientException):
        assert caught.value.status_code == 400


@pytest.mark.parametrize("interval_s", INTERVALS_S)
def test_every_offered_interval_is_taken_with_a_timeout_below_it(interval_s: int) -> None:
    draft = decode(msgspec.json.encode(GOOD | {"interval_s": interval_s}), MonitorCreate).draft(SPECS)
    assert 0 < draft.timeout_s <= 10
    assert draft.timeout_s < interval_s


def test_the_draft_carries_the_kind_the_target_and_the_spec_without_its_defaults() -> None:
    draft = decode(msgspec.json.encode(GOOD), MonitorCreate).draft(SPECS)
    assert (draft.kind, draft.target) == ("http", "http://example.org/")
    assert msgspec.json.decode(draft.spec) == GOOD["spec"]


def test_a_patch_names_only_what_it_changes() -> None:
    change = decode(b'{"enabled": false}', MonitorPatch).change(SPECS)
    assert msgspec.json.decode(msgspec.json.encode(change)) == {"enabled": False}


@pytest.mark.parametrize(
    ("body", "field"),
    [({"name": None}, "name"), ({"interval_s": 7}, "interval_s"), ({"interval_s": 10, "timeout_s": 20}, "timeout_s")],
)
def test_a_patch_is_as_strict_as_a_new_monitor(body: object, field: str) -> None:
    assert refused(body, MonitorPatch)[0] == field


def test_a_long_unknown_field_is_not_echoed_whole() -> None:
    field, detail = refused(GOOD | {"x" * 10_000: 1}, MonitorCreate)
    assert len(field or "") + len(detail) < 1000


@given(body=json_values | st.dictionaries(st.sampled_from([*GOOD, "timeout_s", "labels", "locations"]), json_values))
@settings(max_examples=300, deadline=None)
def test_whatever_json_comes_is_taken_or_refused(body: object) -> None:
    refusal = read(body)
    assert refusal is None or refusal.code is RefusalCode.INVALID


@given(
    spec=st.dictionaries(st.sampled_from(["kind", "url", "method", "headers", "body", "expect_status"]), json_values)
)
@settings(max_examples=300, deadline=None)
def test_whatever_spec_comes_is_taken_or_refused(spec: dict[str, Any]) -> None:
    refusal = read(GOOD | {"spec": GOOD["spec"] | spec})
    assert refusal is None or (refusal.field or "").startswith("spec")


@given(raw=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_whatever_bytes_come_are_refused_without_an_accident(raw: bytes) -> None:
    with pytest.raises((ClientException, RefusedError)):
        decode(raw, MonitorCreate)
