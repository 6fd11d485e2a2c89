"""Asset: a numbered object that a client of a compatible API created, with the monitors that implement it."""

from datetime import datetime

import msgspec

from libs.model.monitor import MonitorDraft, MonitorView
from libs.model.requests.base import Page, TenantCommand, TenantRequest


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """One asset with what its parts are at the moment. A part whose monitor was deleted is not among them.

    `number` counts from 1 for each tenant, dialect and sort, and is never given twice. `fields` is what the dialect
    stored, in its own words.
    """

    number: int
    fields: msgspec.Raw
    created_at: datetime
    updated_at: datetime
    parts: dict[str, MonitorView]


class CreateAsset(TenantCommand[Asset], frozen=True, kw_only=True):
    """Stores an asset and creates its monitors, all or nothing; refuses with `conflict` if `identity` is there already.

    `sort` tells apart what one dialect has several of. The monitors get the label `<dialect>/<sort>`: the number. An
    interval that is too short for the tenant's quota becomes the shortest that is not: clients of dialects choose none.
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
