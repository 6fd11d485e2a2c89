"""A create that is sent again with the same Idempotency-Key is answered, not done, again."""

import msgspec

from libs.model.requests.base import Idempotency
from libs.model.requests.errors import ErrorCode, RequestError
from libs.store.core.driver import Db
from libs.store.tenancy import idempotency


class IdempotencyRecord:
    """One Idempotency-Key inside the transaction that does what was asked. Without a key it does nothing."""

    def __init__(self, db: Db, tenant_id: str, verb: str, key: Idempotency | None) -> None:
        self._db, self._tenant_id, self._verb, self._key = db, tenant_id, verb, key

    async def stored_reply(self) -> msgspec.Raw | None:
        """Returns what was kept for the same request before; refuses a key that was used for another one."""
        if self._key is None:
            return None
        fingerprint = f"{self._verb} {self._key.fingerprint}"
        kept = await idempotency.claim(self._db, self._tenant_id, self._key.key, fingerprint)
        if kept is None:
            return None
        if kept.fingerprint != fingerprint:
            raise RequestError(ErrorCode.CONFLICT, "This Idempotency-Key was used for another request.")
        return kept.reply

    async def store_reply(self, reply: bytes) -> None:
        if self._key is not None:
            await idempotency.save_reply(self._db, self._tenant_id, self._key.key, reply)
