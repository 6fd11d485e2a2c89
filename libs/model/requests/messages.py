"""Requests of the gateway to the results service. Each names the type of its reply.

Every request about objects of a tenant carries `tenant_id`, and the results service filters by it in SQL,
below the handlers.
"""

from datetime import datetime

import msgspec

from libs.model.monitor import MonitorChange, MonitorDraft, MonitorView, ResultView, UptimeView
from libs.model.requests.base import Idempotency, Page, RpcRequest, TenantCommand, TenantRequest
from libs.model.state import StateStatus, Transition
from libs.model.tenancy import AuditEntry, Key, KeyCreated, Principal, Rate, Scope, Tenant


class CreateMonitor(TenantCommand[MonitorView], frozen=True, kw_only=True):
    """Stores a monitor and publishes its first check at once."""

    verb = "monitors.create"
    reply = MonitorView
    draft: MonitorDraft
    idempotency: Idempotency | None = None


class ChangeMonitor(TenantCommand[MonitorView], frozen=True, kw_only=True):
    """Changes the named fields. Whatever alters checking starts a new revision."""

    verb = "monitors.change"
    reply = MonitorView
    monitor_id: str
    change: MonitorChange


class DeleteMonitor(TenantCommand[None], frozen=True, kw_only=True):
    """Deletes a monitor; its checks in flight are dropped when they land."""

    verb = "monitors.delete"
    reply = None
    monitor_id: str


class GetMonitor(TenantRequest[MonitorView], frozen=True, kw_only=True):
    """Returns one monitor. Only with `sealed` does its spec hold the sealed values, for a check of it."""

    verb = "monitors.get"
    reply = MonitorView
    monitor_id: str
    sealed: bool = False


class ListMonitors(TenantRequest[Page[MonitorView]], frozen=True, kw_only=True):
    """Returns monitors, newest first. `labels` must all match; `name` is a case-insensitive part of the name."""

    verb = "monitors.list"
    reply = Page[MonitorView]
    limit: int
    cursor: str | None = None
    kind: str | None = None
    state: StateStatus | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    name: str | None = None


class SealedSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The spec of a monitor with its secrets as they are stored: sealed."""

    tenant_id: str
    monitor_id: str
    kind: str
    spec: msgspec.Raw


class ListSealedSpecs(RpcRequest[Page[SealedSpec]], frozen=True, kw_only=True):
    """Returns the specs of all tenants that hold something sealed. For operators: no gateway asks it for a client."""

    verb = "sealed.list"
    reply = Page[SealedSpec]
    limit: int
    cursor: str | None = None


class ReplaceSealedSpec(RpcRequest[bool], frozen=True, kw_only=True):
    """Replaces a spec by `new`, which differs in sealed texts only. False: it is no longer the one with this SHA-256."""

    verb = "sealed.replace"
    reply = bool
    tenant_id: str
    monitor_id: str
    old_sha256: str
    new: msgspec.Raw


class ListResults(TenantRequest[Page[ResultView]], frozen=True, kw_only=True):
    """Returns the results of one monitor with `from_at` <= tick < `to_at`, newest first."""

    verb = "results.list"
    reply = Page[ResultView]
    monitor_id: str
    limit: int
    from_at: datetime | None = None
    to_at: datetime | None = None
    cursor: str | None = None


class ListTransitions(TenantRequest[Page[Transition]], frozen=True, kw_only=True):
    """Returns the transitions of one monitor, newest first."""

    verb = "transitions.list"
    reply = Page[Transition]
    monitor_id: str
    limit: int
    cursor: str | None = None


class GetUptime(TenantRequest[UptimeView], frozen=True, kw_only=True):
    """Returns how the time between the two instants was spent."""

    verb = "uptime.get"
    reply = UptimeView
    monitor_id: str
    from_at: datetime
    to_at: datetime


class CreateKey(TenantCommand[KeyCreated], frozen=True, kw_only=True):
    """Makes a key; the reply is the only place where its secret ever stands."""

    verb = "keys.create"
    reply = KeyCreated
    name: str
    scopes: list[Scope]
    cidrs: list[str] = msgspec.field(default_factory=list)
    expires_at: datetime | None = None
    rate: Rate | None = None
    idempotency: Idempotency | None = None


class ListKeys(TenantRequest[list[Key]], frozen=True, kw_only=True):
    """Returns the keys of a tenant that are not revoked, oldest first."""

    verb = "keys.list"
    reply = list[Key]


class DeleteKey(TenantCommand[None], frozen=True, kw_only=True):
    """Revokes a key. Published to every gateway on `control.keys.revoked`."""

    verb = "keys.delete"
    reply = None
    key_id: str


class Bootstrap(RpcRequest[bool], frozen=True, kw_only=True):
    """Makes the first tenant with an admin key of this SHA-256 (hex), whose secret only the asker knows.

    Returns whether that key works: also when this was asked before and the answer was lost. False when another tenant
    is there already.
    """

    verb = "tenants.bootstrap"
    reply = bool
    tenant_name: str
    key_sha256: str


class CreateTenant(TenantCommand[Tenant], frozen=True, kw_only=True):
    """Makes a tenant; refuses with `conflict` if there is one of this name. `tenant_id` is the asker's own."""

    verb = "tenants.create"
    reply = Tenant
    name: str
    rate: Rate | None = None
    monitors_max: int | None = None
    interval_s_min: int | None = None


class ChangeTenant(TenantCommand[Tenant], frozen=True, kw_only=True):
    """Changes the named fields of the tenant `tenant_id`; None goes back to what the settings say."""

    verb = "tenants.change"
    reply = Tenant
    name: str | msgspec.UnsetType = msgspec.UNSET
    rate: Rate | msgspec.UnsetType | None = msgspec.UNSET
    monitors_max: int | msgspec.UnsetType | None = msgspec.UNSET
    interval_s_min: int | msgspec.UnsetType | None = msgspec.UNSET


class GetTenant(TenantRequest[Tenant], frozen=True, kw_only=True):
    """Returns the tenant `tenant_id`."""

    verb = "tenants.get"
    reply = Tenant


class ListTenants(RpcRequest[Page[Tenant]], frozen=True, kw_only=True):
    """Returns tenants, oldest first. For operators only. `name` finds the one with exactly this name."""

    verb = "tenants.list"
    reply = Page[Tenant]
    limit: int
    cursor: str | None = None
    name: str | None = None


class ListAudit(TenantRequest[Page[AuditEntry]], frozen=True, kw_only=True):
    """Returns what was done to a tenant's things, newest first."""

    verb = "audit.list"
    reply = Page[AuditEntry]
    limit: int
    cursor: str | None = None


class RateGrant(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests were granted, what is left in the smaller bucket, and when there is one again if none was."""

    granted: int
    left: int
    retry_after_s: float


class TakeTokens(TenantRequest[RateGrant], frozen=True, kw_only=True):
    """Takes up to `wanted` requests from the buckets of a key and of its tenant, after `unused` ones were put back.

    A rate with 0 per second has no limit. Grants count for all gateways together.
    """

    verb = "requests.take"
    reply = RateGrant
    key_id: str
    wanted: int
    key_rate: Rate
    tenant_rate: Rate
    unused: int = 0


class Authenticate(RpcRequest[Principal], frozen=True, kw_only=True):
    """Returns who bears the key with this SHA-256 (hex), or refuses with `not_found`."""

    verb = "keys.authenticate"
    reply = Principal
    key_sha256: str
