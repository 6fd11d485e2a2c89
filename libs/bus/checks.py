"""Decoding of due checks, and running one check immediately."""

from datetime import datetime, timedelta

import msgspec

from libs.bus.client.stored_message import StoredMessage
from libs.bus.connection import REPLY_HEADER, Bus
from libs.bus.schedules import immediate_check
from libs.model.check import Check, Origin, Result

SCHEDULE_NEXT_HEADER = "Nats-Schedule-Next"
_PURGE = "purge"

_decode_check = msgspec.json.Decoder(Check).decode
_decode_result = msgspec.json.Decoder(Result).decode


def read_check(message: StoredMessage) -> Check:
    """Returns the check with its `tick_at`; ValueError for a message that cannot be a check.

    A tick is a copy of its schedule, so its time is not in the body: it is the time of the following tick, from the
    header `Nats-Schedule-Next`, minus the interval.
    """
    check = _decode_check(message.data)
    headers = message.headers
    if check.tick_at is None:
        return msgspec.structs.replace(check, tick_at=_tick_at(check, headers))
    if check.tick_at.tzinfo is None:
        raise ValueError("tick_at has no time zone")
    reply_to = headers.get(REPLY_HEADER)
    return check if reply_to is None else msgspec.structs.replace(check, reply_to=reply_to)


async def check_now(bus: Bus, check: Check, shard: int, timeout_s: float) -> Result | None:
    """Has a prober run `check`, and returns its result; None if no result comes within `timeout_s`."""
    body = await bus.publish_and_await_reply(immediate_check(check, shard), timeout_s)
    return None if body is None else _decode_result(body)


def _tick_at(check: Check, headers: dict[str, str]) -> datetime:
    following = headers.get(SCHEDULE_NEXT_HEADER, _PURGE)
    if following == _PURGE or check.origin is not Origin.TICK:
        raise ValueError("the check carries no instant, neither in its body nor in its headers")
    return datetime.fromisoformat(following) - timedelta(seconds=check.interval_s)
