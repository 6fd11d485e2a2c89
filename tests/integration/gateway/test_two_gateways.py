"""Two tenants at two gateways on one NATS: what the one gateway does, the other one knows."""

import asyncio
import time

from services.gateway.auth import WATCHED_EVERY_S
from tests.integration.gateway.conftest import House, Open, beside
from tests.integration.gateway.test_keys import new_key
from tests.integration.gateway.test_native_api import V2, check_problem
from tests.integration.gateway.test_stream import next_of
from tests.integration.gateway.test_tenants import STREAM, publish, rest_of
from tests.support.client import Api
from tests.support.tenants import add_tenant


async def tenant_of(api: Api) -> str:
    return str((await api.get(f"{V2}/me"))["tenant_id"])


async def monitor_of(api: Api) -> str:
    spec = {"kind": "http", "url": "http://example.org/"}
    return str((await api.post(f"{V2}/monitors", {"name": "m", "interval_s": 86400, "spec": spec}))["id"])


async def revoked_elsewhere(one: House, other: House, api: Api) -> float:
    """Follows the stream at `other` with a key that is revoked at `one`; returns after how many seconds it ended."""
    key = await new_key(api, "read")
    async with other.api(key["key"]).events(STREAM) as events:
        await publish(one, await tenant_of(api), await monitor_of(api))
        await next_of(events)
        revoked_at = time.monotonic()
        assert (await api.ask("DELETE", f"{V2}/keys/{key['id']}")).status == 204
        await rest_of(events)
        return time.monotonic() - revoked_at


async def test_a_key_revoked_at_one_gateway_ends_its_stream_at_the_other_and_nobody_elses(house: Open) -> None:
    async with house() as one, beside(one) as other, one.api() as first:
        secret = await add_tenant(one.context.settings.postgres_dsn, "second")
        async with one.api(secret) as second, other.api(secret).events(STREAM) as theirs:
            # Long before the key would have been looked up again: it is the announcement that ends the stream.
            assert await revoked_elsewhere(one, other, first) < WATCHED_EVERY_S / 2
            await publish(one, await tenant_of(second), own := await monitor_of(second))
            assert (await next_of(theirs)).data["monitor_id"] == own


async def test_a_key_revoked_at_one_gateway_is_refused_by_both_apis_of_the_other(house: Open) -> None:
    async with house() as one, beside(one) as other, one.api() as admin:
        key = await new_key(admin, "read")
        async with other.api(key["key"]) as api:
            await api.get(f"{V2}/me")
            assert (await admin.ask("DELETE", f"{V2}/keys/{key['id']}")).status == 204
            async with asyncio.timeout(5):
                while (answer := await api.ask("GET", f"{V2}/me")).status == 200:
                    pass
            check_problem(answer, 401)
            refused = await api.ask("GET", "/api/v1/me")
            assert (refused.status, refused.body["error"]) == (401, "invalid_api_key")
