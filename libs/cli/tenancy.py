"""`vedette tenant`, `vedette key` and `vedette audit`: operator commands, sent over NATS."""

import getpass
import re
import socket
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec

from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.model.fields.validation import check_cidr, check_instant, check_name, check_rate
from libs.model.requests.errors import RequestError
from libs.model.requests.messages import (
    ChangeTenant,
    CreateKey,
    CreateTenant,
    DeleteKey,
    ListAudit,
    ListKeys,
    ListTenants,
)
from libs.model.tenancy import Actor, Rate, Scope, Tenant
from libs.process.errors import StartError
from libs.process.run import utc_now
from libs.process.settings import Settings
from libs.process.signals import StopSignal

_PAGE_SIZE = 200
_DURATION = re.compile(r"(\d{1,5})([hd])")
_HOURS = {"h": 1, "d": 24}

OperatorCommand = Callable[["OperatorClient", Namespace], Coroutine[Any, Any, None]]


class OperatorClient:
    """An operator at the bus of an installation."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.actor = Actor(key_name=getpass.getuser(), address=socket.gethostname(), via="cli")

    async def find_tenant(self, name: str | None) -> Tenant:
        """Returns the tenant of this name; without a name the only one there is."""
        found = (await self.bus.request(ListTenants(limit=_PAGE_SIZE, name=name))).items
        if len(found) == 1:
            return found[0]
        if name is not None:
            raise StartError(f"there is no tenant {name!r}; `vedette tenant list` shows all")
        if not found:
            raise StartError("there is no tenant yet: `vedette tenant add NAME`")
        raise StartError(f"which tenant? --tenant NAME, one of {', '.join(each.name for each in found)}")

    async def list_tenants(self) -> list[Tenant]:
        found: list[Tenant] = []
        cursor: str | None = None
        while True:
            page = await self.bus.request(ListTenants(limit=_PAGE_SIZE, cursor=cursor))
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


async def run_command(command: OperatorCommand, options: Namespace, settings: Settings, _stop: StopSignal) -> None:
    """Does what was asked; what goes wrong is a StartError of one sentence."""
    async with _connect(settings) as desk:
        await command(desk, options)


@asynccontextmanager
async def _connect(settings: Settings) -> AsyncIterator[OperatorClient]:
    try:
        async with Bus.open(settings.nats_url, name="vedette:operator", connect_timeout_s=5.0) as bus:
            yield OperatorClient(bus)
    except BusError as error:
        raise StartError(f"NATS cannot be reached: {error}") from error
    except RequestError as error:
        field = error.info.field
        raise StartError(f"{field}: {error}" if field else str(error)) from error


async def add_tenant(desk: OperatorClient, options: Namespace) -> None:
    request = CreateTenant(
        actor=desk.actor,
        tenant_id=(await _first_tenant_id(desk)),
        name=options.name,
        rate=options.rate,
        monitors_max=options.monitors_max,
        interval_s_min=options.interval_min,
    )
    created = await desk.bus.request(request)
    _print(created.id)


async def set_tenant(desk: OperatorClient, options: Namespace) -> None:
    tenant = await desk.find_tenant(options.name)
    named = {
        "name": options.rename,
        "rate": options.rate,
        "monitors_max": options.monitors_max,
        "interval_s_min": options.interval_min,
    }
    given = {field: value for field, value in named.items() if value is not msgspec.UNSET}
    if not given:
        raise StartError("nothing to change: give --rename, --rate, --monitors-max or --interval-min")
    await desk.bus.request(ChangeTenant(tenant_id=tenant.id, actor=desk.actor, **given))


async def list_tenants(desk: OperatorClient, options: Namespace) -> None:
    head = ("id", "name", "monitors", "monitors_max", "interval_s_min", "rate")
    _print_table(options, head, await desk.list_tenants())


async def add_key(desk: OperatorClient, options: Namespace) -> None:
    """Prints the key alone, so that a script can take it; what is to be said about it goes elsewhere."""
    tenant = await desk.find_tenant(options.tenant)
    request = CreateKey(
        tenant_id=tenant.id,
        actor=desk.actor,
        name=options.name,
        scopes=options.scope,
        cidrs=options.cidr,
        expires_at=options.expires,
        rate=options.rate,
    )
    _print((await desk.bus.request(request)).key)


async def list_keys(desk: OperatorClient, options: Namespace) -> None:
    tenant = await desk.find_tenant(options.tenant)
    head = ("id", "name", "scopes", "cidrs", "created_at", "expires_at", "last_used_at", "rate")
    found = await desk.bus.request(ListKeys(tenant_id=tenant.id))
    _print_table(options, head, found)


async def revoke_key(desk: OperatorClient, options: Namespace) -> None:
    tenant = await desk.find_tenant(options.tenant)
    await desk.bus.request(DeleteKey(tenant_id=tenant.id, actor=desk.actor, key_id=options.id))


async def show_audit(desk: OperatorClient, options: Namespace) -> None:
    tenant = await desk.find_tenant(options.tenant)
    page = await desk.bus.request(ListAudit(tenant_id=tenant.id, limit=options.limit))
    head = ("at", "action", "object_name", "object_id", "changed", "key_name", "address", "via")
    _print_table(options, head, page.items)


def parse_name(text: str) -> str:
    """Reads a name from the command line; ValueError says what it must be."""
    check_name(parse_text(text))
    return text


def parse_text(text: str) -> str:
    """Reads what travels as UTF-8: what a terminal in another encoding sends is no text to us."""
    if any("\ud800" <= each <= "\udfff" for each in text):
        raise ValueError("is no text in UTF-8")
    return text


def parse_cidr(text: str) -> str:
    check_cidr("range", text)
    return text


def parse_rate(text: str) -> Rate:
    """Reads `PER_S:BURST`, such as 50:500."""
    per_s, _, burst = text.partition(":")
    try:
        rate = Rate(per_s=float(per_s), burst=int(burst))
    except ValueError:
        raise ValueError("rate: must look like PER_S:BURST, such as 50:500") from None
    check_rate(rate.per_s, rate.burst)
    return rate


def parse_expiry(text: str) -> datetime:
    """Reads when something ends: an instant with its zone, or a length from now such as 12h or 90d."""
    instant = _parse_instant(text)
    if instant is None or instant.tzinfo is None or instant <= utc_now():
        raise ValueError("expires: must be a length such as 12h or 90d, or a future instant such as 2027-01-31T00:00Z")
    check_instant("expires", instant)
    return instant


def _parse_instant(text: str) -> datetime | None:
    if length := _DURATION.fullmatch(text):
        return utc_now() + timedelta(hours=int(length[1]) * _HOURS[length[2]])
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


async def _first_tenant_id(desk: OperatorClient) -> str:
    """Returns the id of the oldest tenant: the operator of the installation has no tenant."""
    first = (await desk.bus.request(ListTenants(limit=1))).items
    if not first:
        raise StartError("make the first tenant with `vedette bootstrap --tenant NAME`: it prints its key")
    return first[0].id


def _print_table(options: Namespace, head: tuple[str, ...], items: Iterable[msgspec.Struct]) -> None:
    if options.json:
        _print(msgspec.json.format(msgspec.json.encode(list(items))).decode())
        return
    rows = [head, *(tuple(_format_cell(getattr(item, name)) for name in head) for item in items)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        _print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _format_cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case Rate():
            return f"{value.per_s:g}:{value.burst}"
        case datetime():
            return value.isoformat(timespec="seconds")
        case list() | tuple():
            return ",".join(map(str, value)) or "-"
        case _:
            return str(value)


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the answer


SCOPES = tuple(scope.value for scope in Scope)
