"""Whatever comes over HTTP is answered, with a status below 500, and errors are problems."""

import http.client
import json
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.gateway.conftest import House
from tests.integration.gateway.test_native_api import V2
from tests.unit.gateway.strictness import GOOD, KEY
from tests.unit.gateway.test_body import json_values

# Hypothesis watches the random module, which the house uses meanwhile in its own thread.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

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
    | st.dictionaries(st.sampled_from([*GOOD, *KEY, "labels", "timeout_s"]), json_values).map(
        lambda fields: msgspec.json.encode(GOOD | fields)
    )
)
several = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ask(home: House, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", home.port, timeout=20)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {home.key}", **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("content-type", ""), answer.read()
    finally:
        connection.close()


def check(status: int, kind: str, body: bytes) -> None:
    assert status < 500, body
    if status >= 400:
        assert kind == "application/problem+json"
        assert json.loads(body)["status"] == status


@given(
    method=st.sampled_from(["POST", "PATCH", "PUT"]),
    path=st.sampled_from(PATHS),
    body=bodies,
    headers=st.dictionaries(st.sampled_from([name for name in NAMES if name != "Expect"]), header_values),
)
@several
def test_no_body_and_no_header_makes_the_gateway_fail(
    served: House, method: str, path: str, body: bytes, headers: dict[str, str]
) -> None:
    check(*ask(served, method, V2 + path, body, {"Content-Type": "application/json", **headers}))


@given(query=st.lists(st.tuples(st.sampled_from(QUERY), st.text(max_size=20)), max_size=4), path=st.sampled_from(PATHS))
@several
def test_no_query_makes_the_gateway_fail(served: House, query: list[tuple[str, str]], path: str) -> None:
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
    check(*ask(served, "GET", f"{V2}{path}?{text}", b"", {}))


@given(path=st.binary(max_size=30), method=st.sampled_from(["GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "PROPFIND"]))
@several
def test_no_path_and_no_method_makes_the_gateway_fail(served: House, path: bytes, method: str) -> None:
    status, kind, body = ask(served, method, f"{V2}/{quote(path, safe='/')}", b"", {})
    if method == "HEAD":
        assert status < 500
        return
    check(status, kind, body)


@given(authorization=header_values)
@several
def test_no_authorization_header_makes_the_gateway_fail_or_let_in(served: House, authorization: str) -> None:
    status, kind, body = ask(served, "GET", f"{V2}/me", b"", {"Authorization": authorization})
    check(status, kind, body)
    assert status == 401
