"""GET /probe for Prometheus, with the real prober of kind http and loopback targets."""

import asyncio
import base64
from pathlib import Path

import pytest

from libs.sealing import keys
from services.http.__main__ import service as http
from tests.integration.gateway.conftest import RunningGateway, StartGateway
from tests.integration.gateway.native.test_keys import create_key
from tests.support.client import Api
from tests.support.scrape import labels, plain, probe, series
from tests.support.target import serve_target
from tests.support.targets.certificates import Authority
from tests.support.targets.web import moved, page, routes, says, serving
from tests.support.wait import eventually

LOOPBACK = ("127.0.0.0/8",)
CHANGED = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


async def test_a_good_target_has_the_metrics_of_blackbox_exporter(start_gateway: StartGateway) -> None:
    site = serving(says(page(b"hello", headers=CHANGED)))
    async with site as port, start_gateway(http(), probe_allow=LOOPBACK) as instance, instance.api("") as api:
        found = series(await probe(api, f"127.0.0.1:{port}"))
    numbers = plain(found)
    assert {name: numbers[name] for name in numbers if not name.endswith("_seconds")} == {
        "probe_success": 1,
        "probe_ip_protocol": 4,
        "probe_ip_addr_hash": 3668918509,
        "probe_failed_due_to_regex": 0,
        "probe_http_status_code": 200,
        "probe_http_content_length": 5,
        "probe_http_uncompressed_body_length": 5,
        "probe_http_redirects": 0,
        "probe_http_ssl": 0,
        "probe_http_version": 1.1,
    }
    assert numbers["probe_http_last_modified_timestamp_seconds"] == 784111777
    phases = {name: value for (name, _), value in found.items() if name == "probe_http_duration_seconds"}
    assert sum(phases.values()) <= numbers["probe_duration_seconds"]
    assert numbers["probe_dns_lookup_time_seconds"] == 0


async def test_a_redirect_to_tls_reports_the_last_response_and_all_phases(
    start_gateway: StartGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    async with serving(says(page()), authority.server("127.0.0.1", "localhost")) as secure:
        way = says(moved(f"https://127.0.0.1:{secure}/"))
        async with (
            serving(way) as port,
            start_gateway(http(), probe_allow=LOOPBACK) as instance,
            instance.api("") as api,
        ):
            found = series(await probe(api, f"http://127.0.0.1:{port}/", module="http_2xx"))
    numbers = plain(found)
    assert (numbers["probe_success"], numbers["probe_http_redirects"], numbers["probe_http_ssl"]) == (1, 1, 1)
    assert numbers["probe_ssl_earliest_cert_expiry"] == numbers["probe_ssl_last_chain_expiry_timestamp_seconds"]
    assert labels(found, "probe_tls_version_info") == {"version": "TLS 1.3"}
    told = labels(found, "probe_ssl_last_chain_info")
    assert (told["subject"], told["issuer"]) == ("CN=127.0.0.1", "CN=Vedette test authority")
    assert told["subjectalternative"] == "localhost"
    assert found["probe_http_duration_seconds", frozenset({("phase", "tls")})] > 0


async def probe_series(api: Api, target: str, headers: dict[str, str] | None = None) -> dict[str, float]:
    """Returns what is said of a target; asks again when this machine was too busy to tell."""
    answer = await probe(api, target, headers)
    for _ in range(4):
        if answer.status == 200:
            break
        answer = await probe(api, target, headers)
    return plain(series(answer))


async def test_a_target_that_fails_is_a_good_scrape_without_success(start_gateway: StartGateway) -> None:
    async with serve_target() as site, start_gateway(http(), probe_allow=LOOPBACK) as instance, instance.api("") as api:
        site.fail()
        numbers = await probe_series(api, site.url())
        assert (numbers["probe_success"], numbers["probe_http_status_code"]) == (0, 500)
        await site.stop()
        numbers = await probe_series(api, site.url())
        assert (numbers["probe_success"], numbers["probe_http_status_code"]) == (0, 0)


async def test_a_silent_target_is_reported_within_the_scrape_timeout(start_gateway: StartGateway) -> None:
    async with serve_target() as site, start_gateway(http(), probe_allow=LOOPBACK) as instance, instance.api("") as api:
        site.hang()
        numbers = await probe_series(api, site.url(), {"x_prometheus_scrape_timeout_seconds": "1.5"})
        assert numbers["probe_success"] == 0
        assert numbers["probe_duration_seconds"] < 9  # what it would be by the default
        assert (await probe(api, site.url(), {"x_prometheus_scrape_timeout_seconds": "soon"})).status == 400


async def test_our_own_failure_is_no_scrape(start_gateway: StartGateway) -> None:
    async with start_gateway(http(), probe_allow=LOOPBACK) as instance, instance.api("") as api:
        # The address of cloud metadata is refused by this prober, which says nothing about the target.
        answer = await probe(api, "169.254.169.254")
        assert (answer.status, answer.body.startswith(b"Not probed: egress_refused. ")) == (503, True)
        shown = await probe(api, "169.254.169.254", debug="true")
        assert (shown.status, b"egress_refused" in shown.body) == (200, True)


async def test_without_a_prober_the_scrape_fails_within_its_time(start_gateway: StartGateway) -> None:
    async with start_gateway(probe_allow=LOOPBACK) as instance, instance.api("") as api:
        answer = await probe(api, "192.0.2.1", {"x_prometheus_scrape_timeout_seconds": "1"})
        assert answer.status == 504
        assert answer.body.startswith(
            b"Not probed: no prober of kind 'http' in location 'local' returned a result in time."
        )


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"module": "nope", "target": "x"}, 'Unknown module "nope"\n'),
        ({"module": "http_2xx"}, "Target parameter is missing\n"),
        ({"target": ""}, "Target parameter is missing\n"),
        ({"target": "http://user@host/"}, "http_2xx.url: must not hold credentials; there are options for them\n"),
        ({"target": "x", "hostname": "a b"}, "http_2xx.headers: the value of Host "),
    ],
)
async def test_what_cannot_be_probed_is_a_bad_request(
    start_gateway: StartGateway, query: dict[str, str], said: str
) -> None:
    async with start_gateway(probe_allow=LOOPBACK) as instance, instance.api("") as api:
        answer = await probe(api, None, **query)
        assert (answer.status, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
        assert answer.body.decode().startswith(said)


async def test_the_hostname_parameter_is_sent_to_the_target(start_gateway: StartGateway) -> None:
    seen: list[bytes] = []
    site = serving(routes({"/": page()}, seen))
    async with site as port, start_gateway(http(), probe_allow=LOOPBACK) as instance, instance.api("") as api:
        numbers = plain(series(await probe(api, f"127.0.0.1:{port}", hostname="shop.example")))
    assert numbers["probe_success"] == 1
    assert b"\r\nHost: shop.example\r\n" in seen[0]


async def test_debug_shows_why_and_keeps_the_options_to_itself(start_gateway: StartGateway, tmp_path: Path) -> None:
    (file := tmp_path / "modules.toml").write_text('[mine]\nkind = "http"\nheaders = { X-Api-Key = "s3cret" }\n')
    settings = {"probe_allow": LOOPBACK, "probe_modules_file": str(file), "sealing_keys": (keys.new_key(),)}
    async with serve_target() as site, start_gateway(http(), **settings) as instance, instance.api("") as api:
        answer = await probe(api, site.url(), module="mine", debug="true")
    shown = answer.body.decode()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Module mine: kind http, options: headers" in shown
    assert "Result: up, ok" in shown
    assert "\nprobe_success 1.0\n" in shown
    assert "s3cret" not in shown


def basic(key: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'prometheus:{key}'.encode()).decode()}"}


