"""Auth callout: unsigned requests get no response, and an unavailable service lets no client in."""

import asyncio
import os
from dataclasses import dataclass

import nats
from nats.aio.msg import Msg

from libs.bus.auth import nkeys, permissions
from libs.model.ids import new_id
from libs.process.run import running_services
from libs.process.settings import Settings
from services.results.__main__ import service as results
from tests.integration.nats.conftest import OpenDeployment
from tests.support.callouts import callout
from tests.support.guarded_nats import GuardedNats, guest, is_let_in
from tests.support.servers import PostgresServer

DEEP = b'{"nats":' * 20_000
OWN_SIGNER = nkeys.AccountSigner(nkeys.new_seed())

GARBAGE = [
    *(b"", b" ", b"\x00", b"\xff\xfe", b"..", b"a.b.c", b"eyJ.eyJ.eyJ", os.urandom(2000), b"." * 5000, DEEP),
    *(callout()[:-1], callout() + b"x", callout()[5:], callout().replace(b".", b",")),
    *(callout(aud="x"), callout(type="x"), callout(user_nkey=""), callout(server_id=None), callout(connect_opts=[])),
    OWN_SIGNER.sign({"aud": "nats-authorization-request", "nats": {"type": "authorization_request"}}).encode(),
]


@dataclass
class CalloutClient:
    """Client that sends callout requests itself, on a server without permissions."""

    client: nats.aio.client.Client
    responses: asyncio.Queue[Msg]

    async def send_request(self, body: bytes) -> None:
        await self.client.publish(permissions.CALLOUT_SUBJECT, body, reply="answers")

    async def next_response(self) -> bytes:
        async with asyncio.timeout(20):
            return (await self.responses.get()).data


async def test_garbage_gets_no_response_and_has_no_effect(nats_url: str, postgres_dsn: str) -> None:
    settings = Settings(nats_url=nats_url, postgres_dsn=postgres_dsn, health_port=0, nats_issuer=nkeys.new_seed())
    async with running_services((results(),), settings), await nats.connect(nats_url) as client:
        room = CalloutClient(client, asyncio.Queue())
        await client.subscribe("answers", cb=room.responses.put)
        for body in GARBAGE:
            await room.send_request(body)
            await client.publish(permissions.CALLOUT_SUBJECT, body)  # nobody to answer
        for secret in ("", "x", "vdt_" + "x" * 43, "\x00", "'; --"):
            await room.send_request(callout(secret=secret, address=new_id()))
        for _ in range(5):
            assert (await room.next_response()).startswith(b"eyJ")
        assert room.responses.empty()


async def test_without_the_database_new_clients_are_rejected_and_connected_ones_stay(
    house: OpenDeployment, own_postgres_server: PostgresServer
) -> None:
    async with house(postgres_dsn=own_postgres_server.new_database()) as home:
        tenant = await home.tenant()
        url = home.nats.tenant_url((await tenant.key()).key)
        async with guest(url) as client:
            await client.subscribe(f"live.results.{tenant.id}.>")
            own_postgres_server.kill()
            assert not await is_let_in(url)
            await home.publish_result(tenant.id)
            await client.next()
            own_postgres_server.start()
            assert await is_let_in(url)
            assert not client.disconnected.is_set()


async def test_without_the_results_service_services_can_connect_and_tenants_cannot(guarded: GuardedNats) -> None:
    assert await is_let_in(guarded.url("gateway"))
    assert not await is_let_in(guarded.tenant_url("vdt_" + "x" * 43))
