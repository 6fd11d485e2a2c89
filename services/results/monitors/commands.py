"""Creation, change and removal of monitors inside a transaction: with schedules, quota and audit."""

from datetime import datetime

import msgspec

from libs.model.ids import new_id
from libs.model.monitor import MonitorDraft
from libs.model.requests.base import TenantCommand
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.tenancy import AuditAction, Quota
from libs.store.core.driver import Db
from libs.store.monitors import monitors
from libs.store.monitors.monitors import MonitorRow
from libs.store.tenancy import audit, tenants
from libs.store.tenancy.audit import AuditEntryDraft
from services.results.monitors.lifecycle import MonitorLifecycle
from services.results.tenancy.quotas import QuotaPolicy, check_count, check_interval, effective_quota


class MonitorCommands:
    """Changes to monitors of the tenant of `command`, made at `now` by its actor.

    The caller of `change` and `remove` holds AdvisoryLock.MONITOR_STATE.
    """

    def __init__(self, db: Db, command: TenantCommand[object], policy: QuotaPolicy, now: datetime) -> None:
        self._db, self._command, self._policy, self._now = db, command, policy, now

    async def add(self, draft: MonitorDraft) -> MonitorRow:
        """Creates a monitor and schedules a first check at once."""
        fields = msgspec.structs.asdict(draft)
        now, tenant_id = self._now, self._command.tenant_id
        monitor = MonitorRow(id=new_id(), tenant_id=tenant_id, revision=1, created_at=now, updated_at=now, **fields)
        check_timeout(monitor, "timeout_s")
        own = await monitors.add(self._db, monitor)
        check_interval(monitor.interval_s, effective_quota(own, self._policy.quota))
        await self._check_quota(own)
        await self._lifecycle(monitor).start()
        await self._audit(AuditAction.MONITOR_CREATED, monitor)
        return monitor

    async def change(self, old: MonitorRow, new: MonitorRow) -> None:
        """Replaces `old` by `new` if they differ."""
        if new == old:
            return
        if new.interval_s != old.interval_s:
            own = await tenants.get_quota(self._db, new.tenant_id)
            check_interval(new.interval_s, effective_quota(own, self._policy.quota))
        new = msgspec.structs.replace(new, updated_at=self._now)
        await monitors.replace(self._db, new)
        if new.revision != old.revision:
            await self._lifecycle(new).change(old)
        changed = [name for name in MonitorDraft.__struct_fields__ if getattr(old, name) != getattr(new, name)]
        await self._audit(AuditAction.MONITOR_CHANGED, new, changed)

    async def remove(self, monitor: MonitorRow) -> None:
        """Ends the schedules and state of the monitor and turns its row into a tombstone."""
        await self._lifecycle(monitor).stop("deleted")
        await monitors.soft_delete(self._db, monitor.tenant_id, monitor.id, self._now)
        await self._audit(AuditAction.MONITOR_DELETED, monitor)

    async def _check_quota(self, own: Quota) -> None:
        """Checks the number of monitors, the new one included. Only creates of tenants with a quota wait for each other."""
        if effective_quota(own, self._policy.quota).monitors_max is None:
            return
        own = await tenants.get_quota_for_update(self._db, self._command.tenant_id)
        check_count(
            await tenants.count_monitors(self._db, self._command.tenant_id), effective_quota(own, self._policy.quota)
        )

    def _lifecycle(self, monitor: MonitorRow) -> MonitorLifecycle:
        return MonitorLifecycle(self._db, monitor, self._policy.shards, self._now)

    async def _audit(self, action: AuditAction, monitor: MonitorRow, changed: list[str] | None = None) -> None:
        entry = AuditEntryDraft(action=action, object_id=monitor.id, object_name=monitor.name, changed=changed or [])
        await audit.add(self._db, monitor.tenant_id, self._command.actor, entry, self._now)


def check_timeout(monitor: MonitorRow, field: str) -> None:
    """Raises RequestError naming `field` if the timeout is not shorter than the interval."""
    if monitor.timeout_s >= monitor.interval_s:
        detail = f"timeout_s ({monitor.timeout_s:g}) must be less than interval_s ({monitor.interval_s})"
        raise RequestError(ErrorCode.INVALID, detail, field)
