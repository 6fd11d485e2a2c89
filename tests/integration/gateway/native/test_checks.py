"""Checks on demand, with the real prober of kind http and a loopback target."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from services.http.__main__ import service as http
from tests.integration.gateway.conftest import StartGateway
from tests.integration.gateway.native.test_native_api import V2, check_problem
from tests.integration.gateway.native.test_stream import next_event
from tests.support.target import Target
from tests.support.wait import eventually


@contextlib.asynccontextmanager
async def target() -> AsyncIterator[Target]:
    made = Target()
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def spec(url: str) -> dict[str, Any]:
    return {"kind": "http", "url": url}


async def test_a_spec_is_checked_now_and_not_stored(start_gateway: StartGateway) -> None:
    async with target() as site, start_gateway(http()) as instance, instance.api() as api:
        found = await api.post(f"{V2}/checks", {"spec": spec(site.url("/a"))})
        assert (found["status"], found["reason"], found["origin"]) == ("up", "ok", "adhoc")
        assert found["monitor_id"] is None
        assert found["hops"][0]["target"] == site.url("/a")
        await site.stop()
        found = await api.post(f"{V2}/checks", {"spec": spec(site.url("/a")), "timeout_s": 5})
        assert (found["status"], found["reason"]) == ("down", "refused")
        assert (await api.get(f"{V2}/monitors"))["items"] == []


async def test_a_failed_result_is_stored_with_the_response_of_the_target(start_gateway: StartGateway) -> None:
    async with target() as site, start_gateway(http()) as instance, instance.api() as api:
        site.fail()
        body = {"name": "site", "interval_s": 86400, "spec": spec(site.url())}
        path = f"{V2}/monitors/{(await api.post(f'{V2}/monitors', body))['id']}/results"

        async def stored() -> bool:
            return bool((await api.get(path))["items"])

        assert await eventually(stored, within_s=10, what="the first check is stored")
        (hop,) = (await api.get(path))["items"][0]["hops"]
        assert hop["said"].startswith("HTTP/1.1 500 Internal Server Error\ncontent-length: 2\n")
        assert hop["said"].endswith("\n\nno")


async def test_a_monitor_is_checked_now_and_its_result_is_stored_and_streamed(start_gateway: StartGateway) -> None:
    async with target() as site, start_gateway(http()) as instance, instance.api() as api:
        body = {"name": "site", "interval_s": 86400, "spec": spec(site.url())}
        async with api.events(f"{V2}/results/stream") as events:
            path = f"{V2}/monitors/{(await api.post(f'{V2}/monitors', body))['id']}"
            assert (await next_event(events)).data["origin"] == "manual"  # the first check, which every monitor gets

            async def up() -> bool:
                return bool((await api.get(path))["state"]["status"] == "up")

            assert await eventually(up, within_s=10, what="the monitor is up")
            found = await api.post(f"{V2}/checks", {"monitor_id": path.rpartition("/")[2]})
            assert (found["status"], found["origin"], found["monitor_id"]) == ("up", "manual", path.rpartition("/")[2])

            async def stored() -> bool:
                items = (await api.get(f"{path}/results"))["items"]
                return found["tick_at"] in {item["tick_at"] for item in items}

            assert await eventually(stored, within_s=10, what="the result is stored")


async def test_a_paused_monitor_is_checked_without_moving_its_state(start_gateway: StartGateway) -> None:
    async with target() as site, start_gateway(http()) as instance, instance.api() as api:
        body = {"name": "site", "interval_s": 60, "enabled": False, "spec": spec(site.url())}
        monitor = await api.post(f"{V2}/monitors", body)
        found = await api.post(f"{V2}/checks", {"monitor_id": monitor["id"]})
        assert (found["status"], found["origin"]) == ("up", "adhoc")
        assert await api.get(f"{V2}/monitors/{monitor['id']}") == monitor
        assert site.hits["/"] == 1


async def test_a_silent_target_is_down_within_the_timeout_and_not_a_504(start_gateway: StartGateway) -> None:
    async with target() as site, start_gateway(http()) as instance, instance.api() as api:
        site.hang()
        found = await api.post(f"{V2}/checks", {"spec": spec(site.url()), "timeout_s": 0.5})
        assert found["status"] == "down"
        answer = await api.ask("POST", f"{V2}/checks", {"spec": spec(site.url()), "timeout_s": 0.5, "location": "moon"})
        check_problem(answer, 504)
