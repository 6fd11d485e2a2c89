"""Mapping of store errors to RPC errors, and the refusals that handlers share."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from libs.model.ids import is_id
from libs.model.requests.base import TenantRequest
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import CreateTenant
from libs.store.core.errors import (
    ForeignKeyError,
    InvalidValueError,
    RolledBackError,
    SchemaMismatchError,
    UnavailableError,
)

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

log: structlog.stdlib.BoundLogger = structlog.get_logger()

MONITOR_NOT_FOUND = "There is no such monitor."
KEY_NOT_FOUND = "There is no such key."
TENANT_NOT_FOUND = "There is no such tenant."
UNAVAILABLE = "The database is temporarily unavailable."
UNPREPARED = (
    "The database lacks a table or column that this version needs. Restart the results service, which brings the "
    "database up to date; if that does not help, its backup was restored incompletely."
)
VALUE_REFUSED = "A value cannot be stored: it may contain a NUL character or be too long."

_RETRIES = 2


def map_store_errors(handler: Callable[[RequestT], Awaitable[ReplyT]]) -> Callable[[RequestT], Awaitable[ReplyT]]:
    """Returns `handler` with store errors mapped to RequestError and rolled back transactions retried."""

    async def answer(request: RequestT) -> ReplyT:
        if _has_invalid_tenant(request):
            raise not_found(TENANT_NOT_FOUND)
        try:
            return await _retry_rolled_back(handler, request)
        except UnavailableError as error:
            log.warning("results.unavailable", request=type(request).__name__, error=str(error))
            raise RequestError(ErrorCode.UNAVAILABLE, UNAVAILABLE) from error
        except SchemaMismatchError as error:
            log.error("results.unprepared", request=type(request).__name__, error=str(error))  # noqa: TRY400 - no bug
            raise RequestError(ErrorCode.SCHEMA_OUTDATED, UNPREPARED) from error
        except ForeignKeyError as error:
            # The tenant is the only object of a request that handlers do not look up first.
            raise not_found(TENANT_NOT_FOUND) from error
        except InvalidValueError as error:
            log.warning("results.value_refused", request=type(request).__name__, error=str(error))
            raise RequestError(ErrorCode.INVALID, VALUE_REFUSED) from error

    return answer


async def _retry_rolled_back(handler: Callable[[RequestT], Awaitable[ReplyT]], request: RequestT) -> ReplyT:
    """Retries a handler whose transaction PostgreSQL rolled back (deadlock, serialization); it had no effect before."""
    for _ in range(_RETRIES):
        try:
            return await handler(request)
        except RolledBackError as error:
            log.info("results.rolled_back", request=type(request).__name__, error=str(error))
    return await handler(request)


def _has_invalid_tenant(request: object) -> bool:
    """Returns whether the tenant id of a request is malformed. CreateTenant may have none."""
    return isinstance(request, TenantRequest) and not isinstance(request, CreateTenant) and not is_id(request.tenant_id)


def parse_monitor_id(text: str) -> str:
    """Returns `text` if it is an id; raises the "no such monitor" error otherwise."""
    if not is_id(text):
        raise not_found(MONITOR_NOT_FOUND)
    return text


def not_found(detail: str) -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, detail)
