import pytest

from services.port.protocol_api import CloseSequence, ServiceRefused, ServiceUnhealthy, TlsNotOffered, UnexpectedAnswer
from services.port.protocols.chat import irc, xmpp
from tests.support.spoken import call, converse

OPEN = b"<?xml version='1.0'?><stream:stream id='x' from='host.example' version='1.0'>"
OFFER = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
LOGIN = (
    b"<stream:features><mechanisms><mechanism>PLAIN</mechanism><mechanism>SCRAM-SHA-1</mechanism></mechanisms>"
    b"</stream:features>"
)
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
CLOSED = CloseSequence(b"</stream:stream>")


def error(condition: bytes) -> bytes:
    return b"<stream:error><" + condition + b" xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"


def test_xmpp_goes_over_to_tls_and_opens_its_stream_again():
    asked = call()
    spoken = converse(xmpp(asked), OPEN + OFFER, PROCEED, OPEN + LOGIN)
    assert (spoken.tls, spoken.ended, asked.facts["mechanisms"]) == (1, CLOSED, "PLAIN SCRAM-SHA-1")
    assert [words.split()[0] for words in spoken.said] == [b"<?xml", b"<starttls", b"<?xml"]


def test_xmpp_is_understood_byte_by_byte():
    words = [bytes((byte,)) for byte in OPEN + LOGIN]
    assert converse(xmpp(call()), *words).ended == CLOSED


@pytest.mark.parametrize("features", [b"<stream:features/>", LOGIN])
def test_xmpp_without_tls(features: bytes):
    assert converse(xmpp(call()), OPEN + features).ended == CLOSED
    assert isinstance(converse(xmpp(call(starttls="require")), OPEN + features).ended, TlsNotOffered)


def test_xmpp_that_will_not_after_all():
    failure = b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"
    assert converse(xmpp(call()), OPEN + OFFER, failure).ended == CLOSED
    assert isinstance(converse(xmpp(call(starttls="require")), OPEN + OFFER, failure).ended, TlsNotOffered)


@pytest.mark.parametrize(
    ("condition", "ended"),
    [
        (b"host-unknown", ServiceRefused),
        (b"policy-violation", ServiceRefused),
        (b"resource-constraint", ServiceUnhealthy),
    ],
)
def test_xmpp_that_ends_the_stream_says_why(condition: bytes, ended: type):
    spoken = converse(xmpp(call()), OPEN + error(condition))
    assert type(spoken.ended) is ended
    assert spoken.ended.peer_text == condition.decode()


@pytest.mark.parametrize("talk", [xmpp, irc])
@pytest.mark.parametrize(
    "words", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400\r\n", b"220 mail\r\n", b"+OK\r\n", b"* OK\r\n"]
)
def test_another_protocol_is_unexpected(talk, words: bytes):
    assert isinstance(converse(talk(call()), words).ended, UnexpectedAnswer)


def test_another_language_of_angle_brackets_is_unexpected():
    assert isinstance(converse(xmpp(call()), b"<html>" + b"x" * 20_000).ended, UnexpectedAnswer)


@pytest.mark.parametrize(
    "answer", [b":irc.example CAP * LS :multi-prefix", b":irc.example 451 * :You have not registered"]
)
def test_irc_answers_before_anybody_registers(answer: bytes):
    asked = call(starttls="never")
    spoken = converse(irc(asked), b":irc.example NOTICE * :*** Looking up\r\nPING :1234\r\n", answer + b"\r\n")
    assert spoken.said == [b"CAP LS 302\r\n", b"PONG :1234\r\n"]
    assert (spoken.ended, asked.facts["server_name"]) == (CloseSequence(b"QUIT\r\n"), "irc.example")


@pytest.mark.parametrize("words", [b"ERROR :Closing Link: throttled\r\n", b":irc.example 465 * :You are banned\r\n"])
def test_irc_refuses_in_its_own_words(words: bytes):
    assert isinstance(converse(irc(call()), words).ended, ServiceRefused)


def test_irc_has_no_starttls():
    spoken = converse(irc(call(starttls="require")), b":irc.example CAP * LS :\r\n")
    assert isinstance(spoken.ended, TlsNotOffered)


def test_xmpp_takes_no_time_over_elements_that_never_end():
    assert isinstance(converse(xmpp(call()), OPEN + b"<stream:features " * 300_000).ended, UnexpectedAnswer)
