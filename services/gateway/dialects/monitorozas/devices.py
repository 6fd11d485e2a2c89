"""Routes /devices: endpoints, each checked by the monitors of its parts."""

from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency

from libs.model.tenancy import Scope
from libs.net.egress import EgressPolicy
from services.gateway.access.authenticator import requires_scope
from services.gateway.assets import iter_assets
from services.gateway.dialects.monitorozas.assets import create_asset, delete_asset
from services.gateway.dialects.monitorozas.constants import DEVICE, DIALECT
from services.gateway.dialects.monitorozas.device import parse_device
from services.gateway.dialects.monitorozas.envelope import success_response
from services.gateway.dialects.monitorozas.fields import BodyFields
from services.gateway.dialects.monitorozas.monitor_mapping import device_parts
from services.gateway.dialects.monitorozas.serializers import serialize_device
from services.gateway.session import TenantSession

INTERVAL_S = 60


@get("/devices")
async def list_devices(session: NamedDependency[TenantSession]) -> Response[bytes]:
    return success_response([serialize_device(asset) async for asset in iter_assets(session, DIALECT, DEVICE)])


@post("/devices/create", guards=[requires_scope(Scope.WRITE)])
async def create_device(
    request: Request[Any, Any, Any], session: NamedDependency[TenantSession], egress: NamedDependency[EgressPolicy]
) -> Response[bytes]:
    wanted = parse_device(BodyFields.from_json(await request.body()), egress)
    asset = await create_asset(session, DEVICE, wanted, device_parts(wanted), INTERVAL_S)
    return success_response(serialize_device(asset), 201)


@delete("/devices/delete", guards=[requires_scope(Scope.WRITE)], status_code=200)
async def delete_device(request: Request[Any, Any, Any], session: NamedDependency[TenantSession]) -> Response[bytes]:
    return success_response(await delete_asset(session, DEVICE, request))


HANDLERS = [list_devices, create_device, delete_device]
