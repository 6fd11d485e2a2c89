"""LDAP: the root DSE, without a bind."""

from collections.abc import Generator
from typing import NamedTuple

from services.port.protocol_api import (
    CloseSequence,
    ProtocolAction,
    ProtocolContext,
    ProtocolGenerator,
    ReadExactly,
    Send,
    ServiceDefinition,
    ServiceRefused,
    ServiceUnhealthy,
    StartTls,
    UnexpectedAnswer,
    printable,
)
from services.port.protocols.starttls import record_starttls_refused

_MESSAGE_BYTES_MAX = 16 * 1024
# The entry, its end, and messages that a server may send in between (RFC 4511 sections 4.5.2, 4.13).
_MESSAGES_MAX = 8
_CODE_BYTES_MAX = 4
_INTEGER, _OCTETS, _ENUMERATED, _SEQUENCE = 0x02, 0x04, 0x0A, 0x30
_UNBIND, _SEARCH, _ENTRY, _DONE, _EXTENDED, _EXTENDED_DONE = 0x42, 0x63, 0x64, 0x65, 0x77, 0x78
_START_TLS = b"1.3.6.1.4.1.1466.20037"
_REQUESTED_ATTRIBUTES = (b"supportedLDAPVersion", b"vendorName", b"vendorVersion")
# RFC 4511 appendix A.1.
_UNHEALTHY_CODES = {51: "it is busy", 52: "it is unavailable"}


class _BerElement(NamedTuple):
    tag: int
    data: bytes


class _LdapResult(NamedTuple):
    """An LDAPResult: its code and diagnostic message."""

    code: int
    diagnostic: bytes


