"""Creation and deletion of devices and blacklist monitors: assets with one monitor for each part."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from litestar import Request

from libs.model.asset import Asset, CreateAsset, DeleteAsset
from libs.model.monitor import MonitorDraft
from services.gateway.dialects.monitorozas.constants import DIALECT
from services.gateway.dialects.monitorozas.fields import parse_id
from services.gateway.dialects.monitorozas.monitor_mapping import MonitorPart
from services.gateway.session import TenantSession
from services.gateway.spec_intake import SpecIntake

TIMEOUT_S = 10.0
NAME_LENGTH_MAX = 200


class AssetRecord(Protocol):
    """The normalized fields of a request; a msgspec.Struct that is stored as JSON."""

    @property
    def target_value(self) -> str: ...
    @property
    def is_enabled(self) -> int: ...
    @property
    def identity(self) -> str: ...


async def create_asset(
    session: TenantSession, sort: str, record: AssetRecord, parts: Mapping[str, MonitorPart], interval_s: int
) -> Asset:
    """Stores a record and its monitors, with interval `interval_s` or the shortest that the tenant's quota allows."""
    request = CreateAsset(
        dialect=DIALECT,
        sort=sort,
        identity=record.identity,
        fields=msgspec.Raw(msgspec.json.encode(record)),
        parts={name: monitor_draft(session.spec_intake, record, part, interval_s) for name, part in parts.items()},
    )
    return await session.request(request)


async def delete_asset(session: TenantSession, sort: str, request: Request[Any, Any, Any]) -> dict[str, object]:
    """Deletes the record with the number in the query parameter `id`, and its monitors; returns the response data."""
    number = parse_id(request.query_params.getall("id", []))
    await session.request(DeleteAsset(dialect=DIALECT, sort=sort, number=number))
    return {"id": number, "deleted": True}


def monitor_draft(specs: SpecIntake, record: AssetRecord, part: MonitorPart, interval_s: int) -> MonitorDraft:
    """Returns the monitor of one part. An invalid spec is refused with the name of the API field."""
    taken = specs.accept(msgspec.Raw(msgspec.json.encode(part.spec)), part.field)
    return MonitorDraft(
        name=f"{record.target_value[: NAME_LENGTH_MAX - len(part.label) - 1]} {part.label}",
        kind=taken.kind,
        target=taken.spec.target,
        interval_s=interval_s,
        timeout_s=TIMEOUT_S,
        spec=taken.raw,
        enabled=bool(record.is_enabled),
    )
