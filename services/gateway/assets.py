"""Iteration over all assets of a tenant, for APIs without pagination."""

from collections.abc import AsyncIterator

from libs.model.asset import Asset, ListAssets
from services.gateway.session import TenantSession

PAGE_SIZE = 200


async def iter_assets(session: TenantSession, dialect: str, sort: str) -> AsyncIterator[Asset]:
    """Yields the assets in the order of their numbers. At most one page is in memory."""
    after = 0
    while True:
        page = await session.request(ListAssets(dialect=dialect, sort=sort, limit=PAGE_SIZE, after=after))
        for asset in page.items:
            yield asset
        if page.next_cursor is None:
            return
        after = page.items[-1].number