def ldap(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 4511 sections 4.14 and 4.5, RFC 4512 section 5.1: StartTLS, the root DSE, unbind.

    A refused anonymous search also shows that the server is up.
    """
    if context.starttls != "never" and not context.over_tls:
        yield from _start_tls(context)
    yield Send(_encode_message(2, _encode_search()))
    attributes: dict[bytes, list[bytes]] = {}
    result = yield from _read_response(2, _DONE, attributes)
    if result.code in _UNHEALTHY_CODES:
        raise ServiceUnhealthy(f"The server reports that {_UNHEALTHY_CODES[result.code]}", result.diagnostic)
    _record_facts(context, result, attributes)
    return CloseSequence(_encode_message(3, _encode_element(_UNBIND, b"")), expects_reply=False)


def _start_tls(context: ProtocolContext) -> Generator[ProtocolAction, bytes, None]:
    """Requests StartTLS before anything else.

    A search for supportedExtension first would not be safe: slapd may count an answered search as still in progress,
    and then reply that it cannot start TLS.
    """
    yield Send(_encode_message(1, _encode_element(_EXTENDED, _encode_element(0x80, _START_TLS))))
    result = yield from _read_response(1, _EXTENDED_DONE, {})
    context.facts["tls_offered"] = result.code == 0
    if result.code == 0:
        yield StartTls()
    else:
        record_starttls_refused(context, result.diagnostic or f"result {result.code}")


def _record_facts(context: ProtocolContext, result: _LdapResult, attributes: dict[bytes, list[bytes]]) -> None:
    context.facts["ldap_result"] = result.code
    if versions := attributes.get(b"supportedldapversion"):
        context.facts["protocol_version"] = printable(b" ".join(versions))
    names = [value for name in (b"vendorname", b"vendorversion") for value in attributes.get(name, [])]
    if names:
        context.facts["software"] = printable(b" ".join(names))


def _encode_search() -> bytes:
    """Returns a search request for the identifying attributes of the root DSE (RFC 4511 section 4.5.1)."""
    scope = _encode_element(_OCTETS, b"") + _encode_element(_ENUMERATED, b"\0") + _encode_element(_ENUMERATED, b"\0")
    limits = _encode_element(_INTEGER, b"\x01") + _encode_element(_INTEGER, b"\x0a") + _encode_element(0x01, b"\0")
    present = _encode_element(0x87, b"objectClass")
    wanted = _encode_element(_SEQUENCE, b"".join(_encode_element(_OCTETS, name) for name in _REQUESTED_ATTRIBUTES))
    return _encode_element(_SEARCH, scope + limits + present + wanted)


def _read_response(
    number: int, wanted: int, attributes: dict[bytes, list[bytes]]
) -> Generator[ProtocolAction, bytes, _LdapResult]:
    """Reads until the response to message `number` is complete; fills `attributes` from its entries."""
    for _ in range(_MESSAGES_MAX):
        parts = yield from _read_message()
        if len(parts) < 2 or parts[0].tag != _INTEGER:
            raise UnexpectedAnswer("The peer does not speak LDAP")
        answered, content = int.from_bytes(parts[0].data, "big"), parts[1]
        if answered == 0 and content.tag == _EXTENDED_DONE:  # notice of disconnection, RFC 4511 section 4.4.1
            raise ServiceRefused("The server disconnects", _parse_result(content).diagnostic)
        if answered == number and content.tag == wanted:
            return _parse_result(content)
        if answered == number and content.tag == _ENTRY:
            attributes |= _parse_attributes(content.data)
    raise UnexpectedAnswer("The server does not end its answer")


def _read_message() -> Generator[ProtocolAction, bytes, list[_BerElement]]:
    """Reads one LDAPMessage (RFC 4511 section 4.1.1); returns its elements."""
    head = yield ReadExactly(2)
    if head[0] != _SEQUENCE or head[1] in (0x80, *range(0x85, 0x100)):
        raise UnexpectedAnswer("The peer does not speak LDAP", head)
    size = head[1]
    if size & 0x80:
        size = int.from_bytes((yield ReadExactly(size & 0x7F)), "big")
    if size > _MESSAGE_BYTES_MAX:
        raise UnexpectedAnswer(f"The server's message has {size} bytes")
    return _parse_elements((yield ReadExactly(size)))


def _parse_result(content: _BerElement) -> _LdapResult:
    parts = _parse_elements(content.data)
    if len(parts) < 3 or parts[0].tag != _ENUMERATED or len(parts[0].data) > _CODE_BYTES_MAX:
        raise UnexpectedAnswer("The server's result is malformed")
    return _LdapResult(int.from_bytes(parts[0].data, "big"), parts[2].data)


def _parse_attributes(entry: bytes) -> dict[bytes, list[bytes]]:
    """Returns the values of an entry's attributes, by lower-case name."""
    found: dict[bytes, list[bytes]] = {}
    parts = _parse_elements(entry)
    for attribute in _parse_elements(parts[1].data) if len(parts) > 1 else []:
        pair = _parse_elements(attribute.data)
        if len(pair) == 2:
            found[pair[0].data.lower()] = [value.data for value in _parse_elements(pair[1].data)]
    return found


def _encode_message(number: int, content: bytes) -> bytes:
    return _encode_element(_SEQUENCE, _encode_element(_INTEGER, bytes((number,))) + content)


def _encode_element(tag: int, data: bytes) -> bytes:
    """Returns one BER element (X.690 section 8.1) of at most 65535 bytes."""
    size = bytes((len(data),)) if len(data) < 0x80 else b"\x82" + len(data).to_bytes(2, "big")
    return bytes((tag,)) + size + data


def _parse_elements(data: bytes) -> list[_BerElement]:
    """Returns the consecutive BER elements in `data`; UnexpectedAnswer if it is truncated."""
    found: list[_BerElement] = []
    at = 0
    while at < len(data):
        size, after = data[at + 1 : at + 2], at + 2
        length = size[0] if size else 0
        if length & 0x80:
            after += length & 0x7F
            length = int.from_bytes(data[at + 2 : after], "big")
        if not size or after + length > len(data):
            raise UnexpectedAnswer("The server's message is truncated")
        found.append(_BerElement(data[at], data[after : after + length]))
        at = after + length
    return found


SERVICES = (
    ServiceDefinition("ldap", 389, ldap),
    ServiceDefinition("ldaps", 636, ldap, tls=True),
)
