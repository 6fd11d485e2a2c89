import struct

import pytest

from services.port.protocol_api import CloseSequence, ServiceRefused, ServiceUnhealthy, TlsNotOffered, UnexpectedAnswer
from services.port.protocols.databases import memcached, mysql, postgresql, redis
from services.port.protocols.mongodb import mongodb
from tests.support.spoken import Spoken, call, converse

ELSEWHERE = (b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ESMTP\r\n", b"* OK IMAP\r\n")


def packet(payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + b"\0" + payload


def greeting(version: bytes = b"8.0.36", *, tls: bool = True) -> bytes:
    capabilities = 0xF7FF | (0x0800 if tls else 0)
    return packet(b"\x0a" + version + b"\0" + bytes(4) + b"saltsalt\0" + struct.pack("<H", capabilities) + bytes(30))


def sealed(spoken: Spoken) -> tuple[int, object]:
    return spoken.tls, spoken.ended


@pytest.mark.parametrize("talk", [mysql, postgresql, redis, memcached, mongodb])
@pytest.mark.parametrize("words", ELSEWHERE)
def test_another_protocol_is_unexpected(talk, words: bytes):
    assert isinstance(converse(talk(call()), words).ended, UnexpectedAnswer)


@pytest.mark.parametrize(
    ("version", "software"),
    [(b"8.0.36", "8.0.36"), (b"5.5.5-10.11.19-MariaDB", "10.11.19-MariaDB"), (b"5.5.5", "5.5.5")],
)
def test_mysql_tells_its_version(version: bytes, software: str):
    asked = call()
    assert sealed(converse(mysql(asked), greeting(version))) == (1, CloseSequence())
    assert asked.facts["software"] == software


def test_mysql_is_asked_for_tls_in_32_bytes():
    said = converse(mysql(call()), greeting()).said
    assert [(len(words), words[:4]) for words in said] == [(36, b"\x20\0\0\x01")]


@pytest.mark.parametrize(("policy", "tls"), [("never", True), ("auto", False)])
def test_mysql_is_left_without_a_word_in_the_clear(policy: str, tls: bool):
    spoken = converse(mysql(call(starttls=policy)), greeting(tls=tls))
    assert (spoken.said, *sealed(spoken)) == ([], 0, CloseSequence())


def test_mysql_without_tls_where_it_is_required():
    spoken = converse(mysql(call(starttls="require")), greeting(tls=False))
    assert isinstance(spoken.ended, TlsNotOffered)


@pytest.mark.parametrize(
    ("code", "error"),
    [(1129, ServiceRefused), (1130, ServiceRefused), (1040, ServiceRefused), (1053, ServiceUnhealthy)],
)
def test_mysql_refuses_in_its_own_words(code: int, error: type[Exception]):
    spoken = converse(mysql(call()), packet(b"\xff" + struct.pack("<H", code) + b"its own words"))
    assert type(spoken.ended) is error
    assert spoken.ended.peer_text == "its own words"


def test_mysql_that_blocks_us_says_why():
    spoken = converse(mysql(call()), packet(b"\xff\x69\x04Host is blocked"))
    assert "max_connect_errors" in str(spoken.ended)


def test_mysql_is_understood_byte_by_byte():
    words = [bytes((byte,)) for byte in greeting()]
    assert sealed(converse(mysql(call()), *words)) == (1, CloseSequence())


@pytest.mark.parametrize(("answer", "tls"), [(b"S", 1), (b"N", 0)])
def test_postgresql_goes_over_to_tls_if_it_says_so(answer: bytes, tls: int):
    spoken = converse(postgresql(call()), answer)
    assert (spoken.said, *sealed(spoken)) == ([bytes.fromhex("0000000804d2162f")], tls, CloseSequence())


def test_what_comes_with_the_consent_of_postgresql_is_not_from_the_server():
    assert isinstance(converse(postgresql(call()), b"Sinjected").ended, UnexpectedAnswer)


POSTGRESQL_ERRORS = [b"Ecould not fork\0", b"E\0\0\0\x1cSFATAL\0Mcould not fork\0\0"]


@pytest.mark.parametrize("words", POSTGRESQL_ERRORS)
def test_postgresql_refuses_in_its_own_words(words: bytes):
    spoken = converse(postgresql(call()), words)
    assert isinstance(spoken.ended, ServiceRefused)
    assert spoken.ended.peer_text == "could not fork"


@pytest.mark.parametrize("words", POSTGRESQL_ERRORS)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_an_error_of_postgresql_is_read_whole_in_however_many_pieces(words: bytes, size: int):
    spoken = converse(postgresql(call()), *[words[at : at + size] for at in range(0, len(words), size)])
    assert isinstance(spoken.ended, ServiceRefused)
    assert spoken.ended.peer_text == "could not fork"


@pytest.mark.parametrize("words", [b"Ecould not fork", b"E\0\0\0\x1aSFATAL\0Mcould not", b"E"])
def test_postgresql_may_go_on_but_not_for_ever(words: bytes):
    assert converse(postgresql(call()), words).ended is None
    assert isinstance(converse(postgresql(call()), words, *[b"x" * 999] * 9).ended, ServiceRefused | UnexpectedAnswer)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", ServiceUnhealthy),
        (b"-MASTERDOWN Link with MASTER is down\r\n", ServiceUnhealthy),
        (b"-DENIED Redis is running in protected mode\r\n", ServiceRefused),
        (b"-ERR max number of clients reached\r\n", ServiceRefused),
        (b"-ERR unknown command\r\n", UnexpectedAnswer),
    ],
)
def test_redis_in_its_own_words(answer: bytes, error: type[Exception]):
    assert type(converse(redis(call()), answer).ended) is error


@pytest.mark.parametrize(("answer", "locked"), [(b"+PONG\r\n", False), (b"-NOAUTH Authentication required.\r\n", True)])
def test_redis_is_up_with_and_without_a_login(answer: bytes, locked: bool):
    asked = call()
    assert converse(redis(asked), answer).ended == CloseSequence(b"QUIT\r\n")
    assert asked.facts["login_required"] is locked


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"ERROR Too many open connections\r\n", ServiceRefused), (b"SERVER_ERROR out of memory\r\n", ServiceUnhealthy)],
)
def test_memcached_in_its_own_words(answer: bytes, error: type[Exception]):
    assert type(converse(memcached(call()), answer).ended) is error
