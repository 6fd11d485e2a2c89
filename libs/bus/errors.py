"""Bus errors. Exceptions of nats-py do not leave this package."""

from collections.abc import Iterator
from contextlib import contextmanager

from nats.errors import Error as NatsError
from nats.js.errors import APIError


class BusError(Exception):
    """The bus rejected an operation, did not reply, or is not connected."""


@contextmanager
def as_bus_errors(doing: str) -> Iterator[None]:
    """Converts exceptions of the client to a BusError whose text begins with `doing`."""
    try:
        yield
    except (NatsError, TimeoutError, OSError) as error:
        raise BusError(f"{doing}: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """Returns a one-line description of an error; the server's own text if it sent one."""
    if isinstance(error, APIError):
        return f"{error.description} ({error.err_code or error.code})"
    return str(error).removeprefix("nats: ") or type(error).__name__
