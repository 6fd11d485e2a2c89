"""How often keys and tenants may ask: one pair of buckets for all gateways."""

from libs.model.ids import is_id
from libs.model.requests import Granted, TakeRequests
from libs.store import buckets
from libs.store.pool import Store
from services.results.answering.refusing import NO_KEY, not_found


class Limits:
    """Answers the gateways, which ask for many requests at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, request: TakeRequests) -> Granted:
        if not is_id(request.key_id):
            raise not_found(NO_KEY)
        rates = {request.key_id: request.key_rate, request.tenant_id: request.tenant_rate}
        kept = {bucket_id: rate for bucket_id, rate in rates.items() if rate.per_s > 0}
        if not kept:
            return Granted(granted=request.wanted, left=0, retry_after_s=0.0)
        async with self._store.connection() as db:
            return await buckets.take(db, kept, request.wanted, request.unused)
