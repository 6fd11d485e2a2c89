"""One transaction of the ingest: a batch of results becomes rows, folds, states, gaps and messages."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from libs.bus import schedules as bus_schedules
from libs.bus.message import Message
from libs.model.check import Origin, Result
from libs.model.outcome import Status
from libs.store import folds, gaps, outbox, results, schedules, turns, watched
from libs.store.driver import Db
from libs.store.locks import Lock, hold
from libs.store.watched import Watched
from services.results.pipeline.ledger import Ledger, Turn
from services.results.pipeline.story import Story

_RECHECK_LATE_MAX = timedelta(seconds=30)


class Digest:
    """What became of a batch. `store` may be called again after a transaction that was undone."""

    def __init__(self, batch: Sequence[Result], now: datetime) -> None:
        self._batch = batch
        self._now = now
        self._open_hour = open_hour(now)
        self.foreign: list[Result] = []  # of another tenant's monitor
        self.dropped = 0
        self.repeated = 0
        self.statuses: Mapping[str, int] = {}
        self.turns: Sequence[Turn] = []
        self.has_told = False  # whether there is something in the outbox

    async def store(self, db: Db) -> None:
        """Stores the batch inside the transaction of `db`."""
        await hold(db, Lock.FOLDING)
        ids = sorted({result.monitor_id for result in self._batch})
        known = await watched.load(db, ids)
        wanted = self._sort_out(known)
        new = await results.add(db, wanted) if wanted else []
        ledger = Ledger(known)
        for result in sorted(new, key=_tick_at):
            ledger.add(result)
        await folds.save(db, ledger.changes())
        late = [each for each in new if each.tick_at < self._open_hour and each.origin is Origin.TICK]
        await results.mark_stale(db, late, self._open_hour)
        await gaps.add(db, ledger.gaps)
        await _tell(db, ledger)
        await _ask_again(db, ledger, self._now)
        self.repeated = len(self._batch) - len(self.foreign) - self.dropped - len(new)
        self.statuses = Counter(result.status for result in new)
        self.turns = ledger.turns
        self.has_told = bool(ledger.turns or ledger.rechecks)

    def _sort_out(self, known: Mapping[str, Watched]) -> list[Result]:
        """Returns one result for each tick, of monitors that exist and belong to the tenant that it names."""
        wanted: dict[results.Key, Result] = {}
        self.foreign, self.dropped = [], 0
        for result in self._batch:
            monitor = known.get(result.monitor_id)
            if monitor is None:
                self.dropped += 1
            elif monitor.tenant_id != result.tenant_id:
                self.foreign.append(result)
            else:
                key = results.key(result)
                other = wanted.get(key)
                if other is None or other.status is Status.MISSED:
                    wanted[key] = result
        return list(wanted.values())


async def _tell(db: Db, ledger: Ledger) -> None:
    """Writes what changed of states. Nearly always nothing did."""
    await turns.set_flapping(db, list(ledger.flapping().items()))
    if not ledger.turns:
        return
    cards = await watched.cards(db, sorted({turn.monitor_id for turn in ledger.turns}))
    story = Story(cards)
    for turn in ledger.turns:
        story.add(turn)
    await turns.set_states(db, story.states)
    await turns.close_incidents(db, story.closed)
    await turns.open_incidents(db, story.opened)
    await turns.add_transitions(db, story.transitions)
    await outbox.add(db, story.events)


async def _ask_again(db: Db, ledger: Ledger, now: datetime) -> None:
    """Asks for second looks, but not for those of a backlog: newer ticks have answered them."""
    wanted = {key: at for key, at in ledger.rechecks.items() if at > now - _RECHECK_LATE_MAX}
    if not wanted:
        return
    found = await schedules.of(db, wanted)
    messages = [bus_schedules.recheck(each.check, each.shard, wanted[each.key]) for each in found]
    await outbox.add(db, [outgoing(message) for message in messages])


def outgoing(message: Message) -> outbox.Outgoing:
    """Returns a message of the bus as the outbox keeps it."""
    return outbox.Outgoing(subject=message.subject, body=message.body, msg_id=message.id or "", headers=message.headers)


def open_hour(now: datetime) -> datetime:
    """Returns the beginning of the hour that has not closed yet."""
    return now.replace(minute=0, second=0, microsecond=0)


def _tick_at(result: Result) -> datetime:
    return result.tick_at
