"""Request handler for the audit log."""

import msgspec

from libs.model.requests.base import Page
from libs.model.requests.messages import ListAudit
from libs.model.tenancy import AuditEntry
from libs.store.core.pool import Store
from libs.store.tenancy import audit
from services.results import cursors


class _AuditCursor(msgspec.Struct, frozen=True):
    """Position after the last entry of a page."""

    id: cursors.CursorNumber


class AuditHandlers:
    """Handler of audit requests."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, request: ListAudit) -> Page[AuditEntry]:
        before = audit.ID_MAX if request.cursor is None else cursors.decode(request.cursor, _AuditCursor).id
        async with self._store.connection() as db:
            found = await audit.page(db, request.tenant_id, before, request.limit + 1)
        return cursors.paginate(found, request.limit, lambda entry: _AuditCursor(entry.id))
