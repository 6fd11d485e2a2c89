"""More tenants in one house."""

from datetime import UTC, datetime

from libs.model.ids import new_id
from libs.model.tenancy import api_key_digest, new_api_key
from libs.store.core.pool import open_store

_TENANT = "INSERT INTO tenants (id, name, interval_s_min) VALUES ($1, $2, $3)"
_KEY = """
INSERT INTO keys (id, tenant_id, name, sha256, scopes, cidrs, created_at) VALUES ($1, $2, 'admin', $3, $4, '{}', $5)
"""


async def add_tenant(dsn: str, name: str, interval_s_min: int | None = None) -> str:
    """Makes a tenant beside those that are there, and returns the secret of its admin key."""
    tenant_id, secret = new_id(), new_api_key()
    async with open_store(dsn) as store, store.transaction() as db:
        await db.run(_TENANT, tenant_id, name, interval_s_min)
        await db.run(_KEY, new_id(), tenant_id, bytes.fromhex(api_key_digest(secret)), ["admin"], datetime.now(UTC))
    return secret
