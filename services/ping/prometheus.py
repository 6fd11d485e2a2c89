"""Prometheus modules and gauges of kind `ping`, named as in blackbox_exporter. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from libs.model.check import Result
from libs.model.gauge import Gauge
from libs.model.spec import Spec

# One socket serves all pings: there is no setup phase.
_PHASES = {"resolve": "resolve_s", "setup": "", "rtt": "rtt_median_s"}


class PingPrometheusMapping(Spec, frozen=True, kw_only=True):
    """Maps `ping` checks to modules and gauges of a Prometheus scrape: one packet, as in blackbox_exporter."""

    prometheus_modules: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "icmp": {"packets": 1},
        "icmp_ttl5": {"packets": 1, "ttl": 5},
    }
    sample_target: ClassVar[str] = "host.example"

    @classmethod
    def with_target(cls, options: Mapping[str, Any], target: str, hostname: str | None = None) -> dict[str, Any]:
        """Returns the options of a ping to a name or an address; `hostname` is not supported."""
        if hostname is not None:
            raise ValueError("hostname: a ping has no host name beside its target")
        return {**options, "host": target}

    @classmethod
    def gauges(cls, result: Result) -> Sequence[Gauge]:
        said = "Seconds of each part of the ping; of several packets the median"
        durations = [
            Gauge("probe_icmp_duration_seconds", said, result.samples.get(name, 0.0), {"phase": phase})
            for phase, name in _PHASES.items()
        ]
        ttl = result.hops[-1].facts.get("reply_ttl") if result.hops else None
        if not isinstance(ttl, int):
            return durations
        return [*durations, Gauge("probe_icmp_reply_hop_limit", "Hop limit (TTL) of the reply", float(ttl))]
