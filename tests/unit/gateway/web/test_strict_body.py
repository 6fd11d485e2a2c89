"""Strict bodies, without a server."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.exceptions import ClientException

from libs.model.interval import INTERVALS_S
from libs.model.requests.errors import ErrorCode, ErrorInfo, RequestError
from libs.sealing.sealer import Sealer
from services.gateway.dialects.native.schemas import CheckCreate, KeyCreate, MonitorCreate, MonitorPatch
from services.gateway.spec_intake import SpecIntake
from services.gateway.web.strict_body import decode
from tests.unit.gateway.invalid_bodies import (
    INVALID_CHECKS,
    INVALID_JSON,
    INVALID_KEYS,
    INVALID_MONITORS,
    VALID_MONITOR,
)

SPECS = SpecIntake(Sealer([]), "t1")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def decode_body(body: object, shape: type[Any] = MonitorCreate) -> ErrorInfo | None:
    """Reads `body` as the handlers do, and returns why it was refused."""
    try:
        found = decode(msgspec.json.encode(body), shape)
        if isinstance(found, MonitorCreate):
            found.to_draft(SPECS)
        if isinstance(found, CheckCreate) and found.spec is not msgspec.UNSET:
            SPECS.accept(found.spec)
    except RequestError as error:
        return error.info
    return None


def refusal_of(body: object, shape: type[Any]) -> tuple[str | None, str]:
    refusal = decode_body(body, shape)
    assert refusal is not None
    assert refusal.code is ErrorCode.INVALID
    return refusal.field, refusal.detail


@pytest.mark.parametrize(("body", "field", "words"), INVALID_MONITORS)
def test_a_monitor_that_is_not_as_described_is_refused_by_the_name_of_the_field(
    body: object, field: str, words: str
) -> None:
    blamed, detail = refusal_of(body, MonitorCreate)
    assert blamed == field
    assert words in detail


@pytest.mark.parametrize(("body", "field", "words"), INVALID_KEYS)
def test_a_key_that_is_not_as_described_is_refused_by_the_name_of_the_field(
    body: object, field: str, words: str
) -> None:
    blamed, detail = refusal_of(body, KeyCreate)
    assert blamed == field
    assert words in detail


@pytest.mark.parametrize(("body", "field", "words"), INVALID_CHECKS)
def test_a_check_that_is_not_as_described_is_refused_by_the_name_of_the_field(
    body: object, field: str, words: str
) -> None:
    blamed, detail = refusal_of(body, CheckCreate)
    assert blamed == field
    assert words in detail


@pytest.mark.parametrize("raw", [*INVALID_JSON, b"[" * 100_000, b'{"spec":' + b"[" * 100_000])
def test_what_is_not_json_is_malformed_and_not_invalid(raw: bytes) -> None:
    with pytest.raises((ClientException, RequestError)) as caught:
        decode(raw, MonitorCreate)
    if isinstance(caught.value, ClientException):
        assert caught.value.status_code == 400


@pytest.mark.parametrize("interval_s", INTERVALS_S)
def test_every_offered_interval_is_taken_with_a_timeout_below_it(interval_s: int) -> None:
    draft = decode(msgspec.json.encode(VALID_MONITOR | {"interval_s": interval_s}), MonitorCreate).to_draft(SPECS)
    assert 0 < draft.timeout_s <= 10
    assert draft.timeout_s < interval_s


def test_the_draft_carries_the_kind_the_target_and_the_spec_without_its_defaults() -> None:
    draft = decode(msgspec.json.encode(VALID_MONITOR), MonitorCreate).to_draft(SPECS)
    assert (draft.kind, draft.target) == ("http", "http://example.org/")
    assert msgspec.json.decode(draft.spec) == VALID_MONITOR["spec"]


def test_a_patch_names_only_what_it_changes() -> None:
    change = decode(b'{"enabled": false}', MonitorPatch).to_change(SPECS)
    assert msgspec.json.decode(msgspec.json.encode(change)) == {"enabled": False}


@pytest.mark.parametrize(
    ("body", "field"),
    [({"name": None}, "name"), ({"interval_s": 7}, "interval_s"), ({"interval_s": 10, "timeout_s": 20}, "timeout_s")],
)
def test_a_patch_is_as_strict_as_a_new_monitor(body: object, field: str) -> None:
    assert refusal_of(body, MonitorPatch)[0] == field


def test_a_long_unknown_field_is_not_echoed_whole() -> None:
    field, detail = refusal_of(VALID_MONITOR | {"x" * 10_000: 1}, MonitorCreate)
    assert len(field or "") + len(detail) < 1000


@given(
    body=json_values
    | st.dictionaries(st.sampled_from([*VALID_MONITOR, "timeout_s", "labels", "locations"]), json_values)
)
@settings(max_examples=300, deadline=None)
def test_whatever_json_comes_is_taken_or_refused(body: object) -> None:
    refusal = decode_body(body)
    assert refusal is None or refusal.code is ErrorCode.INVALID


@given(
    spec=st.dictionaries(st.sampled_from(["kind", "url", "method", "headers", "body", "expect_status"]), json_values)
)
@settings(max_examples=300, deadline=None)
def test_whatever_spec_comes_is_taken_or_refused(spec: dict[str, Any]) -> None:
    refusal = decode_body(VALID_MONITOR | {"spec": VALID_MONITOR["spec"] | spec})
    assert refusal is None or (refusal.field or "").startswith("spec")


@given(raw=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_whatever_bytes_come_are_refused_without_an_accident(raw: bytes) -> None:
    with pytest.raises((ClientException, RequestError)):
        decode(raw, MonitorCreate)
