"""How what goes wrong in the store becomes an answer to whoever asked."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from libs.model.ids import is_id
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import OfTenant
from libs.model.requests import CreateTenant
from libs.store.errors import DanglingError, RolledBackError, UnavailableError, UnpreparedError, ValueRefusedError

Asked = TypeVar("Asked")
Reply = TypeVar("Reply")

log: structlog.stdlib.BoundLogger = structlog.get_logger()

NO_MONITOR = "There is no such monitor."
NO_KEY = "There is no such key."
NO_TENANT = "There is no such tenant."
UNAVAILABLE = "The database does not answer at the moment."
UNPREPARED = (
    "The database lacks a table or column that this version needs. Restart the results service, which brings the "
    "database up to date; if that does not help, it was not restored whole."
)
VALUE_REFUSED = "A value cannot be stored: it may hold a NUL character, or be too long."

_REPEATS = 2


def refusing(handler: Callable[[Asked], Awaitable[Reply]]) -> Callable[[Asked], Awaitable[Reply]]:
    """Returns `handler` with the errors of the store told as refusals."""

    async def answer(request: Asked) -> Reply:
        if _is_about_nobody(request):
            raise not_found(NO_TENANT)
        try:
            return await _insisting(handler, request)
        except UnavailableError as error:
            log.warning("results.unavailable", request=type(request).__name__, error=str(error))
            raise RefusedError(RefusalCode.UNAVAILABLE, UNAVAILABLE) from error
        except UnpreparedError as error:
            log.error("results.unprepared", request=type(request).__name__, error=str(error))  # noqa: TRY400 - no bug
            raise RefusedError(RefusalCode.UNPREPARED, UNPREPARED) from error
        except DanglingError as error:
            # A tenant is all that a request can name without its being looked up first.
            raise not_found(NO_TENANT) from error
        except ValueRefusedError as error:
            log.warning("results.value_refused", request=type(request).__name__, error=str(error))
            raise RefusedError(RefusalCode.INVALID, VALUE_REFUSED) from error

    return answer


async def _insisting(handler: Callable[[Asked], Awaitable[Reply]], request: Asked) -> Reply:
    """Has done again what was undone for the sake of another transaction: until its commit a handler did nothing."""
    for _ in range(_REPEATS):
        try:
            return await handler(request)
        except RolledBackError as error:
            log.info("results.rolled_back", request=type(request).__name__, error=str(error))
    return await handler(request)


def _is_about_nobody(request: object) -> bool:
    """Tells whether the request names a tenant that cannot be. Who makes a tenant may have none."""
    return isinstance(request, OfTenant) and not isinstance(request, CreateTenant) and not is_id(request.tenant_id)


def monitor_id(text: str) -> str:
    """Returns `text`, or refuses what cannot be the id of any monitor."""
    if not is_id(text):
        raise not_found(NO_MONITOR)
    return text


def not_found(detail: str) -> RefusedError:
    return RefusedError(RefusalCode.NOT_FOUND, detail)
