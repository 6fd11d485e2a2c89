"""Cluster of three servers: tenants can connect to each, and are disconnected from each."""

import asyncio

from tests.integration.nats.conftest import open_deployment
from tests.support.guarded_nats import guarded_nats, guest, is_let_in


async def test_a_key_is_valid_on_every_server_and_revoked_on_every_server(postgres_dsn: str) -> None:
    with guarded_nats(3) as servers:
        first, second, third = servers
        async with open_deployment(first, postgres_dsn, second) as home:
            tenant = await home.tenant()
            key = await tenant.key()
            urls = [each.tenant_url(key.key) for each in (first, second, third)]
            async with guest(urls[0]) as one, guest(urls[1]) as two, guest(urls[2]) as three:
                for client in (one, two, three):
                    await client.subscribe(f"live.results.{tenant.id}.>")
                    assert "violation" in await client.refusal_of_subscribing("live.results.>")
                await tenant.revoke(key)
                async with asyncio.timeout(10):
                    for client in (one, two, three):
                        await client.disconnected.wait()
            assert [await is_let_in(url) for url in urls] == [False] * 3
