"""Auth callout: tenants connect to NATS with their API keys; connections of revoked keys are closed."""

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

# With a reaper, a long-lived connection is closed before its token expires, so that the client reconnects: some clients
# never reconnect after an expired token. Without one, only the expiry of the token ends a revoked key.
TOKEN_LIFETIME = timedelta(hours=1)
TOKEN_LIFETIME_WITHOUT_REAPER = timedelta(minutes=10)
CONNECTION_AGE_S_MAX = 2400
CONNECTION_AGE_SPREAD_S = 600

REAP_INTERVAL_S = 10.0
CONNECTIONS_MAX = 50
REVOKED_MAX = 10_000
CLOSING_MAX = 64
# A client that was being authorized while its key was revoked is connected by then.
CLOSE_AGAIN_S = 0.5

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CalloutHandler:
    """Handler of auth callout requests. A denied client gets no reason."""

    def __init__(self, keys: KeyHandlers, responder: CalloutResponder, clock: Clock) -> None:
        self._authenticate = map_store_errors(keys.authenticate)
        self._responder = responder
        self._clock = clock
        self._revoked: OrderedDict[str, None] = OrderedDict()

    async def handle(self, request: AuthRequest) -> bytes:
        principal = await self._find_principal(request)
        now = self._clock()
        if principal is None:
            return self._responder.deny(request, now)
        tenant_id, key_id = principal.tenant_id, principal.key_id
        log.info("nats_callout.allowed", tenant=tenant_id, key=key_id, address=request.address)
        return self._responder.allow(request, tenant_id, key_id, now=now, expires_at=principal.expires_at)

    def revoke(self, key_id: str) -> None:
        """Denies the key from now on, also to requests that have already read it from the database."""
        self._revoked[key_id] = None
        if len(self._revoked) > REVOKED_MAX:
            self._revoked.popitem(last=False)

    async def _find_principal(self, request: AuthRequest) -> Principal | None:
        if not is_api_key(request.secret):
            return None
        try:
            principal = await self._authenticate(Authenticate(key_sha256=api_key_digest(request.secret)))
        except RequestError as error:
            if error.info.code is not ErrorCode.NOT_FOUND:
                log.warning("nats_callout.authentication_failed", address=request.address, reason=str(error))
            return None
        inside = not principal.cidrs or is_in_networks(request.address, parse_networks(principal.cidrs))
        if principal.key_id in self._revoked or not inside:
            return None
        return principal


class ConnectionReaper:
    """Closes connections whose key is no longer valid. Stateless: the list of connections comes from the servers."""

    def __init__(self, store: Store, connections: ServerConnections, clock: Clock) -> None:
        self._store, self._connections, self._clock = store, connections, clock
        self._closing = asyncio.Semaphore(CLOSING_MAX)

    async def close_soon(self, group: asyncio.TaskGroup, key_id: str) -> None:
        """Starts closing the connections of one key; waits while CLOSING_MAX keys are being closed."""
        await self._closing.acquire()
        group.create_task(self._close_twice(key_id)).add_done_callback(lambda _: self._closing.release())

    async def close_invalid(self) -> bool:
        """Closes connections with expired or revoked keys, and those that are too old, too many, or over-subscribed."""
        held: defaultdict[str, list[ClientConnection]] = defaultdict(list)
        async for connection in self._connections.list_all():
            if (key_id := key_id_of_user(connection.user)) is not None:
                held[key_id].append(connection)
        if not held:
            return False
        async with self._store.connection() as db:
            valid = await keys.filter_valid(db, list(held), self._clock())
        for key_id, connections in held.items():
            for connection in excess_connections(connections) if key_id in valid else connections:
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
    """Returns the connections of one valid key to close: beyond the limit, over-subscribed, or due to reconnect."""
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
    """Serves the auth callout if the settings contain the signing key."""
    settings = context.settings
    if not settings.nats_issuer:
        yield
        return
    without_reaper = not settings.nats_system_url
    responder = CalloutResponder(
        AccountSigner(settings.nats_issuer), TOKEN_LIFETIME_WITHOUT_REAPER if without_reaper else TOKEN_LIFETIME
    )
    handler = CalloutHandler(KeyHandlers(store, context.bus, context.clock, Quota()), responder, context.clock)
    serve_callout(router, handler.handle)
    async with _open_reaper(context, store) as reaper, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_watch_revocations(context.bus, handler, reaper))]
        if reaper is not None:
            tasks.append(group.create_task(PeriodicTask("nats_callout", reaper.close_invalid, REAP_INTERVAL_S).run()))
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


async def _watch_revocations(bus: Bus, handler: CalloutHandler, reaper: ConnectionReaper | None) -> None:
    """Closes the connections of every revoked key. `close_invalid` finds those whose announcement was missed."""
    while True:
        try:
            async with asyncio.TaskGroup() as group, bus.subscribe(subjects.KEYS_REVOKED) as key_ids:
                async for body in key_ids:
                    key_id = body.decode("ascii", "replace")
                    handler.revoke(key_id)
                    if reaper is not None:
                        await reaper.close_soon(group, key_id)
        except* BusError as error:
            log.warning("nats_callout.revocations_missed", error=str(error.exceptions[0]))
        await asyncio.sleep(1)
