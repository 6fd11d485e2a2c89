"""Routes /blacklist-monitors: hosts to look up on DNS blacklists."""

from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency

from libs.model.tenancy import Scope
from services.gateway.access.authenticator import requires_scope
from services.gateway.assets import iter_assets
from services.gateway.dialects.monitorozas.assets import create_asset, delete_asset
from services.gateway.dialects.monitorozas.constants import BLACKLIST_MONITOR, DIALECT
from services.gateway.dialects.monitorozas.envelope import success_response
from services.gateway.dialects.monitorozas.fields import BodyFields
from services.gateway.dialects.monitorozas.monitor_mapping import blacklist_parts
from services.gateway.dialects.monitorozas.serializers import serialize_blacklist_monitor
from services.gateway.dialects.monitorozas.targets import parse_target
from services.gateway.session import TenantSession

INTERVAL_S = 3600


class BlacklistMonitor(msgspec.Struct, frozen=True, kw_only=True):
    """The normalized fields of a blacklist monitor."""

    target_type: str
    target_value: str
    is_enabled: int = 1

    @property
    def identity(self) -> str:
        """Key that is unique among the blacklist monitors of a tenant."""
        return msgspec.json.encode((self.target_type, self.target_value)).decode()


def parse_blacklist_monitor(fields: BodyFields) -> BlacklistMonitor:
    """Parses a blacklist monitor, or raises InvalidFieldError."""
    target_type, target_value = parse_target(fields)
    is_enabled = fields.bool01("is_enabled", 1)
    return BlacklistMonitor(target_type=target_type, target_value=target_value, is_enabled=is_enabled)


@get("/blacklist-monitors")
async def list_blacklist_monitors(session: NamedDependency[TenantSession]) -> Response[bytes]:
    return success_response(
        [serialize_blacklist_monitor(asset) async for asset in iter_assets(session, DIALECT, BLACKLIST_MONITOR)]
    )


@post("/blacklist-monitors/create", guards=[requires_scope(Scope.WRITE)])
async def create_blacklist_monitor(
    request: Request[Any, Any, Any], session: NamedDependency[TenantSession]
) -> Response[bytes]:
    wanted = parse_blacklist_monitor(BodyFields.from_json(await request.body()))
    asset = await create_asset(session, BLACKLIST_MONITOR, wanted, blacklist_parts(wanted.target_value), INTERVAL_S)
    return success_response(serialize_blacklist_monitor(asset), 201)


@delete("/blacklist-monitors/delete", guards=[requires_scope(Scope.WRITE)], status_code=200)
async def delete_blacklist_monitor(
    request: Request[Any, Any, Any], session: NamedDependency[TenantSession]
) -> Response[bytes]:
    return success_response(await delete_asset(session, BLACKLIST_MONITOR, request))


HANDLERS = [list_blacklist_monitors, create_blacklist_monitor, delete_blacklist_monitor]
