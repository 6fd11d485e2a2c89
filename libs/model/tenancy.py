"""Who asks: tenants, keys and what a key may do."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Scope(StrEnum):
    """What a key may do. Each scope includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The bearer of a key. `cidrs` empty means from anywhere."""

    tenant_id: str
    tenant_name: str
    key_id: str
    key_name: str
    scopes: list[Scope]
    cidrs: list[str] = []
    expires_at: datetime | None = None


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key as lists show it: never with its secret."""

    id: str
    name: str
    scopes: list[Scope]
    cidrs: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class KeyCreated(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer that carries the secret, `key`."""

    id: str
    key: str
    name: str
    scopes: list[Scope]
    cidrs: list[str]
    created_at: datetime
    expires_at: datetime | None = None
