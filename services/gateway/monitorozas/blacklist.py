"""/blacklist-monitors: names and addresses that are looked for on DNS blacklists."""

from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency

from libs.model.tenancy import Scope
from services.gateway.assets import every
from services.gateway.auth import needs
from services.gateway.caller import Caller
from services.gateway.monitorozas.envelope import success
from services.gateway.monitorozas.fields import Fields
from services.gateway.monitorozas.parts import blacklist_parts
from services.gateway.monitorozas.records import create, remove
from services.gateway.monitorozas.shown import shown_blacklist_monitor
from services.gateway.monitorozas.targets import target
from services.gateway.monitorozas.words import BLACKLIST_MONITOR, DIALECT

INTERVAL_S = 3600


class BlacklistMonitor(msgspec.Struct, frozen=True, kw_only=True):
    """What a client described, in one form."""

    target_type: str
    target_value: str
    is_enabled: int = 1

    @property
    def identity(self) -> str:
        """What makes two of a tenant the same one."""
        return msgspec.json.encode((self.target_type, self.target_value)).decode()


def blacklist_monitor(fields: Fields) -> BlacklistMonitor:
    """Returns the blacklist monitor that a client describes, or raises InvalidError."""
    target_type, target_value = target(fields)
    is_enabled = fields.flag("is_enabled", 1)
    return BlacklistMonitor(target_type=target_type, target_value=target_value, is_enabled=is_enabled)


@get("/blacklist-monitors")
async def list_blacklist_monitors(caller: NamedDependency[Caller]) -> Response[bytes]:
    return success([shown_blacklist_monitor(asset) async for asset in every(caller, DIALECT, BLACKLIST_MONITOR)])


@post("/blacklist-monitors/create", guards=[needs(Scope.WRITE)])
async def create_blacklist_monitor(request: Request[Any, Any, Any], caller: NamedDependency[Caller]) -> Response[bytes]:
    wanted = blacklist_monitor(Fields.of(await request.body()))
    asset = await create(caller, BLACKLIST_MONITOR, wanted, blacklist_parts(wanted.target_value), INTERVAL_S)
    return success(shown_blacklist_monitor(asset), 201)


@delete("/blacklist-monitors/delete", guards=[needs(Scope.WRITE)], status_code=200)
async def delete_blacklist_monitor(request: Request[Any, Any, Any], caller: NamedDependency[Caller]) -> Response[bytes]:
    return success(await remove(caller, BLACKLIST_MONITOR, request))


HANDLERS = [list_blacklist_monitors, create_blacklist_monitor, delete_blacklist_monitor]
