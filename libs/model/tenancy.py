"""Tenants, API keys, scopes and quotas."""

import hashlib
import re
import secrets
from datetime import datetime
from enum import StrEnum

import msgspec

_API_KEY = re.compile(r"vdt_[A-Za-z0-9_-]{43}")


def new_api_key() -> str:
    """Returns what the bearer of a new key sends: 256 random bits."""
    return f"vdt_{secrets.token_urlsafe(32)}"


def is_api_key(text: str) -> bool:
    """Tells whether `text` has the form of a generated secret."""
    return _API_KEY.fullmatch(text) is not None


def api_key_digest(secret: str) -> str:
    """Returns the SHA-256 of a secret in hex: all that is stored of it, or travels over the bus."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Scope(StrEnum):
    """What a key may do. Each scope includes the ones before it; the last one reaches beyond its own tenant."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    OPERATOR = "operator"  # makes tenants, and administers all of them


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A token bucket: `burst` requests at once, refilled at `per_s`. 0 per second means without a limit."""

    per_s: float
    burst: int


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant may have; None means without a limit."""

    monitors_max: int | None = None
    interval_s_min: int | None = None


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The bearer of a key. `cidrs` empty means from anywhere.

    The numbers are for dialects whose clients expect integers. A `rate` of None means what the settings say.
    """

    tenant_id: str
    tenant_name: str
    key_id: str
    key_name: str
    scopes: list[Scope]
    cidrs: list[str] = []
    expires_at: datetime | None = None
    tenant_number: int = 0
    key_number: int = 0
    rate: Rate | None = None
    tenant_rate: Rate | None = None
    quota: Quota = Quota()


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Author of a change, for the audit log: a key of `tenant_id`, or without a key the operator of the installation.

    `via` is the API: `native`, the name of a dialect, or `cli`.
    """

    key_id: str | None = None
    key_name: str = ""
    address: str = ""
    via: str = ""


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant as operators see it. `rate` and the quota are its own; None means what the settings say."""

    id: str
    number: int
    name: str
    created_at: datetime
    monitors: int
    rate: Rate | None = None
    monitors_max: int | None = None
    interval_s_min: int | None = None


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key as lists show it: never with its secret."""

    id: str
    name: str
    scopes: list[Scope]
    cidrs: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    rate: Rate | None = None


class KeyCreated(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer that carries the secret, `key`."""

    id: str
    key: str
    name: str
    scopes: list[Scope]
    cidrs: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    rate: Rate | None = None


class AuditAction(StrEnum):
    """What can be done to things that the audit knows."""

    MONITOR_CREATED = "monitor.created"
    MONITOR_CHANGED = "monitor.changed"
    MONITOR_DELETED = "monitor.deleted"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    TENANT_CREATED = "tenant.created"
    TENANT_CHANGED = "tenant.changed"
    ASSET_CREATED = "asset.created"
    ASSET_DELETED = "asset.deleted"


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit log. `changed` names the fields that were changed; their values are not stored."""

    id: int
    at: datetime
    action: AuditAction
    object_id: str
    object_name: str
    changed: list[str]
    key_id: str | None
    key_name: str
    address: str
    via: str
