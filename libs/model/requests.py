"""The requests between the gateway and the results room. Each names the type of its reply.

Every request about a tenant's things carries `tenant_id`, and the results room filters by it in SQL:
no handler above it can forget to.
"""

from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from libs.model.monitor import MonitorChange, MonitorDraft, MonitorView, ResultView, UptimeView
from libs.model.state import StateStatus, Transition
from libs.model.tenancy import Key, KeyCreated, Principal, Scope

R = TypeVar("R")
Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """One page of a list. `next_cursor` is opaque; None on the last page."""

    items: list[Item]
    next_cursor: str | None = None


class Request(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A request with a reply of type R. `verb` is the end of its subject: `rpc.<verb>`."""

    verb: ClassVar[str]
    reply: ClassVar[Any]


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """A client's Idempotency-Key, and a digest of what it asked: the same key with another body is a conflict."""

    key: str
    fingerprint: str


class CreateMonitor(Request[MonitorView], frozen=True, kw_only=True):
    """Stores a monitor and asks for its first check at once."""

    verb = "monitors.create"
    reply = MonitorView
    tenant_id: str
    draft: MonitorDraft
    idempotency: Idempotency | None = None


class ChangeMonitor(Request[MonitorView], frozen=True, kw_only=True):
    """Changes the named fields. Whatever alters checking starts a new revision."""

    verb = "monitors.change"
    reply = MonitorView
    tenant_id: str
    monitor_id: str
    change: MonitorChange


class DeleteMonitor(Request[None], frozen=True, kw_only=True):
    """Deletes a monitor; its checks in flight are dropped when they land."""

    verb = "monitors.delete"
    reply = None
    tenant_id: str
    monitor_id: str


class GetMonitor(Request[MonitorView], frozen=True, kw_only=True):
    """Returns one monitor. Only with `sealed` does its spec hold the sealed values, for a check of it."""

    verb = "monitors.get"
    reply = MonitorView
    tenant_id: str
    monitor_id: str
    sealed: bool = False


class ListMonitors(Request[Page[MonitorView]], frozen=True, kw_only=True):
    """Returns monitors, newest first. `labels` must all match; `name` is a case-insensitive part of the name."""

    verb = "monitors.list"
    reply = Page[MonitorView]
    tenant_id: str
    limit: int
    cursor: str | None = None
    kind: str | None = None
    state: StateStatus | None = None
    labels: dict[str, str] = {}
    name: str | None = None


class SealedSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The spec of a monitor with its secrets as they are stored: sealed."""

    tenant_id: str
    monitor_id: str
    kind: str
    spec: msgspec.Raw


class ListSealed(Request[Page[SealedSpec]], frozen=True, kw_only=True):
    """Returns the specs of all tenants that hold something sealed. For operators: no gateway asks it for a client."""

    verb = "sealed.list"
    reply = Page[SealedSpec]
    limit: int
    cursor: str | None = None


class Reseal(Request[bool], frozen=True, kw_only=True):
    """Replaces a spec by `new`, which differs in sealed texts only. False: it is no longer the one with this SHA-256."""

    verb = "sealed.replace"
    reply = bool
    tenant_id: str
    monitor_id: str
    old_sha256: str
    new: msgspec.Raw


class ListResults(Request[Page[ResultView]], frozen=True, kw_only=True):
    """Returns the results of one monitor with `from_at` <= tick < `to_at`, newest first."""

    verb = "results.list"
    reply = Page[ResultView]
    tenant_id: str
    monitor_id: str
    limit: int
    from_at: datetime | None = None
    to_at: datetime | None = None
    cursor: str | None = None


class ListTransitions(Request[Page[Transition]], frozen=True, kw_only=True):
    """Returns the transitions of one monitor, newest first."""

    verb = "transitions.list"
    reply = Page[Transition]
    tenant_id: str
    monitor_id: str
    limit: int
    cursor: str | None = None


class GetUptime(Request[UptimeView], frozen=True, kw_only=True):
    """Returns how the time between the two instants was spent."""

    verb = "uptime.get"
    reply = UptimeView
    tenant_id: str
    monitor_id: str
    from_at: datetime
    to_at: datetime


class CreateKey(Request[KeyCreated], frozen=True, kw_only=True):
    """Makes a key; the reply is the only place where its secret ever stands."""

    verb = "keys.create"
    reply = KeyCreated
    tenant_id: str
    name: str
    scopes: list[Scope]
    cidrs: list[str] = []
    expires_at: datetime | None = None
    idempotency: Idempotency | None = None


class ListKeys(Request[list[Key]], frozen=True, kw_only=True):
    """Returns the keys of a tenant that are not revoked, oldest first."""

    verb = "keys.list"
    reply = list[Key]
    tenant_id: str


class DeleteKey(Request[None], frozen=True, kw_only=True):
    """Revokes a key. Every gateway is told at once on `control.keys.revoked`."""

    verb = "keys.delete"
    reply = None
    tenant_id: str
    key_id: str


class Bootstrap(Request[bool], frozen=True, kw_only=True):
    """Makes the first tenant with an admin key of this SHA-256 (hex), whose secret only the asker knows.

    Returns whether that key works: also when this was asked before and the answer was lost. False when another tenant
    is there already.
    """

    verb = "tenants.bootstrap"
    reply = bool
    tenant_name: str
    key_sha256: str


class Authenticate(Request[Principal], frozen=True, kw_only=True):
    """Returns who bears the key with this SHA-256 (hex), or refuses with `not_found`."""

    verb = "keys.authenticate"
    reply = Principal
    key_sha256: str
