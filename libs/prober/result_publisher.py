"""Publishing of results, with retries until the stream acknowledges or the time is up."""

import asyncio
import time

import msgspec
import structlog

from libs.bus import subjects
from libs.bus.client.message import Message
from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.model.check import Check, Origin, Result
from libs.prober.own_outcomes import result_message_id

# Below the consumer's ack_wait, after which the check is delivered to another prober.
RETRY_S_MAX = 45.0
ATTEMPT_TIMEOUT_S = 5.0
PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 5.0

log = structlog.get_logger("vedette.prober")

_encode = msgspec.json.Encoder().encode


async def publish_result(bus: Bus, check: Check, result: Result) -> bool:
    """Publishes the result to the stream, unless the check is ad hoc, and to `check.reply_to` if that is set.

    False: the stream did not acknowledge, so leave the check unacknowledged, and it is delivered again.
    """
    body = _encode(result)
    stored = check.origin is Origin.ADHOC or await _publish_with_retry(bus, _message(result, body))
    if check.reply_to is not None:
        await _reply(bus, check.reply_to, body)
    return stored


def _message(result: Result, body: bytes) -> Message:
    subject = subjects.result(result.tenant_id, result.location, result.kind, result.monitor_id)
    return Message(subject, body, result_message_id(result))


async def _publish_with_retry(bus: Bus, message: Message) -> bool:
    give_up_at = time.monotonic() + RETRY_S_MAX
    pause_s = PAUSE_S_MIN
    while True:
        try:
            await bus.publish(message, timeout_s=ATTEMPT_TIMEOUT_S)
        except BusError as error:
            if time.monotonic() + pause_s > give_up_at:
                log.warning("result.publish_failed", id=message.id, error=str(error))
                return False
        else:
            return True
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_S_MAX)


async def _reply(bus: Bus, reply_to: str, body: bytes) -> None:
    try:
        await bus.publish_core(reply_to, body)
    except BusError as error:
        log.warning("result.reply_failed", reply_to=reply_to, error=str(error))
