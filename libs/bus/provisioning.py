"""Idempotent creation of streams and consumers, and queries about their state."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Never

import structlog
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import APIError, BadRequestError, NotFoundError

from libs.bus import stream_configs, subjects
from libs.bus.connection import Bus
from libs.bus.errors import BusError, as_bus_errors, describe

WATCH_INTERVAL_S = 5.0

_NAME_IN_USE = 10058
_CANNOT_CHANGE = 10052
_RETRY_S_MAX = 20.0
_RETRY_PAUSE_S = 0.5

log = structlog.get_logger("vedette.bus")


async def provision(bus: Bus, *, results_bytes_max: int) -> None:
    """Creates or updates every stream and the ingest consumer; safe to repeat, and from several processes."""

    async def make() -> None:
        for wanted in (
            stream_configs.checks_stream(),
            stream_configs.results_stream(results_bytes_max),
            stream_configs.events_stream(),
            stream_configs.dead_letters_stream(),
        ):
            await _ensure_stream(bus.jetstream, wanted)
        await _ensure_consumer(bus.jetstream, subjects.RESULTS, stream_configs.ingest_consumer())

    await _with_retry(make)


async def provision_prober(bus: Bus, location: str, kind: str) -> None:
    """Creates the consumer shared by all probers of one kind in one location; waits for its stream.

    The results service creates the stream: a prober, which may run on an untrusted machine, has no permission to.
    """

    async def make() -> None:
        await _ensure_consumer(bus.jetstream, subjects.CHECKS, stream_configs.checks_consumer(location, kind))

    await _with_retry(make)


async def stream_created_at(bus: Bus, stream: str) -> datetime | None:
    """Returns the creation time of a stream, which changes if it was lost; None if there is no such stream."""
    with as_bus_errors(f"look at stream {stream}"):
        try:
            return (await bus.jetstream.stream_info(stream)).created
        except NotFoundError:
            return None


async def ingested_until(bus: Bus, now: datetime) -> datetime:
    """Returns the time before which every result stored in the stream is ingested.

    That is the time of the oldest message that the ingest has not acknowledged, or `now` if there is none.
    """
    with as_bus_errors("look up the state of the ingest consumer"):
        info = await bus.jetstream.consumer_info(subjects.RESULTS, stream_configs.INGEST_CONSUMER)
        floor = 0 if info.ack_floor is None else info.ack_floor.stream_seq
        try:
            oldest = await bus.jetstream.get_msg(subjects.RESULTS, seq=floor + 1, subject="results.>", next=True)
        except NotFoundError:
            return now
    return now if oldest.time is None else min(now, oldest.time)


async def consumer_exists(bus: Bus, stream: str, consumer: str) -> bool:
    """Tells whether the consumer exists; BusError if the server does not reply."""
    with as_bus_errors(f"look at consumer {consumer} of {stream}"):
        try:
            await bus.jetstream.consumer_info(stream, consumer)
        except NotFoundError:
            return False
        return True


async def watch_consumer(bus: Bus, stream: str, consumer: str, repair: Callable[[], Awaitable[None]]) -> Never:
    """Checks every `WATCH_INTERVAL_S` seconds whether the consumer exists, and calls `repair` if it does not.

    A pull request to a missing consumer fails silently, while the connection looks healthy.
    """
    while True:
        await asyncio.sleep(WATCH_INTERVAL_S)
        try:
            if not await consumer_exists(bus, stream, consumer):
                log.error("bus.consumer_gone", stream=stream, consumer=consumer)
                await repair()
        except BusError as error:
            log.warning("bus.consumer_watch_failed", stream=stream, consumer=consumer, error=str(error))


async def _with_retry(make: Callable[[], Awaitable[None]]) -> None:
    """Retries: a server that has just started, or is electing a leader, rejects requests for a moment."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _RETRY_S_MAX
    while True:
        try:
            with as_bus_errors("provision the streams"):
                return await make()
        except BusError:
            if loop.time() > deadline:
                raise
        await asyncio.sleep(_RETRY_PAUSE_S)


async def _ensure_stream(jetstream: JetStreamContext, wanted: StreamConfig) -> None:
    name = wanted.name or ""
    try:
        present = (await jetstream.stream_info(name)).config
    except NotFoundError:
        try:
            await jetstream.add_stream(wanted)
        except BadRequestError as error:
            if error.err_code != _NAME_IN_USE:
                raise
            present = (await jetstream.stream_info(name)).config  # another process was faster
        else:
            return
    drift = _drift(wanted, present)
    if drift:
        await _update_stream(jetstream, present.evolve(**drift), drift)


async def _update_stream(jetstream: JetStreamContext, config: StreamConfig, drift: dict[str, Any]) -> None:
    try:
        await jetstream.update_stream(config)
    except APIError as error:
        if error.err_code != _CANNOT_CHANGE:
            raise
        # Some settings cannot be changed. The stream still works; an operator has to decide.
        log.warning("bus.stream_differs", stream=config.name, settings=sorted(drift), answer=describe(error))
    else:
        log.info("bus.stream_updated", stream=config.name, settings=sorted(drift))


async def _ensure_consumer(jetstream: JetStreamContext, stream: str, wanted: ConsumerConfig) -> None:
    # Idempotent: creates the consumer, or updates it if its settings differ.
    await jetstream.add_consumer(stream, wanted)


def _drift(wanted: StreamConfig, present: StreamConfig) -> dict[str, Any]:
    """Returns the wanted settings that differ from the present ones; unset settings are left to the server."""
    named = {field: value for field, value in vars(wanted).items() if value is not None}
    return {field: value for field, value in named.items() if getattr(present, field) != value}
