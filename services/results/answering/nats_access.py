"""Tenants at NATS itself: their keys let them in to read what is theirs, and a revoked one throws them out."""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from faststream.nats import NatsRouter

from libs.bus import subjects
from libs.bus.access import SUBSCRIPTIONS_MAX, Asked, Desk, key_id_of, user
from libs.bus.bus import Bus
from libs.bus.callout import serve_callout
from libs.bus.connections import Connection, Connections
from libs.bus.errors import BusError
from libs.bus.nkeys import Signer
from libs.model.networks import is_inside, networks
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.requests import Authenticate
from libs.model.tenancy import Principal, Quota, digest, is_secret
from libs.process.errors import StartError
from libs.process.service import Clock, Context
from libs.process.tasks import ended
from libs.store import keys
from libs.store.pool import Store
from services.results.answering.keys import Keys
from services.results.answering.refusing import refusing
from services.results.pipeline.loop import Loop

# Where we can end connections, a client that stays long is asked to come again before its token runs out: some clients
# take the end of a token for a reason never to come back. Where we cannot, the token is all that ends a revoked key.
STAY_MAX = timedelta(hours=1)
STAY_ALONE_MAX = timedelta(minutes=10)
RENEW_S = 2400
RENEW_SPREAD_S = 600

SWEEP_EVERY_S = 10.0
CONNECTIONS_MAX = 50
REVOKED_MAX = 10_000
CUTS_AT_ONCE = 64
# A client that was being let in while its key was revoked is connected by then.
CUT_AGAIN_S = 0.5

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Admission:
    """Answers nats-server about clients that it does not know. Who is refused is not told why."""

    def __init__(self, keys: Keys, desk: Desk, clock: Clock) -> None:
        self._authenticate = refusing(keys.authenticate)
        self._desk = desk
        self._clock = clock
        self._revoked: OrderedDict[str, None] = OrderedDict()

    async def decide(self, asks: Asked) -> bytes:
        principal = await self._bearer(asks)
        now = self._clock()
        if principal is None:
            return self._desk.refuse(asks, now)
        tenant_id, key_id = principal.tenant_id, principal.key_id
        log.info("nats.admitted", tenant=tenant_id, key=key_id, address=asks.address)
        return self._desk.admit(asks, tenant_id, key_id, now=now, expires_at=principal.expires_at)

    def revoke(self, key_id: str) -> None:
        """Refuses the key from now on, whatever the database said a moment ago."""
        self._revoked[key_id] = None
        if len(self._revoked) > REVOKED_MAX:
            self._revoked.popitem(last=False)

    async def _bearer(self, asks: Asked) -> Principal | None:
        if not is_secret(asks.secret):
            return None
        try:
            principal = await self._authenticate(Authenticate(key_sha256=digest(asks.secret)))
        except RefusedError as error:
            if error.refusal.code is not RefusalCode.NOT_FOUND:
                log.warning("nats.nobody_knows", address=asks.address, reason=str(error))
            return None
        inside = not principal.cidrs or is_inside(asks.address, networks(principal.cidrs))
        if principal.key_id in self._revoked or not inside:
            return None
        return principal


class Eviction:
    """Ends connections whose key is no longer good. What it knows it asks the servers: a restart forgets nothing."""

    def __init__(self, store: Store, connections: Connections, clock: Clock) -> None:
        self._store, self._connections, self._clock = store, connections, clock
        self._slots = asyncio.Semaphore(CUTS_AT_ONCE)

    async def cut_soon(self, group: asyncio.TaskGroup, key_id: str) -> None:
        """Begins to end the connections of one key; waits while too many others are being ended."""
        await self._slots.acquire()
        group.create_task(self._cut_twice(key_id)).add_done_callback(lambda _: self._slots.release())

    async def sweep(self) -> bool:
        """Ends what no announcement ended: keys that expired, connections that are old, too many, or hold too much."""
        held: defaultdict[str, list[Connection]] = defaultdict(list)
        async for connection in self._connections.all():
            if (key_id := key_id_of(connection.user)) is not None:
                held[key_id].append(connection)
        if not held:
            return False
        async with self._store.connection() as db:
            good = await keys.still_good(db, list(held), self._clock())
        for key_id, connections in held.items():
            for connection in surplus(connections) if key_id in good else connections:
                await self._connections.kick(connection)
        return False

    async def _cut_twice(self, key_id: str) -> None:
        try:
            await self._cut(key_id)
            await asyncio.sleep(CUT_AGAIN_S)
            await self._cut(key_id)
        except BusError as error:
            log.warning("nats.not_cut", key=key_id, error=str(error))

    async def _cut(self, key_id: str) -> None:
        async for connection in self._connections.of(user(key_id)):
            await self._connections.kick(connection)
            log.info("nats.cut", key=key_id, connection=connection.cid)


def surplus(connections: list[Connection]) -> list[Connection]:
    """Returns those connections of one good key that must go, or must come again."""
    oldest_first = sorted(connections, key=lambda each: -each.age_s)
    too_many = oldest_first[CONNECTIONS_MAX:]
    return too_many + [
        each
        for each in oldest_first[:CONNECTIONS_MAX]
        if each.subscriptions > SUBSCRIPTIONS_MAX or each.age_s > RENEW_S + each.cid % RENEW_SPREAD_S
    ]


@asynccontextmanager
async def nats_access(context: Context, store: Store, router: NatsRouter) -> AsyncIterator[None]:
    """Lets tenants in at NATS, if the settings hold the key that signs for it."""
    settings = context.settings
    if not settings.nats_issuer:
        yield
        return
    alone = not settings.nats_system_url
    desk = Desk(Signer(settings.nats_issuer), STAY_ALONE_MAX if alone else STAY_MAX)
    admission = Admission(Keys(store, context.bus, context.clock, Quota()), desk, context.clock)
    serve_callout(router, admission.decide)
    async with _eviction(context, store) as eviction, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_hear(context.bus, admission, eviction))]
        if eviction is not None:
            tasks.append(group.create_task(Loop("nats_access", eviction.sweep, SWEEP_EVERY_S).run()))
        try:
            yield
        finally:
            await ended(tasks)


@asynccontextmanager
async def _eviction(context: Context, store: Store) -> AsyncIterator[Eviction | None]:
    url = context.settings.nats_system_url
    if not url:
        log.warning("nats.no_system_user", stay_max_s=STAY_ALONE_MAX.total_seconds())
        yield None
        return
    async with AsyncExitStack() as stack:
        try:
            connections = await stack.enter_async_context(Connections.open(url, name="vedette:results:system"))
        except BusError as error:
            raise StartError(f"VEDETTE_NATS_SYSTEM_URL cannot be used: {error}") from error
        yield Eviction(store, connections, context.clock)


async def _hear(bus: Bus, admission: Admission, eviction: Eviction | None) -> None:
    """Acts on every key that is revoked anywhere; what is missed meanwhile, the sweep finds."""
    while True:
        try:
            async with asyncio.TaskGroup() as group, bus.listen(subjects.KEYS_REVOKED) as key_ids:
                async for body in key_ids:
                    key_id = body.decode("ascii", "replace")
                    admission.revoke(key_id)
                    if eviction is not None:
                        await eviction.cut_soon(group, key_id)
        except* BusError as error:
            log.warning("nats.revocations_missed", error=str(error.exceptions[0]))
        await asyncio.sleep(1)
