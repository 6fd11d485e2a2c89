"""Fuzz test of /api/v1: every response is fast, in the envelope, not a 5xx, and reveals no internals."""

import http.client
import json
import random
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.gateway.conftest import RunningGateway
from tests.integration.gateway.second_tenant import second_tenant
from tests.support.fuzzing import ANSWER_S_MAX, FUZZ_S_MAX, RAW_V1, Insides, first_seed
from tests.unit.gateway.monitorozas.test_device import FLAGS, VALID_DEVICE

ROUTES = [
    *(("GET", "/me"), ("GET", "/devices"), ("POST", "/devices/create"), ("DELETE", "/devices/delete")),
    *(("GET", "/blacklist-monitors"), ("POST", "/blacklist-monitors/create"), ("DELETE", "/blacklist-monitors/delete")),
    *[("POST", "/devices/create")] * 8,
]
PATHS = [
    "",
    "/",
    "/devices",
    "/devices/31",
    "/devices/create/",
    "//",
    "/../api/v2/me",
    "/%2e%2e/%ff",
    "/me%00",
    "/devices?",
]
METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND"]
NAMES = [
    "Content-Type",
    "Accept",
    "Content-Encoding",
    "X-Forwarded-For",
    "Range",
    "Cookie",
    "Content-Language",
    "If-Match",
]
FIELDS = [
    *VALID_DEVICE,
    *FLAGS,
    "service_type",
    "scheme",
    "port",
    "host_header",
    "origin_host",
    "expect_status",
    "location",
]
TEXTS = [
    *(
        "",
        "x",
        "\0",
        "\ud800",
        "\u202e",
        "pelda.hu",
        "PÉLDA.hu.",
        "192.0.2.1",
        "::1",
        "[::1]:80",
        "http://pelda.hu/",
        "ssh",
    ),
    *(
        "web",
        "ping",
        "tcp",
        "https",
        "a" * 300,
        "xn--",
        "..",
        "%00",
        "'; DROP TABLE assets; --",
        "{{7*7}}",
        "1.2.3.4/8",
    ),
]
NUMBERS = [0, 1, -1, 80, 443, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308]


def random_value(dice: random.Random, depth: int = 0) -> Any:
    """Returns any JSON, more often something that a field might hold."""
    kind = dice.randrange(7)
    if kind < 3:
        return dice.choice(TEXTS)
    if kind < 5:
        return dice.choice([*NUMBERS, True, False, None])
    if depth > 3:
        return []
    inner = [random_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return inner if kind == 5 else {dice.choice(TEXTS): each for each in inner}


def random_body(dice: random.Random) -> bytes:
    """Returns what may be a good body, an almost good one, or noise."""
    kind = dice.randrange(10)
    if kind == 0:
        return dice.randbytes(dice.randrange(60))
    if kind == 1:
        return dice.choice([b"[", b'{"a":', b'"', b"-"]) * dice.choice([1, 1000, 100_000])
    fields = VALID_DEVICE | {"target_value": f"host{dice.randrange(10)}.pelda.hu"} if dice.random() < 0.9 else {}
    for name in dice.sample(FIELDS, dice.randrange(4)):
        fields[name] = random_value(dice)
    raw = json.dumps(fields, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
    if kind == 2:
        at = dice.randrange(len(raw))
        raw = raw[:at] + dice.randbytes(2) + raw[at + 1 :]
    return raw if kind > 3 else raw[: dice.randrange(len(raw) + 1)]


def random_route(dice: random.Random) -> tuple[str, str]:
    """Returns a method and a path with a query: mostly of one of our routes."""
    method, path = dice.choice(ROUTES)
    if dice.random() < 0.2:
        method = dice.choice(METHODS)
    if dice.random() < 0.2:
        path = dice.choice([*PATHS, "/" + quote(dice.randbytes(dice.randrange(20)), safe="/")])
    given = dice.choice([str(dice.randrange(1, 100)), str(random_value(dice))])
    query = f"?{dice.choice(['id', 'id', 'ID', ''])}={quote(given, errors='replace')}" if dice.random() < 0.6 else ""
    return method, f"/api/v1{path}{query}"


def random_headers(dice: random.Random, key: str) -> Iterator[tuple[str, bytes]]:
    """Yields header fields: mostly with the key in the right place."""
    if dice.random() < 0.85:
        yield "Authorization", f"Bearer {key}".encode()
    for name in dice.sample(["Authorization", *NAMES], dice.randrange(3)):
        noise = bytes(dice.choice([*range(32, 127), *range(128, 256)]) for _ in range(dice.randrange(30)))
        yield (
            name,
            dice.choice([noise, b"Bearer", b"Basic eDp5", b"application/json", b"text/plain; charset=\xff", b""]),
        )


def send_random(instance: RunningGateway, dice: random.Random) -> tuple[str, int, str, bytes]:
    """Returns the method of one request, and the status, content type and body of its answer."""
    (method, path), sent = random_route(dice), random_body(dice) if dice.random() < 0.9 else b""
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=ANSWER_S_MAX)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, content in random_headers(dice, instance.key):
            connection.putheader(name, content)
        connection.putheader("Content-Length", str(len(sent)))
        connection.endheaders(sent)
        answer = connection.getresponse()
        return method, answer.status, answer.headers.get("content-type", ""), answer.read()
    finally:
        connection.close()


def response_error(method: str, status: int, content_type: str, content: bytes) -> str | None:
    """Returns what is wrong with an answer."""
    if status >= 500:
        return "an error of the server"
    if method == "HEAD" or (method == "OPTIONS" and status == 204):
        return "a body" if content else None
    if content_type != "application/json":
        return f"it is {content_type}"
    answer = json.loads(content)
    if set(answer) != ({"success", "data"} if status < 400 else {"success", "error", "message"}):
        return "no envelope"
    if answer["success"] is not (status < 400):
        return "success is wrong"
    return "insides" if Insides().told(content.decode()) else None


@pytest.mark.timeout(FUZZ_S_MAX)
def test_whatever_is_sent_is_answered_in_the_envelope(served_gateway: RunningGateway) -> None:
    seen: Counter[int] = Counter()
    first = first_seed()
    with second_tenant(served_gateway) as check_blind:
        for seed in range(first, first + RAW_V1):
            method, status, content_type, content = send_random(served_gateway, random.Random(seed))
            wrong = response_error(method, status, content_type, content)
            assert wrong is None, f"request {seed}: {wrong}: {status} {content!r}"
            check_blind(content)
            seen[status] += 1
    assert seen.total() >= RAW_V1
    assert {200, 201, 400, 401, 404, 409} <= set(seen)  # else the requests are too far from good ones


INVALID_HTTP = [
    *(b"GET /api/v1/me HTTP/1.1\r\n\r\n", b"GET /api/v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00"),
    *(b"GET /api/v1/me HTTP/9.9\r\n\r\n", b"POST /api/v1/devices/create HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
    *(b"GET /api/v1/me HTTP/1.1\r\nA\x00B: c\r\n\r\n", b"GET /api/v1/me\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"),
    b"POST /api/v1/devices/create HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
]


def test_what_is_no_http_is_answered_or_hung_up_on(served_gateway: RunningGateway) -> None:
    for raw in INVALID_HTTP:
        with socket.create_connection(("127.0.0.1", served_gateway.port), timeout=ANSWER_S_MAX) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert not Insides().told(answer.decode("latin-1"))
        assert b" 500 " not in answer.partition(b"\r\n")[0]
