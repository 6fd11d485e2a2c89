import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.port.protocol_api import (
    CloseSequence,
    ProtocolSessionError,
    ServiceRefused,
    ServiceUnhealthy,
    TlsNotOffered,
    UnexpectedAnswer,
)
from services.port.protocols.ldap import ldap
from tests.support.spoken import call, converse

UNBIND = CloseSequence(bytes.fromhex("30050201034200"), expects_reply=False)


def ber(tag: int, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return (
        bytes((tag, len(data))) + data if len(data) < 128 else bytes((tag, 0x82)) + len(data).to_bytes(2, "big") + data
    )


def message(number: int, content: bytes) -> bytes:
    return ber(0x30, ber(0x02, bytes((number,))), content)


def result(number: int, code: int, said: bytes = b"", tag: int = 0x65) -> bytes:
    return message(number, ber(tag, ber(0x0A, bytes((code,))), ber(0x04), ber(0x04, said)))


def entry(**attributes: bytes) -> bytes:
    pairs = (ber(0x30, ber(0x04, name.encode()), ber(0x31, ber(0x04, value))) for name, value in attributes.items())
    return message(2, ber(0x64, ber(0x04), ber(0x30, *pairs)))


ROOT = entry(supportedLDAPVersion=b"3", vendorName=b"Somebody") + result(2, 0)
CONSENT = result(1, 0, tag=0x78)
REFUSAL = result(1, 2, b"unsupported", tag=0x78)


def test_ldap_goes_over_to_tls_before_it_asks():
    asked = call()
    spoken = converse(ldap(asked), CONSENT, ROOT)
    assert (spoken.tls, spoken.ended) == (1, UNBIND)
    assert (asked.facts["software"], asked.facts["protocol_version"]) == ("Somebody", "3")
    assert [words[5] for words in spoken.said] == [0x77, 0x63]


def test_ldap_is_understood_byte_by_byte():
    words = [bytes((byte,)) for byte in CONSENT]
    spoken = converse(ldap(call()), *words, *(bytes((byte,)) for byte in ROOT))
    assert (spoken.tls, spoken.ended) == (1, UNBIND)


@pytest.mark.parametrize("options", [{"starttls": "never"}, {"over_tls": True}])
def test_ldap_is_left_as_it_is(options: dict[str, object]):
    spoken = converse(ldap(call(**options)), ROOT)
    assert (spoken.tls, len(spoken.said), spoken.ended) == (0, 1, UNBIND)


def test_ldap_without_tls_where_it_is_required():
    assert isinstance(converse(ldap(call(starttls="require")), REFUSAL).ended, TlsNotOffered)


def test_ldap_without_tls_is_asked_in_the_clear():
    asked = call()
    spoken = converse(ldap(asked), REFUSAL, ROOT)
    assert (spoken.tls, spoken.ended, asked.facts["starttls_refused"]) == (0, UNBIND, "unsupported")


@pytest.mark.parametrize("code", [1, 8, 32, 48, 50, 53])
def test_ldap_that_answers_nobody_without_a_bind_is_up(code: int):
    asked = call()
    assert converse(ldap(asked), REFUSAL, result(2, code)).ended == UNBIND
    assert asked.facts["ldap_result"] == code


@pytest.mark.parametrize("code", [51, 52])
def test_ldap_that_is_not_well_says_so(code: int):
    assert isinstance(converse(ldap(call()), REFUSAL, result(2, code, b"later")).ended, ServiceUnhealthy)


def test_ldap_that_hangs_up_refuses_in_its_own_words():
    spoken = converse(ldap(call()), result(0, 52, b"too many", tag=0x78))
    assert isinstance(spoken.ended, ServiceRefused)
    assert spoken.ended.peer_text == "too many"


@pytest.mark.parametrize(
    "words", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400\r\n", b"220 mail\r\n", b"0\x80..", b"0\x8f"]
)
def test_another_protocol_is_unexpected(words: bytes):
    assert isinstance(converse(ldap(call()), words).ended, UnexpectedAnswer)


@given(st.binary(max_size=100))
def test_any_message_ends_in_a_verdict_or_waits(noise: bytes):
    spoken = converse(ldap(call(starttls="never")), ber(0x30, noise), result(2, 0))
    assert spoken.ended is None or isinstance(spoken.ended, CloseSequence | ProtocolSessionError)


def test_ldap_with_a_result_that_no_number_is_for():
    huge = message(2, ber(0x65, ber(0x0A, b"\x01" * 20), ber(0x04), ber(0x04)))
    assert isinstance(converse(ldap(call(starttls="never")), huge).ended, UnexpectedAnswer)
