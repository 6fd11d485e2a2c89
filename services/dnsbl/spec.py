"""What kind `dnsbl` can be asked for, and the reason it answers with. Pure data."""

import ipaddress
import re
from enum import StrEnum

from msgspec.structs import force_setattr

from libs.model.fields.url import parse_authority
from libs.model.spec import Spec

# Every top-level domain is letters, or an A-label: what ends otherwise is a range, a version, a file.
_TOP_LEVEL = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{1,59}")
_HOST_FORMAT = "host must be one domain name or one IP address: no URL, no port, no range"


class DnsblReason(StrEnum):
    """The reasons of this kind, beside those that all kinds share (libs.model.outcome.Reason)."""

    # Ours: `unknown`, never `down`.
    NOT_ASKED_YET = "not_asked_yet"  # this version has no code that asks blacklists


class DnsblSpec(Spec, frozen=True, kw_only=True, tag="dnsbl"):
    """One domain name or one IP address, to be looked up in DNS blacklists (RFC 5782).

    `host` is kept in its one canonical form: a name as lower-case A-labels without the dot at its end (RFC 5891), an
    IPv6 address as RFC 5952 writes it.
    """

    host: str

    def __post_init__(self) -> None:
        force_setattr(self, "host", _canonical_host(self.host))

    @property
    def target(self) -> str:
        return self.host


def _canonical_host(text: str) -> str:
    if "/" in text or "@" in text or (text.count(":") == 1 and "[" not in text):
        raise ValueError(_HOST_FORMAT)
    try:
        host, port, is_address = parse_authority(f"[{text}]" if ":" in text and "[" not in text else text)
    except ValueError as error:
        raise ValueError(f"host {error}") from None
    if port is not None or text.endswith("]:"):
        raise ValueError(_HOST_FORMAT)
    return _canonical_address(host) if is_address else _canonical_name(host.removesuffix("."))


def _canonical_address(host: str) -> str:
    address = ipaddress.ip_address(host)
    if address.is_multicast or address.is_unspecified or host == "255.255.255.255":
        raise ValueError("host must be the address of one machine: blacklists list senders")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f"host must be written as the IPv4 address that it is, {address.ipv4_mapped}")
    return host


def _canonical_name(host: str) -> str:
    labels = host.split(".")
    if len(labels) == 1:
        raise ValueError("host must have a dot if it is a name: blacklists know public domains only")
    if not _TOP_LEVEL.fullmatch(labels[-1]):
        raise ValueError("host must end in a top-level domain, which is letters only, or be one IP address")
    return host
