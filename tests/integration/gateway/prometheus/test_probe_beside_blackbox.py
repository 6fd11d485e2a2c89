"""GET /probe compared with the real blackbox_exporter on the same targets: same series, equal values."""

import contextlib
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.http.__main__ import service as http
from tests.integration.gateway.conftest import StartGateway
from tests.support.client import Api
from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.programs import program
from tests.support.scrape import Series, probe, series
from tests.support.targets.certificates import Authority
from tests.support.targets.web import hangs_up, moved, page, routes, says, serving

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
OLD = b"HTTP/1.0 200 OK\r\nLast-Modified: nonsense\r\n\r\nabc"
CHANGED = page(b"hello", headers="Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"

# What we tell and blackbox_exporter does not: a certificate that was refused is still one that was seen.
ONLY_OURS = {
    "probe_ssl_earliest_cert_expiry",
    "probe_ssl_last_chain_expiry_timestamp_seconds",
    "probe_ssl_last_chain_info",
    "probe_tls_version_info",
}
# The body of an answer whose status is wrong is not read by us.
OPTIONAL_SERIES = "probe_http_uncompressed_body_length"


def is_duration(name: str) -> bool:
    return name in {"probe_duration_seconds", "probe_http_duration_seconds", "probe_dns_lookup_time_seconds"}


def without_durations(found: Series) -> Series:
    """Returns the series that two probes of one target must agree on to the last digit."""
    return {key: value for key, value in found.items() if not is_duration(key[0])}


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that both trust, and nothing else."""
    authority = Authority(tmp_path, above=Authority(tmp_path, "The root"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "The root.pem"))
    (no_roots := tmp_path / "no roots").mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(no_roots))
    return authority


@pytest.fixture
def blackbox(authority: Authority, tmp_path: Path) -> Iterator[Api]:
    """A running blackbox_exporter with one module that is as Debian ships it."""
    del authority  # it sets the roots that are trusted
    (tmp_path / "blackbox.yml").write_text("modules:\n  http_2xx:\n    prober: http\n")
    port = free_port()
    command = [
        program("prometheus-blackbox-exporter", "0.23."),
        f"--config.file={tmp_path}/blackbox.yml",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = Process("blackbox_exporter", command, log=tmp_path / "blackbox.log")
    process.start()
    try:
        process.wait_until(lambda: is_serving(port))
        yield Api(port)
    finally:
        process.terminate()


def is_serving(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/healthy", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextlib.asynccontextmanager
async def both_apis(start_gateway: StartGateway, blackbox: Api) -> AsyncIterator[tuple[Api, Api]]:
    async with start_gateway(http(), probe_allow=("127.0.0.0/8",)) as instance, instance.api("") as ours, blackbox:
        yield ours, blackbox


async def probe_both(apis: tuple[Api, Api], target: str, **query: str) -> tuple[Series, Series]:
    """Returns what we say and what blackbox_exporter says."""
    ours, theirs = [series(await probe(api, target, **query)) for api in apis]
    return ours, theirs


async def test_web_servers_have_the_same_series(start_gateway: StartGateway, blackbox: Api) -> None:
    answers = {"/ok": CHANGED, "/chunked": CHUNKED, "/old": OLD, "/empty": NO_CONTENT, "/moved": moved("/ok")}
    async with serving(routes(answers)) as port, both_apis(start_gateway, blackbox) as apis:
        for path in answers:
            ours, theirs = await probe_both(apis, f"127.0.0.1:{port}{path}", module="http_2xx")
            assert without_durations(ours) == without_durations(theirs), path
            assert ours.keys() == theirs.keys()
        ours, theirs = await probe_both(apis, f"http://127.0.0.1:{port}/missing")
        ours[OPTIONAL_SERIES, frozenset()] = theirs[OPTIONAL_SERIES, frozenset()]
        assert without_durations(ours) == without_durations(theirs)


async def test_dead_servers_have_the_same_series(start_gateway: StartGateway, blackbox: Api) -> None:
    async with serving(hangs_up) as port, both_apis(start_gateway, blackbox) as apis:
        for target in (f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}"):
            ours, theirs = await probe_both(apis, target)
            assert ours.keys() == theirs.keys()
            assert without_durations(ours) == without_durations(theirs)


async def test_certificates_have_the_same_series(
    start_gateway: StartGateway, blackbox: Api, authority: Authority
) -> None:
    good = authority.server("127.0.0.1", "localhost", "Shop.example", common_name="a shop, inc.")
    async with serving(says(page()), good) as port, both_apis(start_gateway, blackbox) as apis:
        for query in ({}, {"hostname": "localhost"}):
            ours, theirs = await probe_both(apis, f"https://127.0.0.1:{port}/", **query)
            assert theirs["probe_success", frozenset()] == 1
            assert ours.keys() == {lower_host_names(key) for key in theirs}
            assert without_durations(ours) == {
                lower_host_names(key): value for key, value in without_durations(theirs).items()
            }


def lower_host_names(key: tuple[str, frozenset[tuple[str, str]]]) -> tuple[str, frozenset[tuple[str, str]]]:
    """Returns the series with host names in lower case, as we tell them."""
    name, labels = key
    return name, frozenset((label, text.lower() if label == "subjectalternative" else text) for label, text in labels)


async def test_refused_certificates_have_the_same_series_and_more(
    start_gateway: StartGateway, blackbox: Api, authority: Authority
) -> None:
    expired, other = authority.server("127.0.0.1", days=(-9, -1)), authority.server("elsewhere.example")
    async with both_apis(start_gateway, blackbox) as apis:
        for context in (expired, other):
            async with serving(says(page()), context) as port:
                ours, theirs = await probe_both(apis, f"https://127.0.0.1:{port}/")
            assert theirs["probe_success", frozenset()] == 0
            assert {name for name, _ in ours.keys() - theirs.keys()} <= ONLY_OURS
            assert {key: ours[key] for key in without_durations(theirs)} == without_durations(theirs)


async def test_refusals_are_worded_alike(start_gateway: StartGateway, blackbox: Api) -> None:
    async with both_apis(start_gateway, blackbox) as apis:
        for query in ({"module": "nope", "target": "x"}, {"module": "http_2xx"}):
            ours, theirs = [await probe(api, None, **query) for api in apis]
            assert (ours.status, ours.body) == (theirs.status, theirs.body)
