"""What each user of NATS may do: no more than the service behind it does. README.md says why, as tables.

Users: `gateway`, `results`, `prober_<location>`, and `system`, who looks at connections and ends them. Each has answers
sent below an inbox of its own, `_INBOX_<user>`, so that nobody hears those of others.
"""

from collections.abc import Iterable

import msgspec

from libs.bus import layout, subjects

GATEWAY = "gateway"
RESULTS = "results"
SYSTEM = "system"
INBOX = "_INBOX"
CALLOUT = "$SYS.REQ.USER.AUTH"
CALLOUT_REPLIES = "$SYS._INBOX.>"

_API = "$JS.API"
_INGEST = f"{subjects.RESULTS}.{layout.INGEST}"


class Grant(msgspec.Struct, frozen=True):
    """What one user may publish and subscribe to. What is denied is denied although it is allowed."""

    publish: list[str]
    subscribe: list[str]
    deny_publish: list[str] = []


def inbox(user: str) -> str:
    """Returns the prefix of the subjects on which `user` has answers; the ordinary one for a name that fits in none."""
    return f"{INBOX}_{user}" if subjects.is_token(user) else INBOX


def prober_user(location: str) -> str:
    return f"prober_{location}"


def gateway() -> Grant:
    """Asks the results room, asks for checks now, and reads results and events; writes neither."""
    feeds = {subjects.RESULTS: subjects.result("*", "*", "*", "*"), subjects.EVENTS: subjects.event("*", "*", "*")}
    return Grant(
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
            subjects.answer("*"),
            f"{inbox(GATEWAY)}.>",
        ],
        # The consumers that it makes for a replay are its own; this one is not.
        deny_publish=[
            *(f"{_API}.CONSUMER.{request}.{_INGEST}" for request in ("MSG.NEXT", "DELETE")),
            f"{_API}.CONSUMER.CREATE.{_INGEST}.>",
        ],
    )


def results() -> Grant:
    """Answers requests and callouts, keeps streams and schedules, takes results in; makes no results."""
    return Grant(
        publish=[
            *("sched.>", "due.>", "events.>", "control.>", subjects.aside(subjects.RESULTS)),
            f"{_API}.>",
            *_acks(subjects.RESULTS, layout.INGEST),
            f"{inbox(GATEWAY)}.>",
            CALLOUT_REPLIES,
        ],
        subscribe=["rpc.>", "control.>", CALLOUT, f"{inbox(RESULTS)}.>"],
    )


def prober(location: str, kinds: Iterable[str]) -> Grant:
    """Takes the checks of one location, and publishes the results of that location."""
    publish = [f"{_API}.STREAM.INFO.{subjects.CHECKS}", subjects.aside(subjects.CHECKS), subjects.answer("*")]
    for kind in sorted(kinds):
        name = subjects.checks_consumer(location, kind)
        consumer = f"{subjects.CHECKS}.{name}"
        publish += [
            f"{_API}.CONSUMER.CREATE.{consumer}.{subjects.due_filter(location, kind)}",
            f"{_API}.CONSUMER.INFO.{consumer}",
            f"{_API}.CONSUMER.MSG.NEXT.{consumer}",
            *_acks(subjects.CHECKS, name),
            subjects.result("*", location, kind, "*"),
        ]
    return Grant(publish=publish, subscribe=[f"{inbox(prober_user(location))}.>"])


def system() -> Grant:
    """Lists connections, and ends them. This user stands in the system account, outside of everything else."""
    return Grant(publish=["$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.*.KICK"], subscribe=[f"{inbox(SYSTEM)}.>"])


def _acks(stream: str, consumer: str) -> tuple[str, str]:
    """Returns both shapes of an acknowledgement: nats-server 2.15 sends the first, later ones may send the second."""
    return f"$JS.ACK.{stream}.{consumer}.>", f"$JS.ACK.*.*.{stream}.{consumer}.>"
