"""Provisioning of streams and consumers: idempotent, and repaired when they drift or are lost."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from nats.js.api import StreamConfig

from libs.bus import provisioning, stream_configs, subjects
from libs.bus.client.message import Message
from libs.bus.client.pull_consumer import PullConsumer
from libs.bus.connection import Bus
from libs.bus.errors import BusError

SUBJECT = "results.t1.local.http.m1"
RESULTS_BYTES = 64 * 1024 * 1024


async def test_provisioning_is_idempotent_from_many_processes_at_once(nats_url: str) -> None:
    async with Bus.open(nats_url, name="a") as one, Bus.open(nats_url, name="b") as two:
        async with asyncio.TaskGroup() as group:
            for bus in (one, two) * 3:
                group.create_task(provisioning.provision(bus, results_bytes_max=RESULTS_BYTES))
                group.create_task(provisioning.provision_prober(bus, "local", "http"))
        names = {info.config.name for info in await one.jetstream.streams_info()}
        assert names == {"CHECKS", "RESULTS", "EVENTS", "DEAD_LETTERS"}
        assert await provisioning.consumer_exists(one, "CHECKS", "local-http")


async def test_provisioning_does_not_update_a_correct_stream(bus: Bus) -> None:
    before = [info.config for info in await bus.jetstream.streams_info()]
    for wanted in (
        stream_configs.checks_stream(),
        stream_configs.results_stream(RESULTS_BYTES),
        stream_configs.events_stream(),
        stream_configs.dead_letters_stream(),
    ):
        present = (await bus.jetstream.stream_info(wanted.name or "")).config
        assert provisioning._drift(wanted, present) == {}
    await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
    assert [info.config for info in await bus.jetstream.streams_info()] == before


async def test_a_drifted_setting_is_restored(bus: Bus) -> None:
    await provisioning.provision_prober(bus, "local", "http")
    await bus.jetstream.update_stream(stream_configs.results_stream(2 * RESULTS_BYTES))
    narrow = stream_configs.checks_consumer("local", "http")
    narrow.max_ack_pending = 7
    await bus.jetstream.add_consumer("CHECKS", narrow)
    await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
    await provisioning.provision_prober(bus, "local", "http")
    assert (await bus.jetstream.stream_info("RESULTS")).config.max_bytes == RESULTS_BYTES
    assert (await bus.jetstream.consumer_info("CHECKS", "local-http")).config.max_ack_pending == 10_000


async def test_a_setting_that_cannot_be_changed_leaves_the_stream_in_service(nats_url: str) -> None:
    async with Bus.open(nats_url, name="test") as bus:
        await bus.jetstream.add_stream(StreamConfig(name="EVENTS", subjects=["events.>"], storage="memory"))  # type: ignore[arg-type]
        await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
        await bus.publish(Message("events.t1.http.m1", b"{}"))


async def test_a_recreated_stream_has_another_creation_time(bus: Bus) -> None:
    born_at = await provisioning.stream_created_at(bus, subjects.CHECKS)
    assert born_at is not None
    await bus.jetstream.delete_stream(subjects.CHECKS)
    assert await provisioning.stream_created_at(bus, subjects.CHECKS) is None
    await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
    reborn_at = await provisioning.stream_created_at(bus, subjects.CHECKS)
    assert reborn_at is not None
    assert reborn_at > born_at


async def test_ingested_until_is_now_when_everything_is_acknowledged(bus: Bus) -> None:
    now = datetime.now(UTC)
    assert await provisioning.ingested_until(bus, now) == now
    await bus.publish(Message(SUBJECT, b"{}"))
    await settle(bus, [0])
    later = datetime.now(UTC)
    assert await provisioning.ingested_until(bus, later) == later


async def test_ingested_until_is_the_time_of_the_oldest_unacknowledged_result(bus: Bus) -> None:
    before = datetime.now(UTC)
    for number in range(4):
        await bus.publish(Message(SUBJECT, b"%d" % number))
    await settle(bus, [0, 2, 3])  # 1 is in flight, and 3 is acknowledged before it
    second = await bus.jetstream.get_msg("RESULTS", seq=2)
    assert await provisioning.ingested_until(bus, datetime.now(UTC)) == second.time
    assert before < (second.time or before)


async def test_ingested_until_ignores_results_removed_by_a_limit(bus: Bus) -> None:
    for number in range(3):
        await bus.publish(Message(SUBJECT, b"%d" % number))
    await bus.jetstream.purge_stream("RESULTS", seq=3)
    third = await bus.jetstream.get_msg("RESULTS", seq=3)
    assert await provisioning.ingested_until(bus, datetime.now(UTC)) == third.time
    await bus.jetstream.purge_stream("RESULTS")
    now = datetime.now(UTC)
    assert await provisioning.ingested_until(bus, now) == now


async def test_ingested_until_is_never_later_than_now(bus: Bus) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    await bus.publish(Message(SUBJECT, b"{}"))
    assert await provisioning.ingested_until(bus, past) == past


async def test_without_the_ingest_consumer_ingested_until_is_a_bus_error(bus: Bus) -> None:
    await bus.jetstream.delete_consumer("RESULTS", "ingest")
    with pytest.raises(BusError):
        await provisioning.ingested_until(bus, datetime.now(UTC))


async def test_a_missing_consumer_is_repaired(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "WATCH_INTERVAL_S", 0.05)
    repaired = asyncio.Event()

    async def repair() -> None:
        await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
        repaired.set()

    await bus.jetstream.delete_consumer("RESULTS", "ingest")
    async with asyncio.TaskGroup() as group:
        guard = group.create_task(provisioning.watch_consumer(bus, "RESULTS", "ingest", repair))
        await repaired.wait()
        guard.cancel()
    assert await provisioning.consumer_exists(bus, "RESULTS", "ingest")


async def settle(bus: Bus, which: list[int]) -> None:
    """Fetches all pending results as the ingest does, and acknowledges some."""
    count = (await bus.jetstream.consumer_info("RESULTS", "ingest")).num_pending or 0
    pull = PullConsumer(bus.client, "RESULTS", "ingest", count)
    await pull.open()
    messages = await pull.next_batch(linger_s=10)
    assert len(messages) == count
    for number in which:
        await messages[number].ack_sync(timeout=5)
    await pull.close()
