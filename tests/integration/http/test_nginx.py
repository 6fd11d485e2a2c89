"""Compatibility with nginx, the most common server: HTTP/2 works, and its error log stays empty."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from libs.model.outcome import Outcome, Status
from services.http.spec import HttpReason, HttpSpec
from tests.support.nginx import PAGE, Nginx, nginx
from tests.support.targets.probing import check_probe


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as served:
        yield served


async def probe(served: Nginx, path: str = "/", port: int = 0, **options: object) -> Outcome:
    url = f"https://127.0.0.1:{port or served.both}{path}"
    spec = msgspec.convert({"kind": "http", "url": url, **options}, HttpSpec)
    return await check_probe(spec, ca_file=served.ca_file)


def versions(outcome: Outcome) -> list[tuple[object, object]]:
    return [(hop.facts["http_version"], hop.facts["tls_alpn"]) for hop in outcome.hops]


async def test_a_large_page_comes_over_http_2(served: Nginx) -> None:
    outcome = await probe(served, http_version="2", body_contains=["789"])
    assert outcome.status is Status.UP, outcome
    assert outcome.samples["body_bytes"] == len(PAGE)
    assert versions(outcome) == [("2", "h2")]


@pytest.mark.parametrize("version", ["any", "1.1"])
async def test_the_version_is_the_best_common_one(served: Nginx, version: str) -> None:
    both = await probe(served, http_version=version)
    old = await probe(served, port=served.old, http_version=version)
    assert versions(both) == [("2", "h2") if version == "any" else ("1.1", "http/1.1")]
    assert versions(old) == [("1.1", "http/1.1")]
    assert both.status is old.status is Status.UP


async def test_a_server_without_http_2_sends_an_alert(served: Nginx) -> None:
    outcome = await probe(served, port=served.old, http_version="2")
    assert (outcome.status, outcome.reason) == (Status.DOWN, HttpReason.HTTP_VERSION)
    assert "no application protocol" in outcome.detail


async def test_the_request_arrives_unchanged(served: Nginx) -> None:
    options: dict[str, object] = {"method": "POST", "body": "ä" * 65536, "headers": {"Host": "b.example", "X-A": "ü"}}
    options["server_name"] = "127.0.0.1"
    outcome = await probe(served, "/said", http_version="2", **options, body_contains=["POST b.example ü HTTP/2.0"])
    assert outcome.status is Status.UP, outcome


async def test_redirects_codings_and_head_requests_work(served: Nginx) -> None:
    packed = await probe(served, headers={"Accept-Encoding": "gzip"}, body_contains=["789"])
    assert packed.samples["decoded_bytes"] == len(PAGE) > packed.samples["body_bytes"]
    moved = await probe(served, "/moved", body_contains=["GET"])
    bare = await probe(served, method="HEAD")
    assert (moved.status, bare.status) == (Status.UP, Status.UP)
    assert versions(moved) == [("2", "h2")] * 2


async def test_a_goaway_before_the_response_is_up(served: Nginx) -> None:
    assert (await probe(served, "/last", body_contains=["Hello"])).status is Status.UP


async def test_the_error_log_stays_empty(tmp_path: Path) -> None:
    with nginx(tmp_path) as own:
        assert (await probe(own)).status is Status.UP
        assert (await probe(own, "/said")).status is Status.UP
    assert [line for line in own.errors.splitlines() if "HTTP/2 connection" in line] == []
