"""What must hold for everything that is stored, whatever happened meanwhile."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeAlias

import asyncpg
import msgspec
import nats

from libs.bus import subjects
from libs.model.interval import ticks_between
from libs.model.state import Event, EventType

Database: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


_SCHEDULES = """
    SELECT s.*, m.created_at FROM schedules s JOIN monitors m ON m.id = s.monitor_id WHERE s.active
"""


async def wrong_ticks(database: Database, since: datetime, until: datetime) -> list[str]:
    """Returns what breaks the rule that every tick is exactly one stored result or one recorded `missed`.

    Looks at the ticks in (since, until] of every schedule that is active. A monitor that was there before `since`
    owes all of them, whatever became of its schedule since then; a newer one owes them from when it was published.
    """
    stored = await _stored(database, since)
    wrong: list[str] = []
    for row in await database.fetch(_SCHEDULES):
        after = since if row["created_at"] < since else max(since, row["since_at"])
        due = set(ticks_between(after, until, row["interval_s"], row["phase_s"]))
        seen = {at for at in stored[row["monitor_id"], row["location"]] if after < at <= until}
        wrong += [f"{row['monitor_id']}: no row for {at}" for at in sorted(due - seen)]
        wrong += [f"{row['monitor_id']}: no tick at {at}" for at in sorted(seen - due)]
    return wrong


async def verdicts(database: Database, since: datetime, until: datetime) -> Counter[str]:
    """Returns how many ticks in (since, until] ended with which status."""
    query = """
        SELECT status, count(*) AS ticks FROM results
        WHERE origin = 'tick' AND tick_at > $1 AND tick_at <= $2 GROUP BY status
    """
    return Counter({row["status"]: row["ticks"] for row in await database.fetch(query, since, until)})


async def wrong_transitions(database: Database) -> list[str]:
    """Returns what breaks the chain of transitions, and the bond between them, the states and the incidents."""
    chains = defaultdict(list)
    for row in await database.fetch("SELECT * FROM transitions ORDER BY monitor_id, at, id"):
        chains[row["monitor_id"]].append(row)
    incidents = defaultdict(list)
    for row in await database.fetch("SELECT * FROM incidents ORDER BY opened_at"):
        incidents[row["monitor_id"]].append(row)
    states = {row["monitor_id"]: row["status"] for row in await database.fetch("SELECT * FROM states")}
    wrong: list[str] = []
    for monitor_id, status in states.items():
        found = _wrong_history(status, chains[monitor_id], incidents[monitor_id])
        wrong += [f"{monitor_id}: {fault}" for fault in found]
    return wrong


async def wrong_events(database: Database, nats_url: str, since: datetime) -> list[str]:
    """Returns transitions that are not told exactly once on the EVENTS stream, of those later than `since`."""
    told = Counter(await _told_transitions(nats_url))
    stored = {str(row["id"]): row["at"] for row in await database.fetch("SELECT id, at FROM transitions")}
    wrong = [f"transition {name} told {count} times" for name, count in told.items() if count > 1]
    wrong += [f"transition {name} never told" for name, at in stored.items() if at > since and name not in told]
    return wrong + [f"transition {name} told but not stored" for name in told.keys() - stored]


def _wrong_history(status: str, chain: list[Any], incidents: list[Any]) -> list[str]:
    wrong = [f"transition from {row['old']} to itself" for row in chain if row["old"] == row["new"]]
    wrong += [f"{old['new']} then {new['old']}" for old, new in pairwise(chain) if old["new"] != new["old"]]
    if chain and chain[-1]["new"] != status:
        wrong.append(f"is {status}, last moved to {chain[-1]['new']}")
    downs = sum(1 for row in chain if row["new"] == "down")
    if downs != len(incidents):
        wrong.append(f"{downs} times down, {len(incidents)} incidents")
    is_open = [row for row in incidents if row["closed_at"] is None]
    if len(is_open) != (status == "down"):
        wrong.append(f"is {status}, {len(is_open)} incidents open")
    return wrong


async def _stored(database: Database, since: datetime) -> defaultdict[tuple[Any, str], set[datetime]]:
    stored: defaultdict[tuple[Any, str], set[datetime]] = defaultdict(set)
    query = "SELECT monitor_id, location, tick_at FROM results WHERE origin = 'tick' AND tick_at > $1"
    for row in await database.fetch(query, since - timedelta(seconds=1)):
        stored[row["monitor_id"], row["location"]].add(row["tick_at"])
    return stored


async def _told_transitions(nats_url: str) -> list[str]:
    """Returns the transition ids of all `transition` events that are stored."""
    client = await nats.connect(nats_url)
    try:
        stream = client.jetstream()
        info = await stream.stream_info(subjects.EVENTS)
        last = info.state.last_seq
        events = [
            msgspec.json.decode((await stream.get_msg(subjects.EVENTS, seq)).data or b"", type=Event)
            for seq in range(info.state.first_seq, last + 1)
        ]
    finally:
        await client.close()
    return [event.transition.id for event in events if event.type is EventType.TRANSITION]
