"""One transaction of the ingest: a batch of results becomes rows, folds, states, gaps and messages."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from libs.bus import schedules as bus_schedules
from libs.bus.client.message import Message
from libs.model.check import Origin, Result
from libs.model.outcome import Status
from libs.store.core import outbox
from libs.store.core.driver import Db
from libs.store.core.locks import AdvisoryLock, acquire
from libs.store.ingest import confirmations, gaps, results, snapshots, state_changes
from libs.store.ingest.snapshots import MonitorSnapshot
from libs.store.monitors import schedules
from services.results.ingest.batch_state import BatchState, StateChange
from services.results.state_changes import StateChangeRecorder

_RECHECK_AGE_MAX = timedelta(seconds=30)


class StoredBatch:
    """What became of a batch. `store` may be called again after a transaction that was undone."""

    def __init__(self, batch: Sequence[Result], now: datetime) -> None:
        self._batch = batch
        self._now = now
        self._open_hour = open_hour(now)
        self.foreign: list[Result] = []  # of another tenant's monitor
        self.dropped = 0
        self.repeated = 0
        self.statuses: Mapping[str, int] = {}
        self.state_changes: Sequence[StateChange] = []
        self.has_messages = False  # whether there is something in the outbox

    async def store(self, db: Db) -> None:
        """Stores the batch inside the transaction of `db`."""
        await acquire(db, AdvisoryLock.MONITOR_STATE)
        ids = sorted({result.monitor_id for result in self._batch})
        known = await snapshots.load(db, ids)
        wanted = self._select(known)
        new = await results.add(db, wanted) if wanted else []
        ledger = BatchState(known)
        for result in sorted(new, key=_tick_at):
            ledger.add(result)
        await confirmations.save(db, ledger.confirmation_changes())
        late = [each for each in new if each.tick_at < self._open_hour and each.origin is Origin.TICK]
        await results.mark_stale(db, late, self._open_hour)
        await gaps.add(db, ledger.gaps)
        await _record_state_changes(db, ledger)
        await _schedule_rechecks(db, ledger, self._now)
        self.repeated = len(self._batch) - len(self.foreign) - self.dropped - len(new)
        self.statuses = Counter(result.status for result in new)
        self.state_changes = ledger.state_changes
        self.has_messages = bool(ledger.state_changes or ledger.rechecks)

    def _select(self, known: Mapping[str, MonitorSnapshot]) -> list[Result]:
        """Returns one result for each tick, of monitors that exist and belong to the tenant that it names."""
        wanted: dict[results.ResultKey, Result] = {}
        self.foreign, self.dropped = [], 0
        for result in self._batch:
            monitor = known.get(result.monitor_id)
            if monitor is None:
                self.dropped += 1
            elif monitor.tenant_id != result.tenant_id:
                self.foreign.append(result)
            else:
                key = results.result_key(result)
                other = wanted.get(key)
                if other is None or other.status is Status.MISSED:
                    wanted[key] = result
        return list(wanted.values())


async def _record_state_changes(db: Db, ledger: BatchState) -> None:
    """Writes what changed of states. Nearly always nothing did."""
    await state_changes.set_flapping(db, list(ledger.flapping().items()))
    if not ledger.state_changes:
        return
    cards = await snapshots.load_summaries(db, sorted({turn.monitor_id for turn in ledger.state_changes}))
    story = StateChangeRecorder(cards)
    for turn in ledger.state_changes:
        story.add(turn)
    await state_changes.set_states(db, story.states)
    await state_changes.close_incidents(db, story.closed_incidents)
    await state_changes.open_incidents(db, story.opened_incidents)
    await state_changes.add_transitions(db, story.transitions)
    await outbox.add(db, story.events)


async def _schedule_rechecks(db: Db, ledger: BatchState, now: datetime) -> None:
    """Asks for second looks, but not for those of a backlog: newer ticks have answered them."""
    wanted = {key: at for key, at in ledger.rechecks.items() if at > now - _RECHECK_AGE_MAX}
    if not wanted:
        return
    found = await schedules.get_active(db, wanted)
    messages = [bus_schedules.recheck(each.check, each.shard, wanted[each.key]) for each in found]
    await outbox.add(db, [outbox_message(message) for message in messages])


def outbox_message(message: Message) -> outbox.OutboxMessage:
    """Returns a message of the bus as the outbox keeps it."""
    return outbox.OutboxMessage(
        subject=message.subject, body=message.body, msg_id=message.id or "", headers=message.headers
    )


def open_hour(now: datetime) -> datetime:
    """Returns the beginning of the hour that has not closed yet."""
    return now.replace(minute=0, second=0, microsecond=0)


def _tick_at(result: Result) -> datetime:
    return result.tick_at
