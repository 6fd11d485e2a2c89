"""Subjects of all messages. Their tokens are ids, kinds and locations, which contain no dot, star or blank.

sched.<shard>.<location>.<monitor>              a schedule (stream CHECKS)
sched.<shard>.<location>.<monitor>.recheck      the schedule of one recheck
due.<shard>.<location>.<kind>.<monitor>         a check that is due (stream CHECKS)
due.<shard>.<location>.<kind>.<monitor>.recheck
due.<shard>.<location>.<kind>.<check>           an immediate check
results.<tenant>.<location>.<kind>.<monitor>    a result (stream RESULTS), republished as live.results...
events.<tenant>.<kind>.<monitor>                an event (stream EVENTS), republished as live.events...
dead_letters.<stream>                           a message that could not be decoded (stream DEAD_LETTERS)
rpc.<verb>                                      a request between services
control.keys.revoked                            the id of a revoked key
check_reply.<random>                            the reply to an immediate check
"""

import re

CHECKS = "CHECKS"
RESULTS = "RESULTS"
EVENTS = "EVENTS"
DEAD_LETTERS = "DEAD_LETTERS"

KEYS_REVOKED = "control.keys.revoked"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_token(text: str) -> bool:
    """Tells whether `text` can be a subject token: letters, digits, dash and underscore, at most 64."""
    return _TOKEN.fullmatch(text) is not None


def schedule(shard: int, location: str, monitor_id: str) -> str:
    return f"sched.{shard}.{location}.{monitor_id}"


def recheck_schedule(shard: int, location: str, monitor_id: str) -> str:
    return f"sched.{shard}.{location}.{monitor_id}.recheck"


def due(shard: int, location: str, kind: str, monitor_id: str) -> str:
    """Returns the subject of a due check; for an immediate check, `monitor_id` is an id of the check itself."""
    return f"due.{shard}.{location}.{kind}.{monitor_id}"


def recheck_due(shard: int, location: str, kind: str, monitor_id: str) -> str:
    return f"due.{shard}.{location}.{kind}.{monitor_id}.recheck"


def due_filter(location: str, kind: str) -> str:
    """Returns the filter of the consumer that all probers of one kind in one location share."""
    return f"due.*.{location}.{kind}.>"


def checks_consumer(location: str, kind: str) -> str:
    return f"{location}-{kind}"


def result(tenant_id: str, location: str, kind: str, monitor_id: str) -> str:
    return f"results.{tenant_id}.{location}.{kind}.{monitor_id}"


def event(tenant_id: str, kind: str, monitor_id: str) -> str:
    return f"events.{tenant_id}.{kind}.{monitor_id}"


def live(subject: str) -> str:
    """Returns the subject to which the server republishes a stored message, for core subscribers."""
    return f"live.{subject}"


def rpc(verb: str) -> str:
    return f"rpc.{verb}"


def check_reply(token: str) -> str:
    """Returns the subject for the reply to an immediate check: probers may publish to it, but to no inbox."""
    return f"check_reply.{token}"


def dead_letter(stream: str) -> str:
    return f"dead_letters.{stream}"
