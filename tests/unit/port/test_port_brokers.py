import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.port.protocol_api import (
    CloseSequence,
    ProtocolSessionError,
    ServiceRefused,
    ServiceUnhealthy,
    UnexpectedAnswer,
)
from services.port.protocols.brokers import amqp, mqtt
from tests.support.spoken import call, converse


def long_text(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def frame(method: tuple[int, int], arguments: bytes) -> bytes:
    payload = struct.pack(">HH", *method) + arguments
    return struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce"


def start(table: bytes) -> bytes:
    return frame((10, 10), b"\0\x09" + long_text(table) + long_text(b"PLAIN AMQPLAIN") + long_text(b"en_US"))


PRODUCT = b"\x07productS" + long_text(b"RabbitMQ")
# One field of each other type: nested table, boolean, decimal, nothing, timestamp, 16 and 32 bits.
OTHERS = (
    b"\x01aF" + long_text(b"\x01bt\x01") + b"\x01ct\x01" + b"\x01dD\x02\0\0\0\x07" + b"\x01eV"
    b"\x01fT" + bytes(8) + b"\x01gs\0\x01" + b"\x01hI\0\0\0\x01"
)


@pytest.mark.parametrize("talk", [mqtt, amqp])
@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n", b"220 mail ESMTP\r\n"])
def test_another_protocol_is_unexpected(talk, words: bytes):
    assert isinstance(converse(talk(call()), words).ended, UnexpectedAnswer)


def test_mqtt_is_asked_for_a_clean_session_without_a_name():
    spoken = converse(mqtt(call()), b"\x20\x02\0\0")
    assert spoken.said == [b"\x10\x1b\0\x04MQTT\x04\x02\0\x3c\0\x0fvedette72727272"]
    assert spoken.ended == CloseSequence(b"\xe0\0", expects_reply=False)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (b"\x20\x02\0\x01", ServiceRefused),
        (b"\x20\x02\0\x03", ServiceUnhealthy),
        (b"\x20\x03\0\x84\0", ServiceRefused),
        (b"\x20\x03\0\x89\0", ServiceUnhealthy),
        (b"\x20\x02\0\x63", ServiceRefused),
    ],
)
def test_mqtt_that_does_not_want_us(words: bytes, error: type[Exception]):
    assert type(converse(mqtt(call()), words).ended) is error


@pytest.mark.parametrize("words", [b"\x20\x02\0\x05", b"\x20\x02\0\x04", b"\x20\x03\0\x87\0"])
def test_mqtt_that_wants_a_login_is_up(words: bytes):
    asked = call()
    assert isinstance(converse(mqtt(asked), words).ended, CloseSequence)
    assert asked.facts["login_required"] is True


@pytest.mark.parametrize("table", [PRODUCT + OTHERS, OTHERS + PRODUCT])
def test_amqp_tells_its_software(table: bytes):
    asked = call()
    assert converse(amqp(asked), start(table)).ended == CloseSequence()
    assert asked.facts == {"protocol_version": "0-9-1", "software": "RabbitMQ", "mechanisms": "PLAIN AMQPLAIN"}


def test_amqp_is_understood_byte_by_byte():
    words = [bytes((byte,)) for byte in start(PRODUCT)]
    assert converse(amqp(call()), *words).ended == CloseSequence()


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (b"AMQP\0\x01\0\0", "1.0"),
        (b"AMQP\x03\x01\0\0", "1.0"),
        (b"AMQP\0\0\x09\0", "0-9-0"),
        (b"AMQP\x01\x01\0\x0a", "1-0-10"),
    ],
)
def test_amqp_of_another_version_is_up(header: bytes, version: str):
    asked = call()
    assert converse(amqp(asked), header).ended == CloseSequence()
    assert asked.facts["protocol_version"] == version


def test_amqp_that_closes_refuses_in_its_own_words():
    words = frame((10, 50), struct.pack(">H", 320) + b"\x09not today" + bytes(4))
    spoken = converse(amqp(call()), words)
    assert isinstance(spoken.ended, ServiceRefused)
    assert spoken.ended.peer_text == "not today"


@given(st.binary(max_size=120))
def test_any_table_ends_in_a_verdict(table: bytes):
    spoken = converse(amqp(call()), start(table))
    assert isinstance(spoken.ended, CloseSequence | ProtocolSessionError)
