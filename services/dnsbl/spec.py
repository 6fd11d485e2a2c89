"""Specification of kind `dnsbl`: its option, validation and reason. Pure data."""

import ipaddress
import re
from enum import StrEnum

from msgspec.structs import force_setattr

from libs.model.fields.url import parse_host
from libs.model.spec import Spec

# A top-level domain is letters or an A-label: other endings are ranges, versions or file names.
_TOP_LEVEL = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{1,59}")
_HOST_FORMAT = "host must be one domain name or one IP address: no URL, no port, no range"


class DnsblReason(StrEnum):
    """The reason of this kind, in addition to the shared ones (libs.model.outcome.Reason)."""

    # Caused by the prober: `unknown`, never `down`.
    NOT_ASKED_YET = "not_asked_yet"  # this version does not query blacklists


class DnsblSpec(Spec, frozen=True, kw_only=True, tag="dnsbl"):
    """One domain name or one IP address to look up in DNS blacklists (RFC 5782).

    `host` is stored in canonical form: a name as lower-case A-labels without a trailing dot (RFC 5891), an IPv6 address
    as in RFC 5952.
    """

    host: str

    def __post_init__(self) -> None:
        force_setattr(self, "host", _canonical_host(self.host))

    @property
    def target(self) -> str:
        return self.host


def _canonical_host(text: str) -> str:
    if "/" in text or "@" in text or text.count(":") == 1 or "]:" in text:
        raise ValueError(_HOST_FORMAT)
    host, is_address = parse_host("host", text)
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
        raise ValueError("host must have a dot if it is a name: blacklists list public domains only")
    if not _TOP_LEVEL.fullmatch(labels[-1]):
        raise ValueError("host must end in a top-level domain, which is letters only, or be one IP address")
    return host
