"""Fuzz test of /api/v2: every response has a status below 500, and errors are problems."""

import http.client
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec
import pytest
from hypothesis import strategies as st

from tests.integration.gateway.conftest import RunningGateway
from tests.integration.gateway.native.test_native_api import V2
from tests.integration.gateway.second_tenant import second_tenant
from tests.support.fuzzing import ANSWER_S_MAX, DESCRIBED, FUZZ_S_MAX, RAW_V1, RAW_V2, TIMES, Insides, many
from tests.unit.gateway.invalid_bodies import VALID_KEY, VALID_MONITOR
from tests.unit.gateway.web.test_strict_body import json_values

# Hypothesis watches the random module, which the gateway uses at the same time in its own thread.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Do not use the `random` module"),
    pytest.mark.timeout(FUZZ_S_MAX),
]

PATHS = [
    "/monitors",
    "/monitors/x/results",
    "/keys",
    "/me",
    "/nothing",
    "/monitors/019b76da-a800-7c6e-9d5e-4a5d1f0c2b11",
]
NAMES = ["Content-Type", "Accept", "Idempotency-Key", "Last-Event-ID", "X-Forwarded-For", "Range", "Expect", "Cookie"]
QUERY = ["limit", "cursor", "label", "state", "kind", "from", "to", "name", "x"]

header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
bodies = (
    st.binary(max_size=100)
    | json_values.map(msgspec.json.encode)
    | st.dictionaries(st.sampled_from([*VALID_MONITOR, *VALID_KEY, "labels", "timeout_s"]), json_values).map(
        lambda fields: msgspec.json.encode(VALID_MONITOR | fields)
    )
)


class FuzzRequest(NamedTuple):
    """One request, with our key unless its headers say otherwise. `statuses` are those that it may be answered with."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    statuses: range = range(200, 500)


def fuzz(instance: RunningGateway, one: Callable[..., FuzzRequest], **strategies: st.SearchStrategy[object]) -> None:
    """Sends what `one` makes of each example, for its share of all, while nothing of another tenant may be seen."""
    insides = Insides()
    with second_tenant(instance) as check_blind:

        def sent(**example: object) -> None:
            asked = one(**example)
            insides.said(unquote(asked.path), asked.body.decode("utf-8", "replace"), *asked.headers.values())
            content = response_body(instance, asked)
            check_blind(content)
            assert not insides.told(content)

        many(RAW_V2 // 4, sent, **strategies)


def response_body(instance: RunningGateway, asked: FuzzRequest) -> str:
    """Returns the body of the answer, which is a problem if it is an error."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=ANSWER_S_MAX)
    try:
        headers = {"Authorization": f"Bearer {instance.key}", **asked.headers}
        connection.request(asked.method, f"{V2}{asked.path}", asked.body, headers)
        found = connection.getresponse()
        content = found.read().decode()
    finally:
        connection.close()
    assert found.status in asked.statuses, content
    if found.status >= 400 and asked.method != "HEAD":
        assert found.headers["content-type"] == "application/problem+json"
        assert json.loads(content)["status"] == found.status
    return content


def test_no_body_and_no_header_makes_the_gateway_fail(served_gateway: RunningGateway) -> None:
    def asked(method: str, path: str, body: bytes, headers: dict[str, str]) -> FuzzRequest:
        return FuzzRequest(method, path, body, {"Content-Type": "application/json", **headers})

    fuzz(
        served_gateway,
        asked,
        method=st.sampled_from(["POST", "PATCH", "PUT"]),
        path=st.sampled_from(PATHS),
        body=bodies,
        headers=st.dictionaries(st.sampled_from([name for name in NAMES if name != "Expect"]), header_values),
    )


def test_no_query_makes_the_gateway_fail(served_gateway: RunningGateway) -> None:
    def asked(query: list[tuple[str, str]], path: str) -> FuzzRequest:
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
        return FuzzRequest("GET", f"{path}?{text}")

    pairs = st.tuples(st.sampled_from(QUERY), st.text(max_size=20))
    fuzz(served_gateway, asked, query=st.lists(pairs, max_size=4), path=st.sampled_from(PATHS))


def test_no_path_and_no_method_makes_the_gateway_fail(served_gateway: RunningGateway) -> None:
    def asked(path: bytes, method: str) -> FuzzRequest:
        return FuzzRequest(method, f"/{quote(path, safe='/')}")

    methods = st.sampled_from(["GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "PROPFIND"])
    fuzz(served_gateway, asked, path=st.binary(max_size=30), method=methods)


def test_no_authorization_header_makes_the_gateway_fail_or_let_in(served_gateway: RunningGateway) -> None:
    def asked(authorization: str) -> FuzzRequest:
        return FuzzRequest("GET", "/me", headers={"Authorization": authorization}, statuses=range(401, 402))

    fuzz(served_gateway, asked, authorization=header_values)


def test_all_fuzzing_together_is_ten_thousand_requests() -> None:
    assert DESCRIBED + RAW_V2 + RAW_V1 >= 10_000 * TIMES