async def status_of(instance: RunningGateway, target: str, headers: dict[str, str]) -> int:
    async with instance.api("") as api:
        return (await probe(api, target, headers)).status


async def test_a_key_that_may_write_opens_the_way_as_bearer_and_as_password(start_gateway: StartGateway) -> None:
    async with serve_target() as site, start_gateway(http()) as instance, instance.api() as admin:
        reader = (await create_key(admin, "read"))["key"]
        assert await status_of(instance, site.url(), {}) == 401
        assert await status_of(instance, site.url(), {"authorization": f"Bearer {instance.key}"}) == 200
        assert await status_of(instance, site.url(), basic(instance.key)) == 200
        assert await status_of(instance, site.url(), {"authorization": f"Bearer {reader}"}) == 403
        assert await status_of(instance, site.url(), basic("vdt_wrong")) == 401
        assert site.hits["/"] == 2


async def test_many_scrapes_at_once_are_all_answered(start_gateway: StartGateway) -> None:
    async with serve_target() as site, start_gateway(http(), probe_allow=LOOPBACK) as instance:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(status_of(instance, site.url(f"/{n}"), {})) for n in range(200)]
        assert [task.result() for task in tasks] == [200] * 200
        assert site.hits.total() == 200


async def test_probes_beyond_the_limit_are_refused_immediately(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.dialects.prometheus.dialect.PROBES_MAX", 1)
    async with serve_target() as site, start_gateway(http(), probe_allow=LOOPBACK) as instance, instance.api("") as api:
        site.hang()

        async def asked() -> bool:
            return site.hits["/"] == 1

        async with asyncio.TaskGroup() as group:
            group.create_task(status_of(instance, site.url(), {"x_prometheus_scrape_timeout_seconds": "4"}))
            await eventually(asked, within_s=10, what="the first target is asked")
            answer = await probe(api, site.url())
            assert (answer.status, answer.body) == (503, b"Limit reached: 1 targets are being probed.\n")
        site.behave()
        assert (await probe_series(api, site.url()))["probe_success"] == 1


async def test_one_tenant_cannot_use_all_slots(start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.dialects.prometheus.dialect.PROBES_MAX", 2)
    async with serve_target() as site, start_gateway(http(), probe_allow=LOOPBACK) as instance, instance.api("") as api:
        site.hang()

        async def asked() -> bool:
            return site.hits["/"] == 1

        async with asyncio.TaskGroup() as group:
            group.create_task(status_of(instance, site.url(), {"x_prometheus_scrape_timeout_seconds": "4"}))
            await eventually(asked, within_s=10, what="the first target is asked")
            answer = await probe(api, site.url())
            assert (answer.status, answer.body) == (
                503,
                b"Limit reached: 1 targets are being probed for this tenant.\n",
            )
            keyed = {"authorization": f"Bearer {instance.key}", "x_prometheus_scrape_timeout_seconds": "1"}
            assert await status_of(instance, site.url(), keyed) == 200
