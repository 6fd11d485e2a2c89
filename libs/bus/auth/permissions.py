"""Permissions of each NATS user: the least that its service needs. README.md has the reasons, as tables.

Users: `gateway`, `results`, `prober_<location>`, and `system`, which lists and closes connections. Each receives
replies below an inbox prefix of its own, `_INBOX_<user>`, so that no user can subscribe to the replies of another.
"""

from collections.abc import Iterable

import msgspec

from libs.bus import stream_configs, subjects

GATEWAY_USER = "gateway"
RESULTS_USER = "results"
SYSTEM_USER = "system"
DEFAULT_INBOX_PREFIX = "_INBOX"
CALLOUT_SUBJECT = "$SYS.REQ.USER.AUTH"
CALLOUT_REPLY_SUBJECTS = "$SYS._INBOX.>"

_API = "$JS.API"
_INGEST_CONSUMER = f"{subjects.RESULTS}.{stream_configs.INGEST_CONSUMER}"


class Permissions(msgspec.Struct, frozen=True):
    """Subjects that one user may publish and subscribe to. `deny_publish` takes precedence over `publish`."""

    publish: list[str]
    subscribe: list[str]
    deny_publish: list[str] = []


def inbox_prefix(user: str) -> str:
    """Returns the inbox prefix of `user`; the default prefix if the name cannot be a subject token."""
    return f"{DEFAULT_INBOX_PREFIX}_{user}" if subjects.is_token(user) else DEFAULT_INBOX_PREFIX


def prober_user(location: str) -> str:
    return f"prober_{location}"


def gateway() -> Permissions:
    """Sends requests and immediate checks, reads results and events; writes neither."""
    feeds = {subjects.RESULTS: subjects.result("*", "*", "*", "*"), subjects.EVENTS: subjects.event("*", "*", "*")}
    return Permissions(
        publish=[
            *("rpc.>", "due.*.*.*.*", "control.>"),
            *(f"{_API}.STREAM.INFO.{stream}" for stream in feeds),
            *(f"{_API}.CONSUMER.CREATE.{stream}.*.{filtered}" for stream, filtered in feeds.items()),
            *(f"{_API}.CONSUMER.{request}.{stream}.*" for request in ("MSG.NEXT", "DELETE") for stream in feeds),
        ],
        subscribe=[
            "live.results.>",
            "live.events.>",
            "control.>",
            subjects.check_reply("*"),
            f"{inbox_prefix(GATEWAY_USER)}.>",
        ],
        # It may create and pull from replay consumers, but not from this one.
        deny_publish=[
            *(f"{_API}.CONSUMER.{request}.{_INGEST_CONSUMER}" for request in ("MSG.NEXT", "DELETE")),
            f"{_API}.CONSUMER.CREATE.{_INGEST_CONSUMER}.>",
        ],
    )


def results() -> Permissions:
    """Answers requests and auth callouts, manages streams and schedules, ingests results; publishes none."""
    return Permissions(
        publish=[
            *("sched.>", "due.>", "events.>", "control.>", subjects.dead_letter(subjects.RESULTS)),
            f"{_API}.>",
            *_ack_subjects(subjects.RESULTS, stream_configs.INGEST_CONSUMER),
            f"{inbox_prefix(GATEWAY_USER)}.>",
            CALLOUT_REPLY_SUBJECTS,
        ],
        subscribe=["rpc.>", "control.>", CALLOUT_SUBJECT, f"{inbox_prefix(RESULTS_USER)}.>"],
    )


def prober(location: str, kinds: Iterable[str]) -> Permissions:
    """Consumes the checks of one location, and publishes the results of that location."""
    publish = [
        f"{_API}.STREAM.INFO.{subjects.CHECKS}",
        subjects.dead_letter(subjects.CHECKS),
        subjects.check_reply("*"),
    ]
    for kind in sorted(kinds):
        name = subjects.checks_consumer(location, kind)
        consumer = f"{subjects.CHECKS}.{name}"
        publish += [
            f"{_API}.CONSUMER.CREATE.{consumer}.{subjects.due_filter(location, kind)}",
            f"{_API}.CONSUMER.INFO.{consumer}",
            f"{_API}.CONSUMER.MSG.NEXT.{consumer}",
            *_ack_subjects(subjects.CHECKS, name),
            subjects.result("*", location, kind, "*"),
        ]
    return Permissions(publish=publish, subscribe=[f"{inbox_prefix(prober_user(location))}.>"])


def system() -> Permissions:
    """Lists and closes connections. This user is in the system account, separate from all services."""
    return Permissions(
        publish=["$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.*.KICK"], subscribe=[f"{inbox_prefix(SYSTEM_USER)}.>"]
    )


def _ack_subjects(stream: str, consumer: str) -> tuple[str, str]:
    """Returns both forms of an ack subject: nats-server 2.15 uses the first, later versions may use the second."""
    return f"$JS.ACK.{stream}.{consumer}.>", f"$JS.ACK.*.*.{stream}.{consumer}.>"
