"""Configurations of the streams and consumers. README.md has the reason for each setting."""

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from libs.bus import subjects

INGEST_CONSUMER = "ingest"

_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S
_DEAD_LETTERS_BYTES_MAX = 256 * 1024 * 1024
_DUPLICATE_WINDOW_S = 120


def checks_stream() -> StreamConfig:
    return StreamConfig(
        name=subjects.CHECKS,
        subjects=["sched.>", "due.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_msgs_per_subject=1,
        allow_msg_schedules=True,
        allow_msg_ttl=True,
        allow_rollup_hdrs=True,
        duplicate_window=_DUPLICATE_WINDOW_S,
    )


def results_stream(bytes_max: int) -> StreamConfig:
    return StreamConfig(
        name=subjects.RESULTS,
        subjects=["results.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=_DAY_S,
        max_bytes=bytes_max,
        duplicate_window=_DUPLICATE_WINDOW_S,
        # This line feeds all live streams: the server copies each stored result to live.results..., where feed.py (SSE of
        # the gateway) and tenants' own NATS clients subscribe. No service forwards it. It is independent of the ingest:
        # a client can see a result before its row is committed to PostgreSQL.
        republish=RePublish(src="results.>", dest="live.results.>"),
    )


def events_stream() -> StreamConfig:
    return StreamConfig(
        name=subjects.EVENTS,
        subjects=["events.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=30 * _DAY_S,
        duplicate_window=_DUPLICATE_WINDOW_S,
        # As for results. Events come from the outbox of the database, so their rows are already committed.
        republish=RePublish(src="events.>", dest="live.events.>"),
    )


def dead_letters_stream() -> StreamConfig:
    return StreamConfig(
        name=subjects.DEAD_LETTERS,
        subjects=["dead_letters.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=30 * _DAY_S,
        max_bytes=_DEAD_LETTERS_BYTES_MAX,
        duplicate_window=_DUPLICATE_WINDOW_S,
    )


def checks_consumer(location: str, kind: str) -> ConsumerConfig:
    name = subjects.checks_consumer(location, kind)
    return ConsumerConfig(
        name=name,
        durable_name=name,
        filter_subject=subjects.due_filter(location, kind),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=75,
        max_deliver=5,
        max_ack_pending=10_000,
        max_waiting=2048,
    )


def ingest_consumer() -> ConsumerConfig:
    return ConsumerConfig(
        name=INGEST_CONSUMER,
        durable_name=INGEST_CONSUMER,
        filter_subject="results.>",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=30,
        max_ack_pending=20_000,
    )
