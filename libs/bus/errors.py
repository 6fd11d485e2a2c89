"""Errors of the bus in our own words: nothing that nats-py raises leaves this room."""

from collections.abc import Iterator
from contextlib import contextmanager

from nats.errors import Error as NatsError
from nats.js.errors import APIError


class BusError(Exception):
    """The bus refused, did not answer, or is not there."""


@contextmanager
def as_bus_errors(doing: str) -> Iterator[None]:
    """Turns whatever the client raises inside into a BusError that says what was being done."""
    try:
        yield
    except (NatsError, TimeoutError, OSError) as error:
        raise BusError(f"{doing}: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """Returns one line for people; the server's own words where it sent some."""
    if isinstance(error, APIError):
        return f"{error.description} ({error.err_code or error.code})"
    return str(error).removeprefix("nats: ") or type(error).__name__
