"""Prometheus mapping of kind `http`, compatible with blackbox_exporter: modules, targets and series. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

from libs.model.check import Result
from libs.model.gauge import Gauge
from libs.model.outcome import Fact, Hop
from libs.model.spec import Spec

# Defaults of blackbox_exporter: any 2xx, and a body up to the maximum.
_ANY_2XX: Mapping[str, Any] = {"expect_status": ["200-299"], "body_bytes_max": 64 * 1024 * 1024}
_SCHEMES = ("http://", "https://")
_PHASES = {
    "resolve": "resolve_s",
    "connect": "connect_s",
    "tls": "tls_s",
    "processing": "first_byte_s",
    "transfer": "transfer_s",
}
# Reasons that mean a failed header or body assertion.
_RULE_REASONS = frozenset({"header_mismatch", "body_mismatch"})
# Go's value for an unknown length.
_UNKNOWN_LENGTH = -1
_BODYLESS = frozenset({204, 304})


class HttpPrometheusMapping(Spec, frozen=True, kw_only=True):
    """Spec base class that maps http options and results to Prometheus."""

    prometheus_modules: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "http_2xx": _ANY_2XX,
        "http_post_2xx": {**_ANY_2XX, "method": "POST"},
    }
    sample_target: ClassVar[str] = "https://host.example/"

    @classmethod
    def with_target(cls, options: Mapping[str, Any], target: str, hostname: str | None = None) -> dict[str, Any]:
        """Returns `options` with the URL of `target`; plain HTTP without a scheme.

        `hostname` sets the Host header, and thereby the TLS server name.
        """
        url = target if target.startswith(_SCHEMES) else f"http://{target}"
        if hostname is None:
            return {**options, "url": url}
        return {**options, "url": url, "headers": _with_host(options.get("headers", {}), hostname)}

    @classmethod
    def gauges(cls, result: Result) -> Sequence[Gauge]:
        """Returns the `probe_http_*` series of the last response."""
        last = result.hops[-1] if result.hops else Hop(target="")
        return [
            *_response_gauges(result, last),
            *_duration_gauges(result, last),
            *_last_modified_gauge(last.facts.get("last_modified")),
        ]


def _with_host(headers: Mapping[str, Any], hostname: str) -> dict[str, Any]:
    own = next((value for name, value in headers.items() if name.lower() == "host"), hostname)
    if own != hostname:
        raise ValueError(f"headers: Host is {own!r} in the module, and the parameter hostname is {hostname!r}")
    return {**{name: value for name, value in headers.items() if name.lower() != "host"}, "Host": hostname}


def _response_gauges(result: Result, last: Hop) -> Iterator[Gauge]:
    samples, facts = result.samples, last.facts
    headed = "status_code" in facts
    bodyless = not headed or facts["status_code"] in _BODYLESS
    length = facts.get("content_length", 0 if bodyless else _UNKNOWN_LENGTH)
    body_bytes = samples.get("decoded_bytes", samples.get("body_bytes", 0.0))
    secure = headed and last.target.startswith("https:")
    yield Gauge(
        "probe_http_status_code", "Status of the last answer; 0 without one", _to_float(facts.get("status_code"))
    )
    yield Gauge(
        "probe_http_content_length", "Length that the last answer announced; -1 if it did not", _to_float(length)
    )
    yield Gauge("probe_http_uncompressed_body_length", "Bytes of the body, its coding undone", body_bytes)
    yield Gauge("probe_http_redirects", "Redirects that were followed", samples.get("redirects", 0.0))
    yield Gauge("probe_http_ssl", "1 if the last answer came over TLS", float(secure))
    yield Gauge("probe_http_version", "HTTP version of the last answer", _to_float(facts.get("http_version")))
    by_rule = result.reason in _RULE_REASONS
    yield Gauge("probe_failed_due_to_regex", "1 if a rule about the answer's head or body failed it", float(by_rule))


def _duration_gauges(result: Result, last: Hop) -> Iterator[Gauge]:
    """Yields the duration of each phase, summed over all hops; an unfinished phase counts 0."""
    unfinished = _unfinished_phase(last)
    for name, sample in _PHASES.items():
        if name != "resolve" and last.address is None:
            return
        spent_s = result.samples.get(sample, 0.0) - (last.phases[sample] if sample == unfinished else 0.0)
        help_text = "Seconds of each phase, over all redirects"
        yield Gauge("probe_http_duration_seconds", help_text, max(spent_s, 0.0), {"phase": name})


def _unfinished_phase(last: Hop) -> str | None:
    """Returns the phase in which a hop without a response ended. A failed DNS look-up counts as finished."""
    ended_in = next(reversed(last.phases), None)
    return None if "status_code" in last.facts or ended_in == _PHASES["resolve"] else ended_in


def _last_modified_gauge(text: Fact) -> Iterator[Gauge]:
    try:
        changed_at = parsedate_to_datetime(str(text))
        seconds = changed_at.replace(tzinfo=changed_at.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return
    yield Gauge("probe_http_last_modified_timestamp_seconds", "Last-Modified of the last answer", seconds)


def _to_float(fact: Fact) -> float:
    try:
        return float(fact or 0)
    except ValueError:
        return 0.0
