"""URLs and hosts, parsed once and strictly: the value shown is the value connected to.

Two parsers that disagree about a host would send a check to a machine that was not named. So there is one,
and where a browser would guess (backslashes, credentials, blanks, numbers that are not quite an address) it refuses.
"""

import ipaddress
import re
import unicodedata
import urllib.parse
from typing import NamedTuple

URL_LENGTH_MAX = 8192
DEFAULT_PORTS = {"http": 80, "https": 443}

_URL_PATTERN = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{0,5}))?")
_HOST_WITH_PORT = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*):[0-9]*")
_ASCII_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?")
_CONTROL_OR_BLANK = re.compile(
    r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\udfff\ufeff\ufff9-\uffff]"
)
_NEEDS_ENCODING = re.compile(r"[^!#-\[\]_a-z~]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_NAME_LENGTH_MAX, _LABEL_LENGTH_MAX = 253, 63
_TEXT_LENGTH_MAX = 4 * _NAME_LENGTH_MAX  # accents may be written apart
_HOST_RULE = "must name a host: labels of letters, digits, '-' and '_', 1-63 characters each, 253 in all"
_FULL_STOPS = str.maketrans("\u3002\uff0e\uff61", "...")


class Url(NamedTuple):
    """One address of a web server. `host` is an A-label name or a bare IP literal; `path` is what is sent."""

    scheme: str
    host: str
    port: int
    path: str
    is_address: bool

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Returns the value of the Host header: brackets around IPv6, no default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def redacted(self) -> str:
        """Returns the address for people, without the query: queries carry tokens."""
        return f"{self.scheme}://{self.authority}{self.path.partition('?')[0]}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_url(text: str) -> Url:
    """Returns the address that `text` names; a ValueError says what is allowed instead."""
    if len(text) > URL_LENGTH_MAX:
        raise ValueError(f"must be at most {URL_LENGTH_MAX} characters long")
    if _CONTROL_OR_BLANK.search(text):
        raise ValueError("must not hold blanks or control characters; write them percent-encoded")
    shape = _URL_PATTERN.fullmatch(text)
    if shape is None:
        raise ValueError("must start with http:// or https://")
    scheme, authority, path = shape.group(1).lower(), shape.group(2), shape.group(3)
    if not path and text[shape.end(2) :].startswith("#"):
        raise ValueError("must have a '/' between the host and a '#'")
    if "\\" in path.partition("?")[0]:
        raise ValueError("must not hold a backslash")
    host, port, is_address = parse_authority(authority)
    return Url(scheme, host, port or DEFAULT_PORTS[scheme], _percent_encode(path), is_address)


def parse_authority(text: str) -> tuple[str, int | None, bool]:
    """Returns host, port (None when not named) and whether the host is an IP literal, of `host`, `host:port`, `[v6]`."""
    if "@" in text:
        raise ValueError("must not hold credentials; there are options for them")
    parts = _AUTHORITY.fullmatch(text)
    if parts is None:
        raise ValueError("must name a host, or host:port, with an IPv6 address in brackets")
    host, is_address = _canonical_host(parts.group(1))
    return host, _parse_port(parts.group(2)), is_address


def parse_host(field: str, text: str) -> tuple[str, bool]:
    """Returns the host, and whether it is an IP literal, of an option that takes no port.

    `text` is a name, an IPv4 address, or an IPv6 address with or without brackets. The ValueError starts with `field`.
    """
    if _HOST_WITH_PORT.fullmatch(text):
        raise ValueError(f"{field} must be a host name or an IP address; a port is not allowed here")
    is_ipv6 = text.count(":") > 1 and "[" not in text
    try:
        host, _, is_address = parse_authority(f"[{text}]" if is_ipv6 else text)
    except ValueError as error:
        raise ValueError(f"{field} {error}") from None
    return host, is_address


def join_url(base: Url, reference: str) -> Url:
    """Returns where `reference` leads from `base` (RFC 3986 section 5.2); ValueError if that is nowhere we can go."""
    if _SCHEME.match(reference):
        return parse_url(reference)
    if reference.startswith("//"):
        return parse_url(f"{base.scheme}:{reference}")
    if "\\" in reference.partition("?")[0]:
        raise ValueError("must not hold a backslash")
    path, _, query = base.path.partition("?")
    reference = reference.partition("#")[0]
    target, mark, question = reference.partition("?")
    if not target:
        return base._replace(path=_percent_encode(path + (mark + question if mark else f"?{query}" if query else "")))
    merged = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
    return base._replace(path=_percent_encode(_remove_dot_segments(merged) + mark + question))


def _canonical_host(text: str) -> tuple[str, bool]:
    if text.startswith("["):
        return _parse_ipv6(text[1:-1]), True
    host = text if text.isascii() else _ascii_name(text)
    host = host.lower()
    if not _ASCII_HOST.fullmatch(host) or len(host.rstrip(".")) > _NAME_LENGTH_MAX:
        raise ValueError(_HOST_RULE)
    if _ends_in_number(host):
        return _parse_ipv4(host), True
    return host, False


def _parse_port(text: str | None) -> int | None:
    if not text:
        return None
    if not 1 <= int(text) <= 65535:
        raise ValueError("must have a port from 1 to 65535")
    return int(text)


def _parse_ipv6(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError("must have an IPv6 address in standard notation (RFC 4291), such as 2001:db8::1") from None
    if address.scope_id is not None:
        raise ValueError("must not name a network interface after an IPv6 address")
    return str(address)


def _ends_in_number(host: str) -> bool:
    """Tells whether libraries would take the host for an IPv4 address, such as 127.1, 0x7f000001 or 2130706433."""
    last = host.rstrip(".").rpartition(".")[2]
    return last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None


def _parse_ipv4(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise ValueError("must write an IPv4 address as four decimal numbers from 0 to 255") from None


def _ascii_name(text: str) -> str:
    """Returns the A-labels of a name. Unlike the codec of the standard library it keeps sharp s and final sigma."""
    # Normalising and Punycode take minutes for what is much too long. A-labels are no shorter than what they stand for.
    if len(text) > _TEXT_LENGTH_MAX:
        raise ValueError(_HOST_RULE)
    name = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text.translate(_FULL_STOPS)).lower())
    if len(name) > _NAME_LENGTH_MAX + 1 or any(len(label) > _LABEL_LENGTH_MAX for label in name.split(".")):
        raise ValueError(_HOST_RULE)
    return ".".join(_ascii_label(label) for label in name.split("."))


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    if any(not char.isascii() and unicodedata.category(char)[0] not in "LMN" for char in label):
        raise ValueError("must name a host with letters and digits only")
    if unicodedata.category(label[0])[0] == "M" or label.startswith("-") or label.endswith("-"):
        raise ValueError("must not start a label of the host with an accent or a dash")
    return "xn--" + label.encode("punycode").decode("ascii")


def _percent_encode(path: str) -> str:
    """Returns the path and query as they go on the wire: ASCII, with what must not stand there percent-encoded."""
    path = path if path.startswith("/") else f"/{path}"
    if _NEEDS_ENCODING.search(path) is None:
        return path
    return urllib.parse.quote(path, safe="!#$%&'()*+,/:;=?@[]~")


def _remove_dot_segments(path: str) -> str:
    """Returns `path` with "." and ".." taken out (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if path.endswith(("/.", "/..")):
        kept.append("")
    return "/" + "/".join(kept)
