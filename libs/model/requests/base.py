"""Base class of requests between services: verb, type of the reply, and actor."""

from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from libs.model.tenancy import Actor

R = TypeVar("R")
Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """One page of a list. `next_cursor` is opaque; None on the last page."""

    items: list[Item]
    next_cursor: str | None = None


class RpcRequest(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A request with a reply of type R. `verb` is the end of its subject: `rpc.<verb>`."""

    verb: ClassVar[str]
    reply: ClassVar[Any]


class TenantRequest(RpcRequest[R], frozen=True, kw_only=True):
    """A request about one tenant's things. The results room finds them by `tenant_id` in SQL, and nothing else.

    Handlers of the gateway leave `tenant_id` empty: services.gateway.tenant puts in the asker's.
    """

    tenant_id: str = ""


class TenantCommand(TenantRequest[R], frozen=True, kw_only=True):
    """A request that changes something of a tenant. `actor` is written into the audit, in the same transaction."""

    actor: Actor = Actor()


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """A client's Idempotency-Key, and a digest of what it asked: the same key with another body is a conflict."""

    key: str
    fingerprint: str
