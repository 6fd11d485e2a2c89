import struct

import pytest

from services.port.protocol_api import CloseSequence, ServiceRefused, ServiceUnhealthy, UnexpectedAnswer
from services.port.protocols.dns import dns
from tests.support.spoken import call, converse

QUESTION = b"\x07example\x03org\0\0\x01\0\x01"
AS_OF_OLD = b"rr\x01\0\0\x01\0\0\0\0\0\0" + QUESTION
# One additional record: RFC 6891 section 6.1.2, with 1232 bytes.
WITH_EDNS = b"rr\x01\0\0\x01\0\0\0\0\0\1" + QUESTION + b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


def answer(
    rcode: int = 0, flags: int = 0x8180, number: bytes = b"rr", question: bytes = QUESTION, answers: int = 1
) -> bytes:
    counts = struct.pack(">HHHHH", flags | rcode, 1 if question else 0, answers, 0, 0)
    return number + counts + question


def ask(*words: bytes, over_udp: bool = True):
    asked = call(over_udp=over_udp, query_name="example.org", query_type="A")
    return asked, converse(dns(asked), *words)


def test_a_question_is_one_datagram_or_has_its_length_before_it():
    assert ask()[1].said == [WITH_EDNS]
    assert ask(over_udp=False)[1].said == [b"\0\x1d" + AS_OF_OLD]


def test_the_root_is_a_name():
    asked = call(over_udp=True)
    assert converse(dns(asked)).said[0][12:17] == b"\0\0\x06\0\x01"


def test_an_answer_is_told():
    asked, spoken = ask(answer(flags=0x8580, answers=2))
    assert spoken.ended == CloseSequence()
    told = {"rcode": "NOERROR", "answers": 2, "authoritative": True, "recursive": True}
    assert asked.facts == told | {"edns": True}


@pytest.mark.parametrize("rcode", [1, 4], ids=["FORMERR", "NOTIMP"])
@pytest.mark.parametrize("question", [QUESTION, b""], ids=["with its question", "without"])
def test_a_server_that_does_not_know_edns_is_asked_as_of_old(rcode: int, question: bytes):
    asked, spoken = ask(answer(rcode, question=question), answer())
    assert (spoken.said, spoken.ended) == ([WITH_EDNS, AS_OF_OLD], CloseSequence())
    assert (asked.facts["rcode"], asked.facts["edns"]) == ("NOERROR", False)


@pytest.mark.parametrize("rcode", [0, 2, 3, 5])
def test_other_answers_are_taken_at_their_word(rcode: int):
    assert ask(answer(rcode), answer())[1].said == [WITH_EDNS]


@pytest.mark.parametrize(
    ("rcode", "ended"),
    [
        (0, CloseSequence),
        (3, CloseSequence),
        (1, ServiceUnhealthy),
        (2, ServiceUnhealthy),
        (4, ServiceUnhealthy),
        (5, ServiceRefused),
        (9, ServiceRefused),
        (15, ServiceUnhealthy),
    ],
)
@pytest.mark.parametrize("over_udp", [True, False])
def test_the_code_of_an_answer_is_its_verdict(rcode: int, ended: type, over_udp: bool):
    words = answer(rcode)
    _, spoken = ask(*[words] * 2 if over_udp else [len(words).to_bytes(2, "big") + words], over_udp=over_udp)
    assert type(spoken.ended) is ended


FOREIGN = [
    answer(number=b"xx"),
    answer(flags=0x0100),
    answer(flags=0xA180),
    answer(question=QUESTION.replace(b"org", b"net")),
    answer(question=b""),
    b"rr",
]


@pytest.mark.parametrize("words", FOREIGN)
def test_a_datagram_that_does_not_answer_is_passed_over(words: bytes):
    assert ask(words)[1].ended is None
    assert ask(words, answer())[1].ended == CloseSequence()


@pytest.mark.parametrize("words", FOREIGN)
def test_over_tcp_it_is_unexpected(words: bytes):
    assert isinstance(ask(len(words).to_bytes(2, "big") + words, over_udp=False)[1].ended, UnexpectedAnswer)


@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400\r\n", b"220 mail\r\n"])
def test_another_protocol_is_unexpected_over_tcp(words: bytes):
    assert isinstance(ask(words, over_udp=False)[1].ended, UnexpectedAnswer)


def test_a_name_may_come_back_in_other_letters():
    assert ask(answer(question=QUESTION.replace(b"example", b"eXAMPLE")))[1].ended == CloseSequence()


def test_an_error_may_leave_the_question_out():
    assert isinstance(ask(answer(rcode=5, question=b""))[1].ended, ServiceRefused)


def test_a_truncated_answer_is_told():
    assert ask(answer(flags=0x8380))[0].facts["truncated"] is True
