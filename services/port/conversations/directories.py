"""Directories: LDAP, asked who it is without a bind."""

from collections.abc import Generator
from typing import NamedTuple

from services.port.conversation import (
    Ask,
    Call,
    Entry,
    Exactly,
    Goodbye,
    Refusing,
    Say,
    StartTls,
    Talk,
    Unexpected,
    Unhealthy,
    shown,
)
from services.port.conversations.upgrades import stays_clear

_MESSAGE_BYTES_MAX = 16 * 1024
# The entry, its end, and what a server may say in between (RFC 4511 sections 4.5.2, 4.13).
_MESSAGES_MAX = 8
_CODE_BYTES_MAX = 4
_INTEGER, _OCTETS, _ENUMERATED, _SEQUENCE = 0x02, 0x04, 0x0A, 0x30
_UNBIND, _SEARCH, _ENTRY, _DONE, _EXTENDED, _EXTENDED_DONE = 0x42, 0x63, 0x64, 0x65, 0x77, 0x78
_START_TLS = b"1.3.6.1.4.1.1466.20037"
_ASKED = (b"supportedLDAPVersion", b"vendorName", b"vendorVersion")
# RFC 4511 appendix A.1.
_UNWELL = {51: "it is busy", 52: "it is unavailable"}


class _Element(NamedTuple):
    tag: int
    data: bytes


class _Result(NamedTuple):
    """An LDAPResult: its code, and what the server says to it."""

    code: int
    said: bytes


def ldap(call: Call) -> Talk:
    """RFC 4511 sections 4.14 and 4.5, RFC 4512 section 5.1: StartTLS, the root DSE, unbind.

    That an anonymous search is refused shows a living server, too.
    """
    if call.starttls != "never" and not call.over_tls:
        yield from _start_tls(call)
    yield Say(_message(2, _search()))
    attributes: dict[bytes, list[bytes]] = {}
    result = yield from _answer(2, _DONE, attributes)
    if result.code in _UNWELL:
        raise Unhealthy(f"The server says that {_UNWELL[result.code]}", result.said)
    _note(call, result, attributes)
    return Goodbye(_message(3, _element(_UNBIND, b"")), answered=False)


def _start_tls(call: Call) -> Generator[Ask, bytes, None]:
    """Asks for TLS before anything else.

    To search first, and see if it is offered, is not safe: slapd may have answered a search and count it as going on,
    and says then that it cannot start TLS.
    """
    yield Say(_message(1, _element(_EXTENDED, _element(0x80, _START_TLS))))
    result = yield from _answer(1, _EXTENDED_DONE, {})
    call.facts["tls_offered"] = result.code == 0
    if result.code == 0:
        yield StartTls()
    else:
        stays_clear(call, result.said or f"result {result.code}")


def _note(call: Call, result: _Result, attributes: dict[bytes, list[bytes]]) -> None:
    call.facts["ldap_result"] = result.code
    if versions := attributes.get(b"supportedldapversion"):
        call.facts["protocol_version"] = shown(b" ".join(versions))
    words = [word for name in (b"vendorname", b"vendorversion") for word in attributes.get(name, [])]
    if words:
        call.facts["software"] = shown(b" ".join(words))


def _search() -> bytes:
    """A search for the entry of the empty name itself (RFC 4511 section 4.5.1), with the attributes that tell who it is."""
    scope = _element(_OCTETS, b"") + _element(_ENUMERATED, b"\0") + _element(_ENUMERATED, b"\0")
    limits = _element(_INTEGER, b"\x01") + _element(_INTEGER, b"\x0a") + _element(0x01, b"\0")
    present = _element(0x87, b"objectClass")
    wanted = _element(_SEQUENCE, b"".join(_element(_OCTETS, name) for name in _ASKED))
    return _element(_SEARCH, scope + limits + present + wanted)


def _answer(number: int, wanted: int, attributes: dict[bytes, list[bytes]]) -> Generator[Ask, bytes, _Result]:
    """Reads on until the answer to message `number` is complete; fills `attributes` with what its entries hold."""
    for _ in range(_MESSAGES_MAX):
        parts = yield from _received()
        if len(parts) < 2 or parts[0].tag != _INTEGER:
            raise Unexpected("The peer does not speak LDAP")
        answered, content = int.from_bytes(parts[0].data, "big"), parts[1]
        if answered == 0 and content.tag == _EXTENDED_DONE:  # notice of disconnection, RFC 4511 section 4.4.1
            raise Refusing("The server hangs up", _result(content).said)
        if answered == number and content.tag == wanted:
            return _result(content)
        if answered == number and content.tag == _ENTRY:
            attributes |= _attributes(content.data)
    raise Unexpected("The server does not end its answer")


def _received() -> Generator[Ask, bytes, list[_Element]]:
    """Reads one LDAPMessage (RFC 4511 section 4.1.1); returns its parts."""
    head = yield Exactly(2)
    if head[0] != _SEQUENCE or head[1] in (0x80, *range(0x85, 0x100)):
        raise Unexpected("The peer does not speak LDAP", head)
    size = head[1]
    if size & 0x80:
        size = int.from_bytes((yield Exactly(size & 0x7F)), "big")
    if size > _MESSAGE_BYTES_MAX:
        raise Unexpected(f"The server's message has {size} bytes")
    return _elements((yield Exactly(size)))


def _result(content: _Element) -> _Result:
    parts = _elements(content.data)
    if len(parts) < 3 or parts[0].tag != _ENUMERATED or len(parts[0].data) > _CODE_BYTES_MAX:
        raise Unexpected("The server's result is none of LDAP")
    return _Result(int.from_bytes(parts[0].data, "big"), parts[2].data)


def _attributes(entry: bytes) -> dict[bytes, list[bytes]]:
    """Returns the values of an entry's attributes, by their names in small letters."""
    found: dict[bytes, list[bytes]] = {}
    parts = _elements(entry)
    for attribute in _elements(parts[1].data) if len(parts) > 1 else []:
        pair = _elements(attribute.data)
        if len(pair) == 2:
            found[pair[0].data.lower()] = [value.data for value in _elements(pair[1].data)]
    return found


def _message(number: int, content: bytes) -> bytes:
    return _element(_SEQUENCE, _element(_INTEGER, bytes((number,))) + content)


def _element(tag: int, data: bytes) -> bytes:
    """Returns one BER element (X.690 section 8.1) of at most 65535 bytes."""
    size = bytes((len(data),)) if len(data) < 0x80 else b"\x82" + len(data).to_bytes(2, "big")
    return bytes((tag,)) + size + data


def _elements(data: bytes) -> list[_Element]:
    """Returns the BER elements that follow each other in `data`; Unexpected if it is cut."""
    found: list[_Element] = []
    at = 0
    while at < len(data):
        size, after = data[at + 1 : at + 2], at + 2
        length = size[0] if size else 0
        if length & 0x80:
            after += length & 0x7F
            length = int.from_bytes(data[at + 2 : after], "big")
        if not size or after + length > len(data):
            raise Unexpected("The server's message is cut")
        found.append(_Element(data[at], data[after : after + length]))
        at = after + length
    return found


SERVICES = (
    Entry("ldap", 389, ldap),
    Entry("ldaps", 636, ldap, tls=True),
)
