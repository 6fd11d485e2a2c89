"""Prometheus metrics of a result, with the names of blackbox_exporter. Pure."""

import ipaddress
from collections.abc import Iterator
from datetime import datetime

from libs.kinds.registry import kinds
from libs.model.check import Result
from libs.model.gauge import Gauge
from libs.model.outcome import Fact, Hop, Status
from libs.process import exposition

# The zero time of Go: the value of blackbox_exporter if no chain was verified.
GO_ZERO_TIME_S = -62135596800.0

_SUCCESSFUL = frozenset({Status.UP, Status.DEGRADED})
_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619


def render_metrics(result: Result) -> bytes:
    """Returns `result` in the Prometheus text format."""
    return exposition.render_gauges([*common_gauges(result), *kinds()[result.kind].gauges(result)])


def common_gauges(result: Result) -> Iterator[Gauge]:
    """Yields the metrics common to all kinds. Name and address are those of the first hop, TLS of the last."""
    first, last = (result.hops[0], result.hops[-1]) if result.hops else (Hop(target=""), Hop(target=""))
    looked_up_s = first.phases.get("resolve_s", 0.0)
    yield Gauge(
        "probe_success", "1 if the target is up (or degraded), 0 if it is down", float(result.status in _SUCCESSFUL)
    )
    yield Gauge("probe_duration_seconds", "Seconds that the probe took in all", result.duration_s)
    yield Gauge("probe_dns_lookup_time_seconds", "Seconds that finding the address took", looked_up_s)
    yield Gauge("probe_ip_protocol", "IP version of the address: 4 or 6; 0 without one", _ip_version(first.address))
    yield Gauge(
        "probe_ip_addr_hash", "Hash of the address, which changes when the address does", _address_hash(first.address)
    )
    if "tls_fingerprint_sha256" in last.facts:
        yield from _certificate_gauges(last.facts)
    if "tls_version" in last.facts:
        version = str(last.facts["tls_version"]).replace("TLSv", "TLS ")
        yield Gauge("probe_tls_version_info", "TLS version that was agreed on", 1.0, {"version": version})


def host_names(joined: str) -> list[str]:
    """Returns the host names in a fact such as `a.example, 192.0.2.1, and 3 more`, without addresses."""
    return [name for name in joined.split(", ") if name and not name.startswith("and ") and not _is_address(name)]


def _certificate_gauges(facts: dict[str, Fact]) -> Iterator[Gauge]:
    earliest_s = _timestamp_s(facts.get("tls_chain_sent_expires_at"))
    yield Gauge("probe_ssl_earliest_cert_expiry", "When the first certificate that was sent expires", earliest_s)
    verified_s = _timestamp_s(facts.get("tls_chain_expires_at"))
    said = "When the verified chain expires; the year 1 if none was verified"
    yield Gauge("probe_ssl_last_chain_expiry_timestamp_seconds", said, verified_s)
    labels = {
        "fingerprint_sha256": str(facts["tls_fingerprint_sha256"]),
        "issuer": str(facts.get("tls_issuer_dn", "")),
        "subject": str(facts.get("tls_subject_dn", "")),
        "subjectalternative": ",".join(host_names(str(facts.get("tls_names", "")))),
    }
    yield Gauge("probe_ssl_last_chain_info", "The server's own certificate", 1.0, labels)


def _timestamp_s(fact: Fact) -> float:
    return datetime.fromisoformat(fact).timestamp() if isinstance(fact, str) else GO_ZERO_TIME_S


def _ip_version(address: str | None) -> float:
    return float(ipaddress.ip_address(address).version) if address else 0.0


def _address_hash(address: str | None) -> float:
    """Returns the 32-bit FNV-1a hash of the 4 or 16 bytes of the address."""
    if not address:
        return 0.0
    value = _FNV_OFFSET
    for byte in ipaddress.ip_address(address).packed:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return float(value)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
