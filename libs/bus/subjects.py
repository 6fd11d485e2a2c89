"""Every subject on the bus. Tokens come from ids, kinds and locations, which never hold a dot, a star or a blank.

sched.<shard>.<location>.<monitor>              a schedule (stream CHECKS)
sched.<shard>.<location>.<monitor>.recheck      one second look, once
due.<shard>.<location>.<kind>.<monitor>         a check that is due now (stream CHECKS)
due.<shard>.<location>.<kind>.<monitor>.recheck
due.<shard>.<location>.<kind>.<check>           a check that a person asked for
results.<tenant>.<location>.<kind>.<monitor>    a result (stream RESULTS), again as live.results...
events.<tenant>.<kind>.<monitor>                an event (stream EVENTS), again as live.events...
aside.<stream>                                  a message that nobody could read (stream ASIDE)
rpc.<verb>                                      requests between rooms
control.keys.revoked                            the id of a key that must stop working now
answer.<random>                                 where a prober answers a check that a person asked for
"""

import re

CHECKS = "CHECKS"
RESULTS = "RESULTS"
EVENTS = "EVENTS"
DEAD_LETTERS = "ASIDE"

KEYS_REVOKED = "control.keys.revoked"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_token(text: str) -> bool:
    """Tells whether `text` may stand in a subject: letters, digits, dash and underscore, at most 64."""
    return _TOKEN.fullmatch(text) is not None


def schedule(shard: int, location: str, monitor_id: str) -> str:
    return f"sched.{shard}.{location}.{monitor_id}"


def recheck_schedule(shard: int, location: str, monitor_id: str) -> str:
    return f"sched.{shard}.{location}.{monitor_id}.recheck"


def due(shard: int, location: str, kind: str, monitor_id: str) -> str:
    """Returns where a check falls due; also for a check now, with the check's own id as `monitor_id`."""
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
    """Returns where the server repeats a stored message for plain subscribers."""
    return f"live.{subject}"


def rpc(verb: str) -> str:
    return f"rpc.{verb}"


def check_reply(token: str) -> str:
    """Returns where a prober answers. A subject of its own kind: a prober may publish there, and to no inbox."""
    return f"answer.{token}"


def dead_letter(stream: str) -> str:
    return f"aside.{stream}"
