"""From a result to the bus: stored, or answered, or both; repeated until it is confirmed or time is up."""

import asyncio
import time

import msgspec
import structlog

from libs.bus import subjects
from libs.bus.bus import Bus
from libs.bus.errors import BusError
from libs.bus.message import Message
from libs.model.check import Check, Origin, Result
from libs.prober.verdict import publication_id

# Below the consumer's ack_wait: after that, another prober has the check.
PATIENCE_S = 45.0
ATTEMPT_S = 5.0
PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 5.0

log = structlog.get_logger("vedette.prober")

_encode = msgspec.json.Encoder().encode


async def deliver(bus: Bus, check: Check, result: Result) -> bool:
    """Stores the result, except of a check that belongs to no monitor, and answers who asked. False: not stored."""
    body = _encode(result)
    stored = check.origin is Origin.ADHOC or await _store(bus, _message(result, body))
    if check.reply_to is not None:
        await _answer(bus, check.reply_to, body)
    return stored


def _message(result: Result, body: bytes) -> Message:
    subject = subjects.result(result.tenant_id, result.location, result.kind, result.monitor_id)
    return Message(subject, body, publication_id(result))


async def _store(bus: Bus, message: Message) -> bool:
    give_up_at = time.monotonic() + PATIENCE_S
    pause_s = PAUSE_S_MIN
    while True:
        try:
            await bus.publish(message, timeout_s=ATTEMPT_S)
        except BusError as error:
            if time.monotonic() + pause_s > give_up_at:
                log.warning("result.not_stored", id=message.id, error=str(error))
                return False
        else:
            return True
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_S_MAX)


async def _answer(bus: Bus, reply_to: str, body: bytes) -> None:
    try:
        await bus.announce(reply_to, body)
    except BusError as error:
        log.warning("result.not_answered", reply_to=reply_to, error=str(error))
