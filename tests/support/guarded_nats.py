"""A nats-server on which everybody has a credential of his own, as compose and `vedette up` run it."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from libs.bus.auth import nkeys, permissions, server_config
from tests.support.ports import free_port
from tests.support.servers import NatsServer, scratch

KINDS = ("http", "port")
LOCATIONS = ("local", "eu")
ANSWER_S = 10.0


@dataclass(frozen=True)
class GuardedNats:
    """The server, and what is needed to get in."""

    server: NatsServer
    passwords: dict[str, str]
    seed: str

    def url(self, user: str) -> str:
        return f"nats://{user}:{self.passwords[user]}@127.0.0.1:{self.server.port}"

    def tenant_url(self, key: str, user: str = "key") -> str:
        return f"nats://{user}:{key}@127.0.0.1:{self.server.port}"

    def settings(self) -> dict[str, Any]:
        """The settings of a results room here."""
        return {
            "nats_url": self.url(permissions.RESULTS_USER),
            "nats_system_url": self.url(permissions.SYSTEM_USER),
            "nats_issuer": self.seed,
        }


@contextlib.contextmanager
def guarded_nats(size: int = 1) -> Iterator[list[GuardedNats]]:
    """Gives the servers, which are one cluster if they are several."""
    names = [
        permissions.GATEWAY_USER,
        permissions.RESULTS_USER,
        permissions.SYSTEM_USER,
        *map(permissions.prober_user, LOCATIONS),
    ]
    passwords = {name: secrets.token_hex(8) for name in names}
    seed = nkeys.new_seed()
    users = server_config.service_users(passwords, KINDS, LOCATIONS)
    block = server_config.authorization_config(
        users, server_config.system_user(passwords[permissions.SYSTEM_USER]), nkeys.AccountSigner(seed).public_key
    )
    with contextlib.ExitStack() as stack:
        servers = [NatsServer(stack.enter_context(scratch("nats")), more=block + more) for more in _clustered(size)]
        for server in servers:
            stack.callback(server.kill)
            server.process.start()
        for server in servers:
            server.wait_ready()
        yield [GuardedNats(server, passwords, seed) for server in servers]


def _clustered(size: int) -> list[str]:
    """Returns what each server needs to know of the others."""
    if size == 1:
        return [""]
    ports = [free_port() for _ in range(size)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    return [
        f'server_name: n{port}\ncluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{routes}] }}\n'
        for port in ports
    ]


class Guest:
    """A client of nats-py, as a tenant would write it, that remembers what the server told it."""

    def __init__(self) -> None:
        self.client = Client()
        self.messages: asyncio.Queue[Msg] = asyncio.Queue()
        self.errors: asyncio.Queue[str] = asyncio.Queue()
        self.disconnected = asyncio.Event()
        self.closed = asyncio.Event()

    async def subscribe(self, subject: str) -> None:
        """Returns when the server has read the subscription, and refused it if it does."""
        await self.client.subscribe(subject, cb=self.messages.put)
        await self.client.flush()
        await self.client.flush()

    async def refusal_of_subscribing(self, subject: str) -> str:
        """Returns the server's words about a subscription that it must refuse."""
        await self.client.subscribe(subject, cb=self.messages.put)
        return await self._error()

    async def refusal_of_publishing(self, subject: str) -> str:
        await self.client.publish(subject, b"x")
        return await self._error()

    async def next(self) -> Msg:
        async with asyncio.timeout(ANSWER_S):
            return await self.messages.get()

    async def _error(self) -> str:
        await self.client.flush()
        async with asyncio.timeout(ANSWER_S):
            return await self.errors.get()


@contextlib.asynccontextmanager
async def guest(url: str, **options: Any) -> AsyncIterator[Guest]:
    """A connected client; raises the client's own error when the server does not let it in."""
    made = Guest()

    async def failed(error: Exception) -> None:
        made.errors.put_nowait(str(error).lower())

    async def disconnected() -> None:
        made.disconnected.set()

    async def closed() -> None:
        made.closed.set()

    plain = {"allow_reconnect": False, "max_reconnect_attempts": 0, "connect_timeout": 10}
    callbacks = {"error_cb": failed, "disconnected_cb": disconnected, "closed_cb": closed}
    try:
        await made.client.connect(url, **{**plain, **callbacks, **options})
        yield made
    finally:
        await made.client.close()


async def is_let_in(url: str) -> bool:
    """Tells whether the server takes this credential."""
    try:
        async with guest(url) as visitor:
            await visitor.client.flush()
    except nats.errors.Error:
        return False
    return True
