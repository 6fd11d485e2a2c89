"""Two tenants at two gateways on one NATS: revocations reach both gateways."""

import asyncio
import time

from services.gateway.access.authenticator import RECHECK_INTERVAL_S
from tests.integration.gateway.conftest import RunningGateway, StartGateway, second_gateway
from tests.integration.gateway.native.test_keys import create_key
from tests.integration.gateway.native.test_native_api import V2, check_problem
from tests.integration.gateway.native.test_stream import next_event
from tests.integration.gateway.test_tenants import STREAM, publish, remaining_events
from tests.support.client import Api
from tests.support.tenants import add_tenant


async def tenant_of(api: Api) -> str:
    return str((await api.get(f"{V2}/me"))["tenant_id"])


async def create_monitor(api: Api) -> str:
    spec = {"kind": "http", "url": "http://example.org/"}
    return str((await api.post(f"{V2}/monitors", {"name": "m", "interval_s": 86400, "spec": spec}))["id"])


async def revocation_delay_s(one: RunningGateway, other: RunningGateway, api: Api) -> float:
    """Follows the stream at `other` with a key that is revoked at `one`; returns after how many seconds it ended."""
    key = await create_key(api, "read")
    async with other.api(key["key"]).events(STREAM) as events:
        await publish(one, await tenant_of(api), await create_monitor(api))
        await next_event(events)
        revoked_at = time.monotonic()
        assert (await api.ask("DELETE", f"{V2}/keys/{key['id']}")).status == 204
        await remaining_events(events)
        return time.monotonic() - revoked_at


async def test_a_key_revoked_at_one_gateway_ends_only_its_own_stream_at_the_other(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway() as one, second_gateway(one) as other, one.api() as first:
        secret = await add_tenant(one.context.settings.postgres_dsn, "second")
        async with one.api(secret) as second, other.api(secret).events(STREAM) as theirs:
            # Long before the key would have been looked up again: it is the announcement that ends the stream.
            assert await revocation_delay_s(one, other, first) < RECHECK_INTERVAL_S / 2
            await publish(one, await tenant_of(second), own := await create_monitor(second))
            assert (await next_event(theirs)).data["monitor_id"] == own


async def test_a_key_revoked_at_one_gateway_is_refused_by_both_apis_of_the_other(start_gateway: StartGateway) -> None:
    async with start_gateway() as one, second_gateway(one) as other, one.api() as admin:
        key = await create_key(admin, "read")
        async with other.api(key["key"]) as api:
            await api.get(f"{V2}/me")
            assert (await admin.ask("DELETE", f"{V2}/keys/{key['id']}")).status == 204
            async with asyncio.timeout(5):
                while (answer := await api.ask("GET", f"{V2}/me")).status == 200:
                    pass
            check_problem(answer, 401)
            refused = await api.ask("GET", "/api/v1/me")
            assert (refused.status, refused.body["error"]) == (401, "invalid_api_key")
