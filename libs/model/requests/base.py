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
    """A request about objects of one tenant. The results service finds them by `tenant_id` in SQL, and no others.

    Handlers of the gateway leave `tenant_id` empty: services.gateway.session.TenantSession sets it.
    """

    tenant_id: str = ""


class TenantCommand(TenantRequest[R], frozen=True, kw_only=True):
    """A request that changes objects of a tenant. `actor` is written to the audit log in the same transaction."""

    actor: Actor = Actor()


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """Idempotency-Key of a client with a digest of the request: the same key with another body is a conflict."""

    key: str
    fingerprint: str
