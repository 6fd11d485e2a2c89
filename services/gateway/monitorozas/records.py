"""What devices and blacklist monitors have in common: both are assets of this dialect, with monitors for parts."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from litestar import Request

from libs.model.asset import Asset, CreateAsset, DeleteAsset
from libs.model.monitor import MonitorDraft
from services.gateway.caller import Caller
from services.gateway.monitorozas.fields import number_of
from services.gateway.monitorozas.parts import Part
from services.gateway.monitorozas.words import DIALECT
from services.gateway.specs import Specs

TIMEOUT_S = 10.0
NAME_LENGTH_MAX = 200


class Record(Protocol):
    """What a client described; a msgspec.Struct whose fields are stored as they are."""

    @property
    def target_value(self) -> str: ...
    @property
    def is_enabled(self) -> int: ...
    @property
    def identity(self) -> str: ...


async def create(caller: Caller, sort: str, record: Record, parts: Mapping[str, Part], interval_s: int) -> Asset:
    """Stores a record with its monitors, which are checked every `interval_s` or as often as the tenant may."""
    request = CreateAsset(
        dialect=DIALECT,
        sort=sort,
        identity=record.identity,
        fields=msgspec.Raw(msgspec.json.encode(record)),
        parts={name: draft(caller.specs, record, part, interval_s) for name, part in parts.items()},
    )
    return await caller.ask(request)


async def remove(caller: Caller, sort: str, request: Request[Any, Any, Any]) -> dict[str, object]:
    """Deletes the record that the parameter `id` names, with its monitors, and returns what is told of that."""
    number = number_of(request.query_params.getall("id", []))
    await caller.ask(DeleteAsset(dialect=DIALECT, sort=sort, number=number))
    return {"id": number, "deleted": True}


def draft(specs: Specs, record: Record, part: Part, interval_s: int) -> MonitorDraft:
    """Returns the monitor of one part; refuses a spec that its kind does not take, by the name of our field."""
    taken = specs.new(msgspec.Raw(msgspec.json.encode(part.spec)), part.field)
    return MonitorDraft(
        name=f"{record.target_value[: NAME_LENGTH_MAX - len(part.words) - 1]} {part.words}",
        kind=taken.kind,
        target=taken.spec.target,
        interval_s=interval_s,
        timeout_s=TIMEOUT_S,
        spec=taken.raw,
        enabled=bool(record.is_enabled),
    )
