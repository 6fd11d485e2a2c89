"""Query parameters, without a server."""

from datetime import UTC, datetime

import msgspec
import pytest

from libs.model.requests.errors import RequestError
from services.gateway.dialects.native import parameters
from services.gateway.dialects.native.schemas import MonitorPatch


@pytest.mark.parametrize(
    "text",
    ["2026-07-01T12:00:00Z", "2026-07-01T14:00:00+02:00", "2026-07-01T14:00:00 02:00", "2026-07-01t12:00:00.000z"],
)
def test_an_instant_is_read_with_any_offset(text: str) -> None:
    assert parameters.parse_instant("from", text) == datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "now", "2026-07-01", "2026-07-01T12:00:00", "0001-01-01T00:00:00+23:59", "1751371200"]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parameters.parse_instant("from", text)
    assert caught.value.info.field == "from"


def test_labels_are_split_at_the_first_colon_or_equals_sign() -> None:
    assert parameters.parse_labels(["a:b", "c=d", "url:http://x/?a=b", "empty:"]) == {
        "a": "b",
        "c": "d",
        "url": "http://x/?a=b",
        "empty": "",
    }


def test_the_digest_of_a_body_does_not_depend_on_how_it_was_written() -> None:
    bodies = [
        b'{"name": "a", "enabled": true}',
        b'{"enabled":true,"name":"\\u0061"}',
        b'{"name": "b", "enabled": true}',
    ]
    one, same, other = (
        parameters.make_idempotency("k", "v", msgspec.json.decode(body, type=MonitorPatch)) for body in bodies
    )
    assert one == same
    assert one != other
    assert parameters.make_idempotency(None, "v", MonitorPatch()) is None
