"""One check: run, published, replied to, or sent to the dead letters."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from libs.bus import provisioning
from libs.bus.checks import check_now
from libs.bus.client.message import Message
from libs.bus.connection import Bus
from libs.model.check import Origin
from libs.model.outcome import Outcome, Reason, Status
from libs.prober import own_outcomes
from tests.integration.prober.conftest import (
    RESULTS_BYTES,
    UP,
    FakeProbe,
    FakeSpec,
    ProberHarness,
    check,
    running_prober,
)


async def test_a_check_becomes_a_stored_result_with_its_identity(bus: Bus, probe: FakeProbe) -> None:
    stage = ProberHarness(bus, probe)
    asked = check("m1", revision=7)
    async with running_prober(bus, probe):
        await stage.publish_checks("m1", revision=7, tick_at=asked.tick_at)
        (result,) = await stage.results(1)
        await stage.wait_all_done()
    assert (result.status, result.reason) == (Status.UP, "ok")
    for name in ("monitor_id", "tenant_id", "location", "kind", "revision", "interval_s", "origin", "tick_at"):
        assert getattr(result, name) == getattr(asked, name)
    assert result.started_at >= result.tick_at
    assert result.prober


async def test_the_same_check_delivered_twice_is_one_result(bus: Bus, probe: FakeProbe) -> None:
    stage = ProberHarness(bus, probe)
    tick_at = datetime.now(UTC)
    async with running_prober(bus, probe):
        body = msgspec.json.encode(check("m1", tick_at=tick_at))
        for number in range(3):
            await bus.publish(Message(f"due.0.local.fake.again{number}", body))
        await probe.wait_started(3)
        await stage.wait_all_done()
        assert len(await stage.results(1)) == 1


async def test_a_crash_of_the_probe_is_unknown_and_does_not_affect_other_checks(bus: Bus, probe: FakeProbe) -> None:
    async def answer(spec: FakeSpec) -> Outcome:
        if spec.name == "m1":
            raise ZeroDivisionError
        if spec.name == "m2":
            raise TimeoutError
        return UP

    probe.answer = answer
    stage = ProberHarness(bus, probe)
    async with running_prober(bus, probe):
        await stage.publish_checks("m1", "m2", "m3")
        results = {result.monitor_id: result for result in await stage.results(3)}
        await stage.wait_all_done()
    assert {name: (result.status, result.reason) for name, result in results.items()} == {
        "m1": (Status.UNKNOWN, Reason.PROBE_CRASHED),
        "m2": (Status.UNKNOWN, Reason.PROBE_CRASHED),
        "m3": (Status.UP, Reason.OK),
    }


@pytest.mark.parametrize(("stall_s", "reason"), [(0.0, Reason.PROBE_CRASHED), (0.9, Reason.LATE_LOOP)])
async def test_a_probe_that_exceeds_its_deadline_is_unknown(
    bus: Bus, probe: FakeProbe, monkeypatch: pytest.MonkeyPatch, stall_s: float, reason: Reason
) -> None:
    async def answer(_: FakeSpec) -> Outcome:
        time.sleep(stall_s)
        await asyncio.Event().wait()
        return UP

    monkeypatch.setattr(own_outcomes, "OVERDUE_S", 0.3)
    probe.answer = answer
    stage = ProberHarness(bus, probe)
    async with running_prober(bus, probe):
        await stage.publish_checks("m1", timeout_s=0.2)
        (result,) = await stage.results(1)
    assert (result.status, result.reason) == (Status.UNKNOWN, reason)


async def test_a_tick_that_is_too_late_is_missed_without_a_probe(bus: Bus, probe: FakeProbe) -> None:
    stage = ProberHarness(bus, probe)
    long_ago = datetime.now(UTC) - timedelta(seconds=60)
    async with running_prober(bus, probe):
        await stage.publish_checks("m1", origin=Origin.TICK, tick_at=long_ago)
        await stage.publish_checks("m2", origin=Origin.RECHECK, tick_at=long_ago)
        results = {result.monitor_id: result for result in await stage.results(2)}
        await stage.wait_all_done()
    assert (results["m1"].status, results["m1"].reason) == (Status.MISSED, Reason.LATE)
    assert results["m2"].status is Status.UP
    assert probe.started == ["m2"]


async def test_an_undecodable_check_is_dead_lettered_and_blocks_nothing(bus: Bus, probe: FakeProbe) -> None:
    stage = ProberHarness(bus, probe)
    poison = [
        b"",
        b"{",
        b"\xff\x00",
        msgspec.json.encode(check("m1", tick_at=None)),
        msgspec.json.encode(check("m1", spec=msgspec.Raw(b'{"kind":"fake"}'))),
        msgspec.json.encode(check("m1", spec=msgspec.Raw(b'{"kind":"other","name":"x"}'))),
    ]
    async with running_prober(bus, probe):
        for number, body in enumerate(poison):
            await bus.publish(Message(f"due.0.local.fake.poison{number}", body))
        await stage.publish_checks("m2")
        await stage.results(1)
        await stage.wait_all_done()
    assert probe.started == ["m2"]
    aside = [await bus.jetstream.get_msg("DEAD_LETTERS", seq) for seq in range(1, len(poison) + 1)]
    assert sorted(message.data or b"" for message in aside) == sorted(poison)
    assert all((message.headers or {})["Vedette-Reason"] for message in aside)


async def test_an_adhoc_check_is_replied_to_and_never_stored(bus: Bus, probe: FakeProbe) -> None:
    stage = ProberHarness(bus, probe)
    async with running_prober(bus, probe):
        answer = await check_now(bus, check("m1", origin=Origin.ADHOC), 0, 10)
        assert answer is not None
        assert answer.status is Status.UP
        await stage.wait_all_done()
    assert (await bus.jetstream.stream_info("RESULTS")).state.messages == 0


async def test_a_manual_check_is_replied_to_and_stored(bus: Bus, probe: FakeProbe) -> None:
    stage = ProberHarness(bus, probe)
    async with running_prober(bus, probe):
        answer = await check_now(bus, check("m1"), 0, 10)
        assert [answer] == await stage.results(1)


async def test_a_prober_is_ready_while_its_consumer_exists(bus: Bus, probe: FakeProbe) -> None:
    async with running_prober(bus, probe) as opened:
        await opened.ready_checks["consumer"]()
        await bus.jetstream.delete_consumer("CHECKS", "local-fake")
        with pytest.raises(LookupError, match="local-fake"):
            await opened.ready_checks["consumer"]()


async def test_a_deleted_consumer_is_recreated(bus: Bus, probe: FakeProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "WATCH_INTERVAL_S", 0.1)
    stage = ProberHarness(bus, probe)
    async with running_prober(bus, probe):
        await bus.jetstream.delete_stream("CHECKS")
        await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)  # as the results room does
        async with asyncio.timeout(20):
            while not await provisioning.consumer_exists(bus, "CHECKS", "local-fake"):
                await asyncio.sleep(0.02)
        await stage.publish_checks("m1")
        await stage.results(1)
