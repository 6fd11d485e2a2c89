"""How what goes wrong in the store becomes an answer to whoever asked."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from libs.model.ids import is_id
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import OfTenant
from libs.store.errors import UnavailableError, ValueRefusedError

Asked = TypeVar("Asked")
Reply = TypeVar("Reply")

log: structlog.stdlib.BoundLogger = structlog.get_logger()

NO_MONITOR = "There is no such monitor."
NO_KEY = "There is no such key."
NO_TENANT = "There is no such tenant."
NO_ASSET = "There is no asset of this number."


def refusing(handler: Callable[[Asked], Awaitable[Reply]]) -> Callable[[Asked], Awaitable[Reply]]:
    """Returns `handler` with the errors of the store told as refusals."""

    async def answer(request: Asked) -> Reply:
        if isinstance(request, OfTenant) and not is_id(request.tenant_id):
            raise not_found(NO_TENANT)
        try:
            return await handler(request)
        except UnavailableError as error:
            log.warning("results.unavailable", request=type(request).__name__, error=str(error))
            raise RefusedError(RefusalCode.UNAVAILABLE, "The database does not answer at the moment.") from error
        except ValueRefusedError as error:
            log.warning("results.value_refused", request=type(request).__name__, error=str(error))
            raise RefusedError(RefusalCode.INVALID, "A value cannot be stored: it may hold a NUL character.") from error

    return answer


def monitor_id(text: str) -> str:
    """Returns `text`, or refuses what cannot be the id of any monitor."""
    if not is_id(text):
        raise not_found(NO_MONITOR)
    return text


def not_found(detail: str) -> RefusedError:
    return RefusedError(RefusalCode.NOT_FOUND, detail)
