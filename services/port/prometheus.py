"""Prometheus modules and gauges of kind `port`, named as in blackbox_exporter. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from libs.model.check import Result
from libs.model.fields.url import parse_authority
from libs.model.gauge import Gauge
from libs.model.spec import Spec

# The server responded, but not as expected.
_ANSWER_REASONS = frozenset({"unexpected_answer", "answer_timeout"})


class PortPrometheusMapping(Spec, frozen=True, kw_only=True):
    """Maps `port` checks to modules and gauges of a Prometheus scrape."""

    prometheus_modules: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tcp_connect": {},
        "ssh_banner": {"service": "ssh"},
        "pop3s_banner": {"service": "pop3s"},
        "irc_banner": {"service": "irc"},
    }
    sample_target: ClassVar[str] = "host.example:443"

    @classmethod
    def with_target(cls, options: Mapping[str, Any], target: str, hostname: str | None = None) -> dict[str, Any]:
        """Returns the options of a check of `host:port`; `hostname` is the server name for TLS."""
        host, port, _ = parse_authority(target)
        aimed = {**options, "host": host} | ({} if port is None else {"port": port})
        return aimed if hostname is None else {**aimed, "server_name": hostname}

    @classmethod
    def gauges(cls, result: Result) -> Sequence[Gauge]:
        failed = float(result.reason in _ANSWER_REASONS)
        return (Gauge("probe_failed_due_to_regex", "1 if the peer did not say what was expected", failed),)
