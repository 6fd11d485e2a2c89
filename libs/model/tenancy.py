"""Who asks: tenants, keys and what a key may do."""

import hashlib
import ipaddress
import re
import secrets
from datetime import datetime
from enum import StrEnum

import msgspec

_SECRET = re.compile(r"vdt_[A-Za-z0-9_-]{43}")


def new_secret() -> str:
    """Returns what the bearer of a new key sends: 256 random bits."""
    return f"vdt_{secrets.token_urlsafe(32)}"


def is_secret(text: str) -> bool:
    """Tells whether `text` looks like a secret that we made."""
    return _SECRET.fullmatch(text) is not None


def digest(secret: str) -> str:
    """Returns the SHA-256 of a secret in hex: all that is stored of it, or travels over the bus."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_from(address: str, cidrs: list[str]) -> bool:
    """Tells whether a client's address lies in one of `cidrs`; without any, it may be anywhere."""
    if not cidrs:
        return True
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    # A dual-stack listener shows IPv4 clients as ::ffff:a.b.c.d.
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return any((mapped or ip) in ipaddress.ip_network(cidr) for cidr in cidrs)


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
