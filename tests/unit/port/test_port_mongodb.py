"""There is no MongoDB in Debian: its side is written here, from "MongoDB Wire Protocol" and bsonspec.org."""

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
from services.port.protocols.mongodb import mongodb
from tests.support.spoken import call, converse

OURS = int.from_bytes(b"rrrr", "little") & 0x7FFFFFFF


def bson(**elements: object) -> bytes:
    body = b"".join(map(element, elements, elements.values()))
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def element(name: str, value: object) -> bytes:
    key = name.encode() + b"\0"
    if isinstance(value, bool):
        return b"\x08" + key + bytes((value,))
    if isinstance(value, float):
        return b"\x01" + key + struct.pack("<d", value)
    if isinstance(value, int):
        return b"\x10" + key + struct.pack("<i", value)
    if isinstance(value, str):
        return b"\x02" + key + struct.pack("<i", len(value) + 1) + value.encode() + b"\0"
    return b"\x03" + key + bson(**value)  # type: ignore[arg-type]


def answer(document: bytes, to: int = OURS) -> bytes:
    return struct.pack("<iiiiIB", 21 + len(document), 7, to, 2013, 0, 0) + document


def hello(**elements: object) -> bytes:
    return answer(bson(topologyVersion={"counter": 6}, maxWireVersion=21, **elements, ok=1.0))


@pytest.mark.parametrize(
    ("elements", "role"),
    [
        ({"isWritablePrimary": True}, "primary"),
        ({"isWritablePrimary": True, "msg": "isdbgrid"}, "router"),
        ({"isWritablePrimary": False, "secondary": True, "setName": "rs0"}, "secondary"),
        ({"isWritablePrimary": False, "secondary": False, "arbiterOnly": True}, "arbiter"),
    ],
)
def test_mongodb_tells_its_role(elements: dict[str, object], role: str):
    asked = call()
    assert converse(mongodb(asked), hello(**elements)).ended == CloseSequence()
    assert (asked.facts["role"], asked.facts["protocol_version"]) == (role, "21")


def test_a_member_without_a_role_is_unhealthy():
    spoken = converse(mongodb(call()), hello(isWritablePrimary=False, secondary=False, info="starting"))
    assert isinstance(spoken.ended, ServiceUnhealthy)
    assert spoken.ended.peer_text == "starting"


def test_an_old_server_that_does_not_know_hello_is_up():
    words = answer(bson(ok=0.0, errmsg="no such command: 'hello'", code=59))
    assert converse(mongodb(call()), words).ended == CloseSequence()


def test_mongodb_refuses_in_its_own_words():
    spoken = converse(mongodb(call()), answer(bson(ok=0.0, errmsg="not for you", code=13)))
    assert isinstance(spoken.ended, ServiceRefused)
    assert spoken.ended.peer_text == "not for you"


def test_the_answer_to_somebody_else_is_unexpected():
    assert isinstance(converse(mongodb(call()), answer(bson(ok=1.0), to=OURS + 1)).ended, UnexpectedAnswer)


def test_what_we_say_is_the_hello_of_the_documentation():
    (said,) = converse(mongodb(call())).said
    assert (
        said[16:]
        == bytes(5)
        + bson(hello=1).removesuffix(b"\0").replace(struct.pack("<i", 16), struct.pack("<i", len(said) - 21))
        + element("$db", "admin")
        + b"\0"
    )


@given(st.binary(max_size=200), st.integers(0, 220))
def test_any_document_ends_in_a_verdict(noise: bytes, cut: int):
    document = (bson(ok=1.0, setName="x", topologyVersion={"counter": 6}) + noise)[:cut]
    spoken = converse(mongodb(call()), answer(document), bytes(64))
    assert spoken.ended is None or isinstance(spoken.ended, CloseSequence | ProtocolSessionError)
