"""Idempotency keys: a repeated create returns the stored reply and creates nothing."""

import msgspec

from libs.model.requests.base import Idempotency
from libs.model.requests.errors import ErrorCode, RequestError
from libs.store.core.driver import Db
from libs.store.tenancy import idempotency


class IdempotencyRecord:
    """One Idempotency-Key inside the transaction of its create. Does nothing if the request has no key."""

    def __init__(self, db: Db, tenant_id: str, verb: str, key: Idempotency | None) -> None:
        self._db, self._tenant_id, self._verb, self._key = db, tenant_id, verb, key

    async def stored_reply(self) -> msgspec.Raw | None:
        """Returns the stored reply of the same request; raises RequestError if the key was used for another request."""
        if self._key is None:
            return None
        fingerprint = f"{self._verb} {self._key.fingerprint}"
        record = await idempotency.claim(self._db, self._tenant_id, self._key.key, fingerprint)
        if record is None:
            return None
        if record.fingerprint != fingerprint:
            raise RequestError(ErrorCode.CONFLICT, "This Idempotency-Key was used for another request.")
        return record.reply

    async def store_reply(self, reply: bytes) -> None:
        if self._key is not None:
            await idempotency.save_reply(self._db, self._tenant_id, self._key.key, reply)
