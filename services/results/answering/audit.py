"""The audit, read."""

import msgspec

from libs.model.request import Page
from libs.model.requests import ListAudit
from libs.model.tenancy import AuditEntry
from libs.store import audit
from libs.store.pool import Store
from services.results.answering import cursors


class _Place(msgspec.Struct, frozen=True):
    """Where a page of the audit ended."""

    id: cursors.Number


class Audit:
    """Answers the requests about what was done."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, request: ListAudit) -> Page[AuditEntry]:
        before = audit.NEWEST if request.cursor is None else cursors.decode(request.cursor, _Place).id
        async with self._store.connection() as db:
            found = await audit.page(db, request.tenant_id, before, request.limit + 1)
        return cursors.cut(found, request.limit, lambda entry: _Place(entry.id))
