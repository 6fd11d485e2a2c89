"""Tenants at NATS itself: their keys let them in to read what is theirs, and a revoked one throws them out."""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from faststream.nats import NatsRouter

from libs.bus import subjects
from libs.bus.auth.callout_protocol import SUBSCRIPTIONS_MAX, AuthRequest, CalloutResponder, key_id_of_user, key_user
from libs.bus.auth.callout_server import serve_callout
from libs.bus.auth.connections import ClientConnection, ServerConnections
from libs.bus.auth.nkeys import AccountSigner
from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.model.fields.networks import is_in_networks, parse_networks
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import Authenticate
from libs.model.tenancy import Principal, Quota, api_key_digest, is_api_key
from libs.process.errors import StartError
from libs.process.service import Clock, ServiceContext
from libs.process.tasks import cancel_and_wait
from libs.store.core.pool import Store
from libs.store.tenancy import keys
from services.results.error_mapping import map_store_errors
from services.results.periodic import PeriodicTask
from services.results.tenancy.key_handlers import KeyHandlers

# Where we can end connections, a client that stays long is asked to come again before its token runs out: some clients
# take the end of a token for a reason never to come back. Where we cannot, the token is all that ends a revoked key.
TOKEN_LIFETIME = timedelta(hours=1)
TOKEN_LIFETIME_WITHOUT_REAPER = timedelta(minutes=10)
CONNECTION_AGE_S_MAX = 2400
CONNECTION_AGE_SPREAD_S = 600

REAP_INTERVAL_S = 10.0
CONNECTIONS_MAX = 50
REVOKED_MAX = 10_000
CLOSING_MAX = 64
# A client that was being let in while its key was revoked is connected by then.
CLOSE_AGAIN_S = 0.5

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CalloutHandler:
    """Answers nats-server about clients that it does not know. Who is refused is not told why."""

    def __init__(self, keys: KeyHandlers, desk: CalloutResponder, clock: Clock) -> None:
        self._authenticate = map_store_errors(keys.authenticate)
        self._responder = desk
        self._clock = clock
        self._revoked: OrderedDict[str, None] = OrderedDict()

    async def handle(self, asks: AuthRequest) -> bytes:
        principal = await self._find_principal(asks)
        now = self._clock()
        if principal is None:
            return self._responder.deny(asks, now)
        tenant_id, key_id = principal.tenant_id, principal.key_id
        log.info("nats_callout.allowed", tenant=tenant_id, key=key_id, address=asks.address)
        return self._responder.allow(asks, tenant_id, key_id, now=now, expires_at=principal.expires_at)

    def revoke(self, key_id: str) -> None:
        """Refuses the key from now on, whatever the database said a moment ago."""
        self._revoked[key_id] = None
        if len(self._revoked) > REVOKED_MAX:
            self._revoked.popitem(last=False)

    async def _find_principal(self, asks: AuthRequest) -> Principal | None:
        if not is_api_key(asks.secret):
            return None
        try:
            principal = await self._authenticate(Authenticate(key_sha256=api_key_digest(asks.secret)))
        except RequestError as error:
            if error.info.code is not ErrorCode.NOT_FOUND:
                log.warning("nats_callout.authentication_failed", address=asks.address, reason=str(error))
            return None
        inside = not principal.cidrs or is_in_networks(asks.address, parse_networks(principal.cidrs))
        if principal.key_id in self._revoked or not inside:
            return None
        return principal


