import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.port.conversation import ConversationError, Goodbye, Refusing, TlsMissing, Unexpected, Unhealthy
from services.port.conversations.directories import ldap
from tests.support.spoken import call, converse

UNBIND = Goodbye(bytes.fromhex("30050201034200"), answered=False)
START_TLS = b"1.3.6.1.4.1.1466.20037"


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
    return message(1, ber(0x64, ber(0x04), ber(0x30, *pairs)))


ROOT = entry(supportedLDAPVersion=b"3", supportedExtension=START_TLS, vendorName=b"Somebody")


def test_ldap_goes_over_to_tls_where_it_is_offered():
    asked = call()
    spoken = converse(ldap(asked), ROOT + result(1, 0), result(2, 0, tag=0x78))
    assert (spoken.tls, spoken.ended) == (1, UNBIND)
    assert (asked.facts["software"], asked.facts["protocol_version"]) == ("Somebody", "3")


def test_ldap_is_understood_byte_by_byte():
    words = [bytes((byte,)) for byte in ROOT + result(1, 0)]
    spoken = converse(ldap(call()), *words, result(2, 0, tag=0x78))
    assert (spoken.tls, spoken.ended) == (1, UNBIND)


@pytest.mark.parametrize("options", [{"starttls": "never"}, {"over_tls": True}])
def test_ldap_is_left_as_it_is(options: dict[str, object]):
    spoken = converse(ldap(call(**options)), ROOT + result(1, 0))
    assert (spoken.tls, spoken.ended) == (0, UNBIND)


@pytest.mark.parametrize("answers", [(entry() + result(1, 0),), (ROOT + result(1, 0), result(2, 52, tag=0x78))])
def test_ldap_without_tls_where_it_is_required(answers: tuple[bytes, ...]):
    assert isinstance(converse(ldap(call(starttls="require")), *answers).ended, TlsMissing)


def test_ldap_that_will_not_after_all_stays_in_the_clear():
    asked = call()
    spoken = converse(ldap(asked), ROOT + result(1, 0), result(2, 52, b"not now", tag=0x78))
    assert (spoken.tls, spoken.ended, asked.facts["starttls_refused"]) == (0, UNBIND, "not now")


@pytest.mark.parametrize("code", [1, 8, 32, 48, 50, 53])
def test_ldap_that_answers_nobody_without_a_bind_is_up(code: int):
    asked = call()
    assert converse(ldap(asked), result(1, code)).ended == UNBIND
    assert asked.facts["ldap_result"] == code


@pytest.mark.parametrize("code", [51, 52])
def test_ldap_that_is_not_well_says_so(code: int):
    assert isinstance(converse(ldap(call()), result(1, code, b"later")).ended, Unhealthy)


def test_ldap_that_hangs_up_refuses_in_its_own_words():
    spoken = converse(ldap(call()), result(0, 52, b"too many", tag=0x78))
    assert isinstance(spoken.ended, Refusing)
    assert spoken.ended.said == "too many"


@pytest.mark.parametrize(
    "words", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400\r\n", b"220 mail\r\n", b"0\x80..", b"0\x8f"]
)
def test_another_protocol_is_unexpected(words: bytes):
    assert isinstance(converse(ldap(call()), words).ended, Unexpected)


@given(st.binary(max_size=100))
def test_any_message_ends_in_a_verdict_or_waits(noise: bytes):
    spoken = converse(ldap(call()), ber(0x30, noise), result(1, 0))
    assert spoken.ended is None or isinstance(spoken.ended, Goodbye | ConversationError)
