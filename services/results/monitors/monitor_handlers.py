"""Request handlers for monitors: create, change, delete, get, list."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from libs.model.fields import sealed_secrets
from libs.model.monitor import MonitorChange, MonitorView
from libs.model.requests.base import Page, TenantCommand
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import ChangeMonitor, CreateMonitor, DeleteMonitor, GetMonitor, ListMonitors
from libs.process.service import Clock
from libs.store.core import locks
from libs.store.core.driver import Db
from libs.store.core.pool import Store
from libs.store.monitors import monitors, views
from libs.store.monitors.monitors import MonitorRow
from services.results import cursors
from services.results.error_mapping import MONITOR_NOT_FOUND, not_found, parse_monitor_id
from services.results.idempotency import IdempotencyRecord
from services.results.monitors.commands import MonitorCommands, check_timeout
from services.results.tenancy.quotas import QuotaPolicy

_FIELDS = tuple(name for name in MonitorChange.__struct_fields__ if name not in {"kept", "recipient"})
_REVISION_FIELDS = ("interval_s", "timeout_s", "spec", "locations", "enabled")


class _MonitorCursor(msgspec.Struct, frozen=True):
    """Position after the last monitor of a page."""

    id: str


class MonitorHandlers:
    """Handlers of monitor requests. `on_commit` is called after a commit that may have added messages."""

    def __init__(self, store: Store, clock: Clock, policy: QuotaPolicy, on_commit: Callable[[], None]) -> None:
        self._store, self._clock, self._policy, self._on_commit = store, clock, policy, on_commit

    async def create(self, request: CreateMonitor) -> MonitorView:
        async with self._transaction() as db:
            claim = IdempotencyRecord(db, request.tenant_id, request.verb, request.idempotency)
            if (earlier := await claim.stored_reply()) is not None:
                return msgspec.json.decode(earlier, type=MonitorView)
            monitor = await self._commands(db, request).add(request.draft)
            view = redact_view(await _get_view(db, request.tenant_id, monitor.id))
            await claim.store_reply(msgspec.json.encode(view))
            return view

    async def change(self, request: ChangeMonitor) -> MonitorView:
        async with self._transaction() as db:
            if _affects_checks(request.change):
                await locks.acquire(db, locks.AdvisoryLock.MONITOR_STATE)
            old = await _lock_monitor(db, request.tenant_id, request.monitor_id)
            await self._commands(db, request).change(old, apply_change(old, request.change))
            return redact_view(await _get_view(db, request.tenant_id, old.id))

    async def delete(self, request: DeleteMonitor) -> None:
        async with self._transaction() as db:
            await locks.acquire(db, locks.AdvisoryLock.MONITOR_STATE)
            monitor = await _lock_monitor(db, request.tenant_id, request.monitor_id)
            await self._commands(db, request).remove(monitor)

    async def get(self, request: GetMonitor) -> MonitorView:
        async with self._store.connection() as db:
            view = await _get_view(db, request.tenant_id, parse_monitor_id(request.monitor_id))
        return view if request.sealed else redact_view(view)

    async def page(self, request: ListMonitors) -> Page[MonitorView]:
        filters = views.MonitorFilters(
            before=None if request.cursor is None else _decode_cursor(request.cursor),
            kind=request.kind,
            state=request.state,
            name=request.name,
            labels=request.labels,
        )
        async with self._store.connection() as db:
            found = await views.page(db, request.tenant_id, filters, request.limit + 1)
        return cursors.paginate(
            [redact_view(view) for view in found], request.limit, lambda view: _MonitorCursor(view.id)
        )

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Db]:
        async with self._store.transaction() as db:
            yield db
        self._on_commit()

    def _commands(self, db: Db, command: TenantCommand[Any]) -> MonitorCommands:
        return MonitorCommands(db, command, self._policy, self._clock())


def apply_change(old: MonitorRow, change: MonitorChange) -> MonitorRow:
    """Returns `old` with the given fields changed, with a new revision if checks change; refuses invalid changes."""
    fields = {name: value for name in _FIELDS if (value := getattr(change, name)) is not msgspec.UNSET}
    if fields.get("kind", old.kind) != old.kind:
        raise RequestError(ErrorCode.INVALID, f"cannot change: it is {old.kind}", "spec.kind")
    if change.kept and change.spec is not msgspec.UNSET:
        fields["spec"] = _merge_secrets(change.spec, old.spec, change)
    if "spec" in fields and _same_json(old.spec, fields["spec"]):
        fields["spec"] = old.spec
    new = msgspec.structs.replace(old, **fields)
    check_timeout(new, "timeout_s" if "timeout_s" in fields else "interval_s")
    if any(getattr(old, name) != getattr(new, name) for name in _REVISION_FIELDS):
        return msgspec.structs.replace(new, revision=old.revision + 1)
    return new


def _merge_secrets(new: msgspec.Raw, old: msgspec.Raw, change: MonitorChange) -> msgspec.Raw:
    try:
        return sealed_secrets.with_stored_secrets(new, old, change.kept, change.recipient)
    except sealed_secrets.SecretNotStoredError as error:
        raise RequestError(ErrorCode.INVALID, str(error), ".".join(("spec", *error.path))) from error


def redact_view(view: MonitorView) -> MonitorView:
    """Returns the view with sealed values removed: not even ciphertext leaves the service."""
    spec = sealed_secrets.redact_spec(view.spec)
    return view if spec is view.spec else msgspec.structs.replace(view, spec=spec)


def _affects_checks(change: MonitorChange) -> bool:
    return any(getattr(change, name) is not msgspec.UNSET for name in _REVISION_FIELDS)


def _same_json(a: msgspec.Raw, b: msgspec.Raw) -> bool:
    return bool(msgspec.json.decode(a) == msgspec.json.decode(b))


def _decode_cursor(cursor: str) -> str:
    return cursors.parse_id(cursors.decode(cursor, _MonitorCursor).id)


async def _lock_monitor(db: Db, tenant_id: str, id_text: str) -> MonitorRow:
    monitor = await monitors.get_for_update(db, tenant_id, parse_monitor_id(id_text))
    if monitor is None:
        raise not_found(MONITOR_NOT_FOUND)
    return monitor


async def _get_view(db: Db, tenant_id: str, id_text: str) -> MonitorView:
    view = await views.get(db, tenant_id, id_text)
    if view is None:
        raise not_found(MONITOR_NOT_FOUND)
    return view
