"""Request handler for rate limits: one token bucket per key and per tenant, shared by all gateways."""

from libs.model.ids import is_id
from libs.model.requests.messages import RateGrant, TakeTokens
from libs.store.core.pool import Store
from libs.store.tenancy import token_buckets
from services.results.error_mapping import KEY_NOT_FOUND, not_found


class RateLimitHandlers:
    """Handler of token requests. Gateways take the tokens of many requests at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take_tokens(self, request: TakeTokens) -> RateGrant:
        if not is_id(request.key_id):
            raise not_found(KEY_NOT_FOUND)
        rates = {request.key_id: request.key_rate, request.tenant_id: request.tenant_rate}
        kept = {bucket_id: rate for bucket_id, rate in rates.items() if rate.per_s > 0}
        if not kept:
            return RateGrant(granted=request.wanted, left=0, retry_after_s=0.0)
        async with self._store.connection() as db:
            return await token_buckets.take(db, kept, request.wanted, request.unused)
