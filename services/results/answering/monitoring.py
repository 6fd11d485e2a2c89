"""What a command does to the monitors of one tenant inside its transaction: watched, within the quota, and audited."""

from datetime import datetime

import msgspec

from libs.model.ids import new_id
from libs.model.monitor import MonitorDraft
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import Command
from libs.model.tenancy import AuditAction, Quota
from libs.store import audit, monitors, tenants
from libs.store.audit import Deed
from libs.store.driver import Db
from libs.store.monitors import Monitor
from services.results.answering.terms import Terms, check_count, check_interval, effective
from services.results.answering.watching import Watching


class Monitoring:
    """The monitors of the tenant that `command` names, changed at `now` by its actor.

    Whoever changes or removes one holds Lock.FOLDING before.
    """

    def __init__(self, db: Db, command: Command[object], terms: Terms, now: datetime) -> None:
        self._db, self._command, self._terms, self._now = db, command, terms, now

    async def add(self, draft: MonitorDraft) -> Monitor:
        """Creates a monitor and has it checked at once."""
        fields = msgspec.structs.asdict(draft)
        now, tenant_id = self._now, self._command.tenant_id
        monitor = Monitor(id=new_id(), tenant_id=tenant_id, revision=1, created_at=now, updated_at=now, **fields)
        check_timeout(monitor, "timeout_s")
        own = await monitors.add(self._db, monitor)
        check_interval(monitor.interval_s, effective(own, self._terms.quota))
        await self._check_count(own)
        await self._watching(monitor).begin()
        await self._note(AuditAction.MONITOR_CREATED, monitor)
        return monitor

    async def change(self, old: Monitor, new: Monitor) -> None:
        """Goes over from `old` to `new`, if they differ."""
        if new == old:
            return
        if new.interval_s != old.interval_s:
            own = await tenants.quota(self._db, new.tenant_id)
            check_interval(new.interval_s, effective(own, self._terms.quota))
        new = msgspec.structs.replace(new, updated_at=self._now)
        await monitors.replace(self._db, new)
        if new.revision != old.revision:
            await self._watching(new).change(old)
        changed = [name for name in MonitorDraft.__struct_fields__ if getattr(old, name) != getattr(new, name)]
        await self._note(AuditAction.MONITOR_CHANGED, new, changed)

    async def remove(self, monitor: Monitor) -> None:
        """Ends the watching, and makes a tombstone of the monitor."""
        await self._watching(monitor).end("deleted")
        await monitors.bury(self._db, monitor.tenant_id, monitor.id, self._now)
        await self._note(AuditAction.MONITOR_DELETED, monitor)

    async def _check_count(self, own: Quota) -> None:
        """Counts what is there with the new one. Only tenants with a quota wait for each other, and pay for it."""
        if effective(own, self._terms.quota).monitors_max is None:
            return
        own = await tenants.quota_locked(self._db, self._command.tenant_id)
        check_count(await tenants.monitors(self._db, self._command.tenant_id), effective(own, self._terms.quota))

    def _watching(self, monitor: Monitor) -> Watching:
        return Watching(self._db, monitor, self._terms.shards, self._now)

    async def _note(self, action: AuditAction, monitor: Monitor, changed: list[str] | None = None) -> None:
        deed = Deed(action=action, object_id=monitor.id, object_name=monitor.name, changed=changed or [])
        await audit.add(self._db, monitor.tenant_id, self._command.actor, deed, self._now)


def check_timeout(monitor: Monitor, field: str) -> None:
    """Refuses a check that may last until the next one; `field` is the one to blame."""
    if monitor.timeout_s >= monitor.interval_s:
        detail = f"timeout_s ({monitor.timeout_s:g}) must be less than interval_s ({monitor.interval_s})"
        raise RefusedError(RefusalCode.INVALID, detail, field)
