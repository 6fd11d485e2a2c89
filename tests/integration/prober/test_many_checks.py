"""Concurrent checks: bounded, independent, none lost when a prober or the server stops."""

import asyncio

from libs.bus import provisioning
from libs.bus.connection import Bus
from libs.model.outcome import Outcome, Status
from tests.integration.prober.conftest import RESULTS_BYTES, UP, FakeProbe, FakeSpec, ProberHarness, running_prober
from tests.support.servers import NatsServer


class HangingProbe:
    """Probe that blocks for targets named slow-* until they are released."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.at_once = 0
        self.at_once_max = 0

    async def __call__(self, spec: FakeSpec) -> Outcome:
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            if spec.name.startswith("slow"):
                await self.let_go.wait()
            return UP
        finally:
            self.at_once -= 1


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


async def test_healthy_checks_finish_while_slow_ones_hang(bus: Bus, probe: FakeProbe) -> None:
    probe.answer = hanging = HangingProbe()
    stage = ProberHarness(bus, probe)
    async with running_prober(bus, probe):
        slow, healthy = names("slow", 50), names("ok", 950)
        mixed = [name for place in range(50) for name in (slow[place], *healthy[place * 19 : place * 19 + 19])]
        await stage.publish_checks(*mixed, timeout_s=60)
        results = await stage.results(950)
        assert {result.monitor_id for result in results} == set(healthy)
        assert hanging.at_once == 50
        hanging.let_go.set()
        assert len(await stage.results(1000)) == 1000
        await stage.wait_all_done()


async def test_no_more_than_the_limit_runs_at_once_and_the_rest_waits(bus: Bus, probe: FakeProbe) -> None:
    probe.answer = hanging = HangingProbe()
    stage = ProberHarness(bus, probe)
    async with running_prober(bus, probe, concurrency_max=10):
        await stage.publish_checks(*names("slow", 35), timeout_s=60)
        await probe.wait_started(10)
        hanging.let_go.set()
        results = await stage.results(35)
        await stage.wait_all_done()
    assert hanging.at_once_max == 10
    assert all(result.status is Status.UP for result in results)


async def test_at_shutdown_checks_in_flight_finish(bus: Bus, probe: FakeProbe) -> None:
    probe.answer = hanging = HangingProbe()
    stage = ProberHarness(bus, probe)
    async with running_prober(bus, probe, shutdown_grace_s=20):
        await stage.publish_checks(*names("slow", 20), timeout_s=60)
        await probe.wait_started(20)
        asyncio.get_running_loop().call_later(0.3, hanging.let_go.set)
    assert len(await stage.results(20)) == 20
    await stage.wait_all_done()
    assert not probe.open


async def test_at_shutdown_unfinished_checks_go_to_another_prober(bus: Bus, probe: FakeProbe, nats_url: str) -> None:
    probe.answer = HangingProbe()
    stage = ProberHarness(bus, probe)
    async with running_prober(bus, probe, shutdown_grace_s=0.2, concurrency_max=10):
        await stage.publish_checks(*names("slow", 30), timeout_s=60)
        await probe.wait_started(10)
    assert len(probe.started) == 10
    other = FakeProbe()
    async with Bus.open(nats_url, name="other") as second, running_prober(second, other):
        results = await stage.results(30)
        await stage.wait_all_done()
    assert sorted(result.monitor_id for result in results) == sorted(names("slow", 30))
    assert sorted(other.started) == sorted(names("slow", 30))


async def test_a_killed_server_loses_no_check_in_flight(bus: Bus, probe: FakeProbe, nats_server: NatsServer) -> None:
    probe.answer = hanging = HangingProbe()
    stage = ProberHarness(bus, probe)
    async with running_prober(bus, probe):
        await stage.publish_checks(*names("slow", 20), timeout_s=60)
        await probe.wait_started(20)
        nats_server.kill()
        hanging.let_go.set()
        await asyncio.sleep(0)
        nats_server.start()
        assert len(await stage.results(20)) == 20
        await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
        await stage.publish_checks(*names("ok", 20))
        results = await stage.results(40)
        await stage.wait_all_done()
    assert len({result.monitor_id for result in results}) == len(results) == 40


async def test_a_rejected_result_is_published_again_until_it_is_stored(bus: Bus, probe: FakeProbe) -> None:
    stage = ProberHarness(bus, probe)
    await bus.jetstream.delete_stream("RESULTS")
    async with running_prober(bus, probe):
        await stage.publish_checks("m1")
        await probe.wait_started(1)
        await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
        assert len(await stage.results(1)) == 1
        await stage.wait_all_done()
    assert probe.started == ["m1"]
