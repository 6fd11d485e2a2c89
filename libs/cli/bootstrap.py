"""`vedette bootstrap`: creates the first tenant and its operator key, by a request over NATS."""

import asyncio
import time

from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import Bootstrap
from libs.model.tenancy import api_key_digest, new_api_key
from libs.process.errors import StartError
from libs.process.settings import Settings
from libs.process.signals import StopSignal

REPLY_TIMEOUT_S = 30.0
_RETRY_DELAY_S = 0.2


async def bootstrap(tenant_name: str, settings: Settings, _stop: StopSignal) -> None:
    """Makes the first tenant and prints its key; StartError when there is one already."""
    secret = new_api_key()
    try:
        async with Bus.open(settings.nats_url, name="vedette:bootstrap") as bus:
            made = await create_first_key(bus, tenant_name, secret)
    except BusError as error:
        raise StartError(f"NATS cannot be reached: {error}") from error
    if not made:
        raise StartError("there is a tenant already; an admin key of it makes more keys with POST /api/v2/keys")
    print(secret, flush=True)  # noqa: T201 - the one time that it is shown


async def create_first_key(bus: Bus, tenant_name: str, secret: str) -> bool:
    """Makes the first tenant with `secret` as its admin key; returns whether that key works.

    Waits for the results service and retries after a lost reply: the same secret gets the same reply.
    """
    until = time.monotonic() + REPLY_TIMEOUT_S
    while True:
        try:
            return await bus.request(Bootstrap(tenant_name=tenant_name, key_sha256=api_key_digest(secret)))
        except RequestError as error:
            if error.info.code is not ErrorCode.UNAVAILABLE or time.monotonic() > until:
                raise StartError(f"no tenant could be made: {error}") from error
        await asyncio.sleep(_RETRY_DELAY_S)
