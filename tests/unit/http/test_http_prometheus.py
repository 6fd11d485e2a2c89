"""Prometheus series and modules of kind http."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.check import Origin, Result
from libs.model.outcome import Hop, Status
from services.http.spec import HttpReason, HttpSpec

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def result(*hops: Hop, samples: dict[str, float] | None = None, reason: str = "ok") -> Result:
    return Result(
        monitor_id="m",
        tenant_id="t",
        location="local",
        kind="http",
        revision=0,
        interval_s=60,
        origin=Origin.ADHOC,
        tick_at=NOON,
        started_at=NOON,
        duration_s=1.0,
        status=Status.UP,
        reason=reason,
        samples=samples or {},
        hops=list(hops),
    )


def numbers(found: Result) -> dict[str, float]:
    """Returns the series by name, those with a phase by phase."""
    return {gauge.labels.get("phase", gauge.name): gauge.value for gauge in HttpSpec.gauges(found)}


def hop(target: str = "http://a.example/", **facts: Any) -> Hop:
    return Hop(target=target, address="192.0.2.1", facts={"status_code": 200, "http_version": "1.1"} | facts)


@pytest.mark.parametrize("name", HttpSpec.prometheus_modules)
def test_every_module_is_a_valid_spec_for_the_sample_target(name: str) -> None:
    fields = HttpSpec.with_target(HttpSpec.prometheus_modules[name], HttpSpec.sample_target)
    spec = msgspec.convert({"kind": "http", **fields}, HttpSpec)
    assert spec.url == HttpSpec.sample_target
    assert [list(span) for span in spec.expected_statuses] == [list(range(200, 300))]


def test_a_target_without_a_scheme_is_plain_http() -> None:
    assert HttpSpec.with_target({}, "a.example:81/x")["url"] == "http://a.example:81/x"
    assert HttpSpec.with_target({}, "https://a.example")["url"] == "https://a.example"


def test_a_hostname_sets_the_host_header_unless_the_module_has_another() -> None:
    options = {"headers": {"X-A": "1", "host": "a.example"}}
    assert HttpSpec.with_target(options, "x", "a.example")["headers"] == {"X-A": "1", "Host": "a.example"}
    with pytest.raises(ValueError, match=r"headers: Host is 'a\.example' in the module"):
        HttpSpec.with_target(options, "x", "b.example")
    assert options == {"headers": {"X-A": "1", "host": "a.example"}}


def test_durations_are_sums_without_the_unfinished_phase() -> None:
    first = Hop(target="http://a.example/", address="192.0.2.1", facts={"status_code": 302})
    last = Hop(target="https://a.example/", address="192.0.2.1", phases={"connect_s": 1.0, "tls_s": 5.0})
    samples = {"resolve_s": 0.5, "connect_s": 3.0, "tls_s": 5.0, "first_byte_s": 0.25}
    found = numbers(result(first, last, samples=samples))
    phases = {name: found[name] for name in ("resolve", "connect", "tls", "processing", "transfer")}
    assert phases == {"resolve": 0.5, "connect": 3.0, "tls": 0.0, "processing": 0.25, "transfer": 0.0}


def test_a_failed_look_up_has_a_resolve_duration_only() -> None:
    found = numbers(result(Hop(target="http://a.example/", phases={"resolve_s": 0.5}), samples={"resolve_s": 0.5}))
    assert found["resolve"] == 0.5
    assert "connect" not in found


@pytest.mark.parametrize(
    ("facts", "length"), [({"content_length": 7}, 7), ({}, -1), ({"status_code": 204}, 0), ({"status_code": 304}, 0)]
)
def test_an_unknown_length_is_negative(facts: dict[str, Any], length: int) -> None:
    assert numbers(result(hop(**facts)))["probe_http_content_length"] == length


def test_without_hops_all_series_are_zero() -> None:
    assert set(numbers(result()).values()) == {0.0}


def test_tls_is_reported_for_a_response_only() -> None:
    secure = "https://a.example/"
    assert numbers(result(hop(secure)))["probe_http_ssl"] == 1
    assert numbers(result(Hop(target=secure, address="192.0.2.1")))["probe_http_ssl"] == 0


def test_the_body_length_is_that_after_decoding() -> None:
    samples = {"body_bytes": 10.0, "decoded_bytes": 99.0}
    assert numbers(result(hop(), samples=samples))["probe_http_uncompressed_body_length"] == 99


def test_failed_header_and_body_rules_set_the_regex_series() -> None:
    failed = {
        reason for reason in HttpReason if numbers(result(hop(), reason=reason))["probe_failed_due_to_regex"] == 1
    }
    assert failed == {HttpReason.BODY_MISMATCH, HttpReason.HEADER_MISMATCH}


@pytest.mark.parametrize("text", ["nonsense", "", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT"])
def test_an_invalid_date_is_omitted(text: str) -> None:
    assert "probe_http_last_modified_timestamp_seconds" not in numbers(result(hop(last_modified=text)))


@given(st.one_of(st.text(), st.datetimes().map(lambda at: f"{at:%a, %d %b %Y %H:%M:%S} GMT")))
def test_any_last_modified_value_is_handled(text: str) -> None:
    assert numbers(result(hop(last_modified=text, http_version=text)))["probe_http_status_code"] == 200