class ConnectionReaper:
    """Ends connections whose key is no longer good. What it knows it asks the servers: a restart forgets nothing."""

    def __init__(self, store: Store, connections: ServerConnections, clock: Clock) -> None:
        self._store, self._connections, self._clock = store, connections, clock
        self._closing = asyncio.Semaphore(CLOSING_MAX)

    async def close_soon(self, group: asyncio.TaskGroup, key_id: str) -> None:
        """Begins to end the connections of one key; waits while too many others are being ended."""
        await self._closing.acquire()
        group.create_task(self._close_twice(key_id)).add_done_callback(lambda _: self._closing.release())

    async def close_invalid(self) -> bool:
        """Ends what no announcement ended: keys that expired, connections that are old, too many, or hold too much."""
        held: defaultdict[str, list[ClientConnection]] = defaultdict(list)
        async for connection in self._connections.list_all():
            if (key_id := key_id_of_user(connection.user)) is not None:
                held[key_id].append(connection)
        if not held:
            return False
        async with self._store.connection() as db:
            good = await keys.filter_valid(db, list(held), self._clock())
        for key_id, connections in held.items():
            for connection in excess_connections(connections) if key_id in good else connections:
                await self._connections.kick(connection)
        return False

    async def _close_twice(self, key_id: str) -> None:
        try:
            await self._close(key_id)
            await asyncio.sleep(CLOSE_AGAIN_S)
            await self._close(key_id)
        except BusError as error:
            log.warning("nats_callout.close_failed", key=key_id, error=str(error))

    async def _close(self, key_id: str) -> None:
        async for connection in self._connections.list_of_user(key_user(key_id)):
            await self._connections.kick(connection)
            log.info("nats_callout.connection_closed", key=key_id, connection=connection.cid)


def excess_connections(connections: list[ClientConnection]) -> list[ClientConnection]:
    """Returns those connections of one good key that must go, or must come again."""
    oldest_first = sorted(connections, key=lambda each: -each.age_s)
    too_many = oldest_first[CONNECTIONS_MAX:]
    return too_many + [
        each
        for each in oldest_first[:CONNECTIONS_MAX]
        if each.subscriptions > SUBSCRIPTIONS_MAX
        or each.age_s > CONNECTION_AGE_S_MAX + each.cid % CONNECTION_AGE_SPREAD_S
    ]


@asynccontextmanager
async def open_nats_callout(context: ServiceContext, store: Store, router: NatsRouter) -> AsyncIterator[None]:
    """Lets tenants in at NATS, if the settings hold the key that signs for it."""
    settings = context.settings
    if not settings.nats_issuer:
        yield
        return
    alone = not settings.nats_system_url
    desk = CalloutResponder(
        AccountSigner(settings.nats_issuer), TOKEN_LIFETIME_WITHOUT_REAPER if alone else TOKEN_LIFETIME
    )
    admission = CalloutHandler(KeyHandlers(store, context.bus, context.clock, Quota()), desk, context.clock)
    serve_callout(router, admission.handle)
    async with _open_reaper(context, store) as eviction, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_watch_revocations(context.bus, admission, eviction))]
        if eviction is not None:
            tasks.append(group.create_task(PeriodicTask("nats_access", eviction.close_invalid, REAP_INTERVAL_S).run()))
        try:
            yield
        finally:
            await cancel_and_wait(tasks)


@asynccontextmanager
async def _open_reaper(context: ServiceContext, store: Store) -> AsyncIterator[ConnectionReaper | None]:
    url = context.settings.nats_system_url
    if not url:
        log.warning("nats_callout.no_system_user", stay_max_s=TOKEN_LIFETIME_WITHOUT_REAPER.total_seconds())
        yield None
        return
    async with AsyncExitStack() as stack:
        try:
            connections = await stack.enter_async_context(ServerConnections.open(url, name="vedette:results:system"))
        except BusError as error:
            raise StartError(f"VEDETTE_NATS_SYSTEM_URL cannot be used: {error}") from error
        yield ConnectionReaper(store, connections, context.clock)


async def _watch_revocations(bus: Bus, admission: CalloutHandler, eviction: ConnectionReaper | None) -> None:
    """Acts on every key that is revoked anywhere; what is missed meanwhile, the sweep finds."""
    while True:
        try:
            async with asyncio.TaskGroup() as group, bus.subscribe(subjects.KEYS_REVOKED) as key_ids:
                async for body in key_ids:
                    key_id = body.decode("ascii", "replace")
                    admission.revoke(key_id)
                    if eviction is not None:
                        await eviction.close_soon(group, key_id)
        except* BusError as error:
            log.warning("nats_callout.revocations_missed", error=str(error.exceptions[0]))
        await asyncio.sleep(1)
