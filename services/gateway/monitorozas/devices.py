"""/devices: end points that are watched, each by the monitors that it implies."""

from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency

from libs.model.tenancy import Scope
from libs.net.egress import Egress
from services.gateway.assets import every
from services.gateway.auth import needs
from services.gateway.caller import Caller
from services.gateway.monitorozas.device import device
from services.gateway.monitorozas.envelope import success
from services.gateway.monitorozas.fields import Fields
from services.gateway.monitorozas.parts import device_parts
from services.gateway.monitorozas.records import create, remove
from services.gateway.monitorozas.shown import shown_device
from services.gateway.monitorozas.words import DEVICE, DIALECT

INTERVAL_S = 60


@get("/devices")
async def list_devices(caller: NamedDependency[Caller]) -> Response[bytes]:
    return success([shown_device(asset) async for asset in every(caller, DIALECT, DEVICE)])


@post("/devices/create", guards=[needs(Scope.WRITE)])
async def create_device(
    request: Request[Any, Any, Any], caller: NamedDependency[Caller], egress: NamedDependency[Egress]
) -> Response[bytes]:
    wanted = device(Fields.of(await request.body()), egress)
    asset = await create(caller, DEVICE, wanted, device_parts(wanted), INTERVAL_S)
    return success(shown_device(asset), 201)


@delete("/devices/delete", guards=[needs(Scope.WRITE)], status_code=200)
async def delete_device(request: Request[Any, Any, Any], caller: NamedDependency[Caller]) -> Response[bytes]:
    return success(await remove(caller, DEVICE, request))


HANDLERS = [list_devices, create_device, delete_device]
