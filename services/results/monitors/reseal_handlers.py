"""Request handlers for `vedette reseal`: list sealed specs, and replace one by its resealed form. Nothing is unsealed."""

import hashlib
from collections.abc import Callable

from libs.model.fields import sealed_secrets
from libs.model.requests.base import Page
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import ListSealedSpecs, ReplaceSealedSpec, SealedSpec
from libs.store.core.pool import Store
from libs.store.monitors import lifecycle, monitors
from services.results import cursors
from services.results.error_mapping import parse_monitor_id


class ResealHandlers:
    """Handlers of reseal requests, for all tenants. `on_commit` is called after a commit that may have added messages."""

    def __init__(self, store: Store, on_commit: Callable[[], None]) -> None:
        self._store, self._on_commit = store, on_commit

    async def page(self, request: ListSealedSpecs) -> Page[SealedSpec]:
        after = None if request.cursor is None else cursors.parse_id(request.cursor)
        async with self._store.connection() as db:
            found = await monitors.page_sealed(db, after, request.limit)
        items = [
            SealedSpec(tenant_id=each.tenant_id, monitor_id=each.id, kind=each.kind, spec=each.spec) for each in found
        ]
        return Page(items=items, next_cursor=items[-1].monitor_id if len(items) == request.limit else None)

    async def replace(self, request: ReplaceSealedSpec) -> bool:
        async with self._store.transaction() as db:
            monitor = await monitors.get_for_update(db, request.tenant_id, parse_monitor_id(request.monitor_id))
            if monitor is None or hashlib.sha256(monitor.spec).hexdigest() != request.old_sha256:
                return False
            if bytes(sealed_secrets.redact_spec(monitor.spec)) != bytes(sealed_secrets.redact_spec(request.new)):
                raise RequestError(ErrorCode.INVALID, "may differ from the stored spec in sealed values only", "new")
            await monitors.replace_spec(db, request.tenant_id, monitor.id, request.new)
            # No new revision, as checks do not change; but schedules contain the sealed values and must be published again.
            await lifecycle.raise_schedule_versions(db, monitor.id, monitor.locations)
        self._on_commit()
        return True
