"""How what goes wrong in the store becomes an answer to whoever asked."""

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
UNAVAILABLE = "The database does not answer at the moment."
UNPREPARED = (
    "The database lacks a table or column that this version needs. Restart the results service, which brings the "
    "database up to date; if that does not help, it was not restored whole."
)
VALUE_REFUSED = "A value cannot be stored: it may hold a NUL character, or be too long."

_RETRIES = 2


def map_store_errors(handler: Callable[[RequestT], Awaitable[ReplyT]]) -> Callable[[RequestT], Awaitable[ReplyT]]:
    """Returns `handler` with the errors of the store told as refusals."""

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
            # A tenant is all that a request can name without its being looked up first.
            raise not_found(TENANT_NOT_FOUND) from error
        except InvalidValueError as error:
            log.warning("results.value_refused", request=type(request).__name__, error=str(error))
            raise RequestError(ErrorCode.INVALID, VALUE_REFUSED) from error

    return answer


async def _retry_rolled_back(handler: Callable[[RequestT], Awaitable[ReplyT]], request: RequestT) -> ReplyT:
    """Has done again what was undone for the sake of another transaction: until its commit a handler did nothing."""
    for _ in range(_RETRIES):
        try:
            return await handler(request)
        except RolledBackError as error:
            log.info("results.rolled_back", request=type(request).__name__, error=str(error))
    return await handler(request)


def _has_invalid_tenant(request: object) -> bool:
    """Tells whether the request names a tenant that cannot be. Who makes a tenant may have none."""
    return isinstance(request, TenantRequest) and not isinstance(request, CreateTenant) and not is_id(request.tenant_id)


def parse_monitor_id(text: str) -> str:
    """Returns `text`, or refuses what cannot be the id of any monitor."""
    if not is_id(text):
        raise not_found(MONITOR_NOT_FOUND)
    return text


def not_found(detail: str) -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, detail)
