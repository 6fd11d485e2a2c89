"""Specification of kind `ping`: options, validation and reasons. Pure data."""

import functools
import ipaddress
from enum import StrEnum
from urllib.parse import urlsplit

from libs.model.fields.address_family import AddressFamily, check_family
from libs.model.fields.url import parse_authority, parse_host
from services.ping.prometheus import PingPrometheusMapping

PACKETS_MAX = 100
PACKET_INTERVAL_S_MIN, PACKET_INTERVAL_S_MAX = 0.01, 60.0
PACKET_TIMEOUT_S_MIN, PACKET_TIMEOUT_S_MAX = 0.05, 60.0
# The first bytes of every payload are random: a reply must repeat them.
TOKEN_BYTES = 16
# An IPv4 packet of 65,535 bytes less the IP and ICMP headers (RFC 791, RFC 792).
SIZE_BYTES_MAX = 65_507
THRESHOLD_S_MAX = 60.0


class PingReason(StrEnum):
    """Reasons of this kind, in addition to the shared ones (libs.model.outcome.Reason)."""

    # Missing replies, and thresholds.
    NO_REPLY = "no_reply"  # no packet was answered, and no ICMP error arrived
    LOSS = "loss"  # the share of lost packets reached a threshold
    SLOW = "slow"  # the median round-trip time reached a threshold
    JITTER = "jitter"  # the jitter reached a threshold
    REPLY_DAMAGED = "reply_damaged"  # replies came, but never with the bytes that were sent
    # ICMP errors.
    NET_UNREACHABLE = "net_unreachable"  # a router has no route to the network
    HOST_UNREACHABLE = "host_unreachable"  # the last router does not find the host
    PROTOCOL_UNREACHABLE = "protocol_unreachable"  # the host does not accept ICMP
    PORT_UNREACHABLE = "port_unreachable"  # sent by packet filters that reject
    PROHIBITED = "prohibited"  # administratively prohibited by a packet filter
    TTL_EXCEEDED = "ttl_exceeded"  # more routers on the path than `ttl`, or a routing loop
    REASSEMBLY_TIMEOUT = "reassembly_timeout"  # some fragments of the packet were lost
    FRAGMENTATION_NEEDED = "fragmentation_needed"  # too large for a link on the path, and dont_fragment is set
    PARAMETER_PROBLEM = "parameter_problem"  # a router or the host rejects the packet's header
    # One of the two address families.
    FAMILY_DOWN = "family_down"  # `degraded`: with family "both", one family is down and the other is not
    # Caused by the prober: `unknown`, never `down`.
    NO_ICMP = "no_icmp"  # this process may open no ICMP socket
    NO_SLOT = "no_slot"  # without CAP_NET_RAW: too many other pings at the same time
    PACKET_TOO_LARGE = "packet_too_large"  # dont_fragment is set, and this machine's own link is too small


class PingSpec(PingPrometheusMapping, frozen=True, kw_only=True, tag="ping", dict=True):
    """Echo requests to one host, and the thresholds for their loss, round-trip time and jitter."""

    schemes = ("ping",)

    host: str
    family: AddressFamily = "any"
    packets: int = 5
    packet_interval_s: float = 0.2
    packet_timeout_s: float = 2.0
    size_bytes: int = 56
    dont_fragment: bool = False
    ttl: int | None = None
    loss_ratio_degraded: float | None = None
    loss_ratio_down: float = 1.0
    rtt_s_degraded: float | None = None
    rtt_s_down: float | None = None
    jitter_s_degraded: float | None = None
    jitter_s_down: float | None = None

    def __post_init__(self) -> None:
        check_family(self.family, None, self.address or "", is_address=self.address is not None)
        _check_range("packets", self.packets, 1, PACKETS_MAX)
        _check_range("packet_interval_s", self.packet_interval_s, PACKET_INTERVAL_S_MIN, PACKET_INTERVAL_S_MAX)
        _check_range("packet_timeout_s", self.packet_timeout_s, PACKET_TIMEOUT_S_MIN, PACKET_TIMEOUT_S_MAX)
        _check_range("size_bytes", self.size_bytes, TOKEN_BYTES, SIZE_BYTES_MAX)
        if self.ttl is not None:
            _check_range("ttl", self.ttl, 1, 255)
        _check_loss(self)
        _check_thresholds(self, "rtt_s", self.rtt_s_degraded, self.rtt_s_down)
        _check_thresholds(self, "jitter_s", self.jitter_s_degraded, self.jitter_s_down)

    @classmethod
    def from_url(cls, url: str) -> "PingSpec":
        parts = urlsplit(url)
        if not parts.netloc or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(f"url must look like ping://host, not {url!r}")
        try:
            host, port, _ = parse_authority(parts.netloc)
        except ValueError as error:
            raise ValueError(f"url {error}") from None
        if port is not None:
            raise ValueError("url must have no port: ICMP has no ports")
        return cls(host=host)

    @property
    def target(self) -> str:
        return self.host

    @functools.cached_property
    def hostname(self) -> str:
        """The host in canonical form: A-labels, or an IP address."""
        return _parse_host(self.host)[0]

    @functools.cached_property
    def address(self) -> str | None:
        """The host if it is an address, None if it is a name to resolve."""
        host, is_address = _parse_host(self.host)
        return host if is_address else None


def _parse_host(text: str) -> tuple[str, bool]:
    host, is_address = parse_host("host", text)
    if is_address:
        _check_address(host)
    return host, is_address


def _check_address(host: str) -> None:
    address = ipaddress.ip_address(host)
    if address.is_multicast or address.is_unspecified or host == "255.255.255.255":
        raise ValueError("host must be the address of one machine: replies from other addresses are ignored")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f"host must be written as the IPv4 address that it is, {address.ipv4_mapped}")


def _check_loss(spec: PingSpec) -> None:
    if not 0 < spec.loss_ratio_down <= 1:
        raise ValueError("loss_ratio_down must be above 0 and at most 1")
    least = spec.loss_ratio_degraded
    if least is None:
        return
    if not 0 < least < spec.loss_ratio_down:
        raise ValueError("loss_ratio_degraded must be above 0 and below loss_ratio_down")
    if not any(least <= lost / spec.packets < spec.loss_ratio_down for lost in range(spec.packets)):
        raise ValueError(f"loss_ratio_degraded can never be seen: no share of {spec.packets} packets lies between")


def _check_thresholds(spec: PingSpec, stem: str, degraded: float | None, down: float | None) -> None:
    for name, value in ((f"{stem}_degraded", degraded), (f"{stem}_down", down)):
        if value is not None and not 0 < value <= THRESHOLD_S_MAX:
            raise ValueError(f"{name} must be above 0 and at most {THRESHOLD_S_MAX:g}")
        if value is not None and value > spec.packet_timeout_s:
            raise ValueError(f"{name} can never be seen: replies after packet_timeout_s count as lost")
        if value is not None and stem == "jitter_s" and spec.packets == 1:
            raise ValueError(f"{name} needs at least 2 packets")
    if degraded is not None and down is not None and degraded >= down:
        raise ValueError(f"{stem}_degraded must be below {stem}_down")


def _check_range(field: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{field} must be from {least:g} to {most:g}")
