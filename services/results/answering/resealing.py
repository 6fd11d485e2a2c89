"""Sealed specs, handed to an operator's `vedette reseal` and taken back sealed anew. Nothing is opened here."""

import hashlib
from collections.abc import Callable

from libs.model import sealed
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import Page
from libs.model.requests import ListSealed, Reseal, SealedSpec
from libs.store import monitors, watching
from libs.store.pool import Store
from services.results.answering import cursors
from services.results.answering.refusing import monitor_id


class Resealing:
    """Answers the requests about sealed specs, of all tenants. `on_commit` is called when there may be something to publish."""

    def __init__(self, store: Store, on_commit: Callable[[], None]) -> None:
        self._store, self._on_commit = store, on_commit

    async def page(self, request: ListSealed) -> Page[SealedSpec]:
        after = None if request.cursor is None else cursors.checked_id(request.cursor)
        async with self._store.connection() as db:
            found = await monitors.sealed(db, after, request.limit)
        items = [
            SealedSpec(tenant_id=each.tenant_id, monitor_id=each.id, kind=each.kind, spec=each.spec) for each in found
        ]
        return Page(items=items, next_cursor=items[-1].monitor_id if len(items) == request.limit else None)

    async def replace(self, request: Reseal) -> bool:
        async with self._store.transaction() as db:
            monitor = await monitors.locked(db, request.tenant_id, monitor_id(request.monitor_id))
            if monitor is None or hashlib.sha256(monitor.spec).hexdigest() != request.old_sha256:
                return False
            if bytes(sealed.shown(monitor.spec)) != bytes(sealed.shown(request.new)):
                raise RefusedError(RefusalCode.INVALID, "must differ from what is stored in sealed texts only", "new")
            await monitors.replace_spec(db, request.tenant_id, monitor.id, request.new)
            # What is checked stays the same, so it is no new revision; but the schedules carry what is sealed, too.
            await watching.renew_schedules(db, monitor.id, monitor.locations)
        self._on_commit()
        return True
