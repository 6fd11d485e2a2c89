"""Asset: a numbered object that a client of a compatible API created, with the monitors that implement it."""

from datetime import datetime

import msgspec

from libs.model.monitor import MonitorDraft, MonitorView
from libs.model.requests.base import Page, TenantCommand, TenantRequest


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """One asset with the current views of its parts. A part whose monitor was deleted is left out.

    `number` counts from 1 for each tenant, dialect and type, and is never reused. `fields` is the JSON that the dialect
    stored, under its own names.
    """

    number: int
    fields: msgspec.Raw
    created_at: datetime
    updated_at: datetime
    parts: dict[str, MonitorView]


class CreateAsset(TenantCommand[Asset], frozen=True, kw_only=True):
    """Stores an asset and creates its monitors, all or nothing; `conflict` if `identity` exists already.

    `sort` is the type of the asset within the dialect. The monitors get the label `<dialect>/<sort>`: the number. An
    interval below the tenant's minimum is raised to the minimum: clients of compatible APIs choose no interval.
    """

    verb = "assets.create"
    reply = Asset
    dialect: str
    sort: str
    identity: str
    fields: msgspec.Raw
    parts: dict[str, MonitorDraft]


class ListAssets(TenantRequest[Page[Asset]], frozen=True, kw_only=True):
    """Returns assets in the order of their numbers, from behind `after` (a number).

    `next_cursor` is the next `after`, in decimal. A page of large assets holds fewer than `limit`.
    """

    verb = "assets.list"
    reply = Page[Asset]
    dialect: str
    sort: str
    limit: int
    after: int = 0


class DeleteAsset(TenantCommand[None], frozen=True, kw_only=True):
    """Deletes an asset and its monitors; refuses with `not_found`."""

    verb = "assets.delete"
    reply = None
    dialect: str
    sort: str
    number: int
