"""Monitors: created, changed, deleted and shown."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from libs.model import sealed
from libs.model.monitor import MonitorChange, MonitorView
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import Command, Page
from libs.model.requests import ChangeMonitor, CreateMonitor, DeleteMonitor, GetMonitor, ListMonitors
from libs.process.service import Clock
from libs.store import locks, monitors, views
from libs.store.driver import Db
from libs.store.monitors import Monitor
from libs.store.pool import Store
from services.results.answering import cursors
from services.results.answering.idempotency import Claim
from services.results.answering.monitoring import Monitoring, check_timeout
from services.results.answering.refusing import NO_MONITOR, monitor_id, not_found
from services.results.answering.terms import Terms

_FIELDS = tuple(name for name in MonitorChange.__struct_fields__ if name not in {"kept", "recipient"})
_ALTERING = ("interval_s", "timeout_s", "spec", "locations", "enabled")


class _Place(msgspec.Struct, frozen=True):
    """Where a page of monitors ended."""

    id: str


class Monitors:
    """Answers the requests about monitors. `on_commit` is called when there may be something to publish."""

    def __init__(self, store: Store, clock: Clock, terms: Terms, on_commit: Callable[[], None]) -> None:
        self._store, self._clock, self._terms, self._on_commit = store, clock, terms, on_commit

    async def create(self, request: CreateMonitor) -> MonitorView:
        async with self._command() as db:
            claim = Claim(db, request.tenant_id, request.verb, request.idempotency)
            if (earlier := await claim.earlier()) is not None:
                return msgspec.json.decode(earlier, type=MonitorView)
            monitor = await self._monitoring(db, request).add(request.draft)
            view = shown(await _view(db, request.tenant_id, monitor.id))
            await claim.keep(msgspec.json.encode(view))
            return view

    async def change(self, request: ChangeMonitor) -> MonitorView:
        async with self._command() as db:
            if _may_alter(request.change):
                await locks.hold(db, locks.Lock.FOLDING)
            old = await _locked(db, request.tenant_id, request.monitor_id)
            await self._monitoring(db, request).change(old, changed(old, request.change))
            return shown(await _view(db, request.tenant_id, old.id))

    async def delete(self, request: DeleteMonitor) -> None:
        async with self._command() as db:
            await locks.hold(db, locks.Lock.FOLDING)
            monitor = await _locked(db, request.tenant_id, request.monitor_id)
            await self._monitoring(db, request).remove(monitor)

    async def get(self, request: GetMonitor) -> MonitorView:
        async with self._store.connection() as db:
            view = await _view(db, request.tenant_id, monitor_id(request.monitor_id))
        return view if request.sealed else shown(view)

    async def page(self, request: ListMonitors) -> Page[MonitorView]:
        filters = views.Filters(
            before=None if request.cursor is None else _before(request.cursor),
            kind=request.kind,
            state=request.state,
            name=request.name,
            labels=request.labels,
        )
        async with self._store.connection() as db:
            found = await views.page(db, request.tenant_id, filters, request.limit + 1)
        return cursors.cut([shown(view) for view in found], request.limit, lambda view: _Place(view.id))

    @contextlib.asynccontextmanager
    async def _command(self) -> AsyncIterator[Db]:
        async with self._store.transaction() as db:
            yield db
        self._on_commit()

    def _monitoring(self, db: Db, command: Command[Any]) -> Monitoring:
        return Monitoring(db, command, self._terms, self._clock())


def changed(old: Monitor, change: MonitorChange) -> Monitor:
    """Returns `old` with the named fields changed, in a new revision if that alters checking; refuses what cannot be."""
    fields = {name: value for name in _FIELDS if (value := getattr(change, name)) is not msgspec.UNSET}
    if fields.get("kind", old.kind) != old.kind:
        raise RefusedError(RefusalCode.INVALID, f"cannot change: it is {old.kind}", "spec.kind")
    if change.kept and change.spec is not msgspec.UNSET:
        fields["spec"] = _with_kept(change.spec, old.spec, change)
    if "spec" in fields and _same_json(old.spec, fields["spec"]):
        fields["spec"] = old.spec
    new = msgspec.structs.replace(old, **fields)
    check_timeout(new, "timeout_s" if "timeout_s" in fields else "interval_s")
    if any(getattr(old, name) != getattr(new, name) for name in _ALTERING):
        return msgspec.structs.replace(new, revision=old.revision + 1)
    return new


def _with_kept(new: msgspec.Raw, old: msgspec.Raw, change: MonitorChange) -> msgspec.Raw:
    try:
        return sealed.with_kept(new, old, change.kept, change.recipient)
    except sealed.NotStoredError as error:
        raise RefusedError(RefusalCode.INVALID, str(error), ".".join(("spec", *error.path))) from error


def shown(view: MonitorView) -> MonitorView:
    """Returns the view without what is sealed: also a sealed secret is nobody's business."""
    spec = sealed.shown(view.spec)
    return view if spec is view.spec else msgspec.structs.replace(view, spec=spec)


def _may_alter(change: MonitorChange) -> bool:
    return any(getattr(change, name) is not msgspec.UNSET for name in _ALTERING)


def _same_json(a: msgspec.Raw, b: msgspec.Raw) -> bool:
    return bool(msgspec.json.decode(a) == msgspec.json.decode(b))


def _before(cursor: str) -> str:
    return cursors.checked_id(cursors.decode(cursor, _Place).id)


async def _locked(db: Db, tenant_id: str, id_text: str) -> Monitor:
    monitor = await monitors.locked(db, tenant_id, monitor_id(id_text))
    if monitor is None:
        raise not_found(NO_MONITOR)
    return monitor


async def _view(db: Db, tenant_id: str, id_text: str) -> MonitorView:
    view = await views.get(db, tenant_id, id_text)
    if view is None:
        raise not_found(NO_MONITOR)
    return view
