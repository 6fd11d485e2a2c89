import pytest

from services.port.protocol_api import CloseSequence, ServiceRefused, TlsNotOffered, UnexpectedAnswer
from services.port.protocols.ftp import ftp
from services.port.protocols.mail import imap, pop3, sieve, smtp
from tests.support.spoken import call, converse

OFFERS = b"250-host\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 8BITMIME\r\n"


def test_smtp_says_nothing_before_the_greeting():
    assert converse(smtp(call())).said == []


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"local_name": "probe.example"}, b"probe.example"),
        ({"local_name": "box", "local_address": "192.0.2.1"}, b"[192.0.2.1]"),
        ({"local_address": "2001:db8::1"}, b"[IPv6:2001:db8::1]"),
    ],
)
def test_smtp_says_who_we_are(options: dict[str, str], name: bytes):
    assert converse(smtp(call(**options)), b"220 hi\r\n").said == [b"EHLO " + name + b"\r\n"]


def test_smtp_goes_over_to_tls_and_introduces_itself_again():
    spoken = converse(smtp(call()), b"220-one\r\n220 two\r\n", OFFERS, b"220 go\r\n", OFFERS)
    assert [words.split()[0] for words in spoken.said] == [b"EHLO", b"STARTTLS", b"EHLO"]
    assert (spoken.tls, spoken.ended) == (1, CloseSequence(b"QUIT\r\n"))


def test_what_comes_after_starttls_in_the_clear_is_thrown_away():
    spoken = converse(smtp(call()), b"220 hi\r\n", OFFERS, b"220 go\r\n250 injected\r\n")
    assert (spoken.tls, spoken.ended) == (1, None)


@pytest.mark.parametrize(
    ("policy", "tls"), [("auto", 0), ("never", 0)], ids=["nothing is offered", "we do not want it"]
)
def test_smtp_without_tls_is_up_where_none_is_required(policy: str, tls: int):
    offers = b"250 host\r\n" if policy == "auto" else OFFERS
    spoken = converse(smtp(call(starttls=policy)), b"220 hi\r\n", offers)
    assert (spoken.tls, spoken.ended) == (tls, CloseSequence(b"QUIT\r\n"))


@pytest.mark.parametrize("answers", [(b"250 host\r\n",), (OFFERS, b"454 not now\r\n")], ids=["not offered", "refused"])
def test_submission_without_tls_is_told(answers: tuple[bytes, ...]):
    spoken = converse(smtp(call(starttls="require")), b"220 hi\r\n", *answers)
    assert isinstance(spoken.ended, TlsNotOffered)


@pytest.mark.parametrize("greeting", [b"421 too many\r\n", b"554 no\r\n"])
def test_smtp_that_refuses_is_told_in_its_own_words(greeting: bytes):
    spoken = converse(smtp(call()), greeting)
    assert isinstance(spoken.ended, ServiceRefused)
    assert spoken.ended.peer_text == greeting[4:].decode().strip()


@pytest.mark.parametrize("talk", [smtp, imap, pop3, sieve, ftp])
def test_another_protocol_is_unexpected(talk):
    assert isinstance(converse(talk(call()), b"HTTP/1.1 400 Bad Request\r\n").ended, UnexpectedAnswer)


def test_imap_is_asked_what_it_offers_if_it_does_not_say():
    spoken = converse(imap(call()), b"* OK hi\r\n", b"* CAPABILITY IMAP4rev1 STARTTLS\r\nv1 OK\r\n", b"v2 OK\r\n")
    assert spoken.said == [b"v1 CAPABILITY\r\n", b"v2 STARTTLS\r\n"]
    assert (spoken.tls, spoken.ended) == (1, CloseSequence(b"v3 LOGOUT\r\n"))


def test_imap_that_says_goodbye_refuses():
    assert isinstance(converse(imap(call()), b"* BYE too many\r\n").ended, ServiceRefused)


def test_pop3_goes_over_to_tls():
    spoken = converse(pop3(call()), b"+OK hi\r\n", b"+OK\r\nSTLS\r\nUSER\r\n.\r\n", b"+OK\r\n")
    assert spoken.said == [b"CAPA\r\n", b"STLS\r\n"]
    assert (spoken.tls, spoken.ended) == (1, CloseSequence(b"QUIT\r\n"))


def test_sieve_tells_its_name():
    asked = call()
    lines = b'"IMPLEMENTATION" "Dovecot"\r\n"STARTTLS"\r\nOK "ready"\r\n'
    spoken = converse(sieve(asked), lines, b"OK\r\n", b'"IMPLEMENTATION" "Dovecot"\r\nOK\r\n')
    assert (spoken.tls, asked.facts["software"]) == (1, "Dovecot")


def test_a_reply_of_ftp_may_have_bare_lines():
    spoken = converse(ftp(call()), b"220-welcome\r\nto us\r\n220 end\r\n", b"234 go\r\n")
    assert (spoken.said, spoken.tls) == ([b"AUTH TLS\r\n"], 1)


def test_ftp_that_is_full_refuses():
    assert isinstance(converse(ftp(call()), b"421 full\r\n").ended, ServiceRefused)
