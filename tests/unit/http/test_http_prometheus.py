"""What Prometheus is told of a web request, and what it may ask for."""

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
    """Returns the series by name, those of phases by the phase."""
    return {gauge.labels.get("phase", gauge.name): gauge.value for gauge in HttpSpec.gauges(found)}


def hop(target: str = "http://a.example/", **facts: Any) -> Hop:
    return Hop(target=target, address="192.0.2.1", facts={"status_code": 200, "http_version": "1.1"} | facts)


@pytest.mark.parametrize("name", HttpSpec.prometheus_modules)
def test_every_preset_is_a_good_spec_for_the_sample(name: str) -> None:
    fields = HttpSpec.with_target(HttpSpec.prometheus_modules[name], HttpSpec.sample_target)
    spec = msgspec.convert({"kind": "http", **fields}, HttpSpec)
    assert spec.url == HttpSpec.sample_target
    assert [list(span) for span in spec.expected_statuses] == [list(range(200, 300))]


def test_a_target_without_a_scheme_is_plain_http() -> None:
    assert HttpSpec.with_target({}, "a.example:81/x")["url"] == "http://a.example:81/x"
    assert HttpSpec.with_target({}, "https://a.example")["url"] == "https://a.example"


def test_a_hostname_is_the_host_header_unless_the_module_says_another() -> None:
    options = {"headers": {"X-A": "1", "host": "a.example"}}
    assert HttpSpec.with_target(options, "x", "a.example")["headers"] == {"X-A": "1", "Host": "a.example"}
    with pytest.raises(ValueError, match=r"headers: Host is 'a\.example' in the module"):
        HttpSpec.with_target(options, "x", "b.example")
    assert options == {"headers": {"X-A": "1", "host": "a.example"}}


def test_times_are_sums_without_the_phase_that_was_not_finished() -> None:
    first = Hop(target="http://a.example/", address="192.0.2.1", facts={"status_code": 302})
    last = Hop(target="https://a.example/", address="192.0.2.1", phases={"connect_s": 1.0, "tls_s": 5.0})
    samples = {"resolve_s": 0.5, "connect_s": 3.0, "tls_s": 5.0, "first_byte_s": 0.25}
    found = numbers(result(first, last, samples=samples))
    phases = {name: found[name] for name in ("resolve", "connect", "tls", "processing", "transfer")}
    assert phases == {"resolve": 0.5, "connect": 3.0, "tls": 0.0, "processing": 0.25, "transfer": 0.0}


def test_a_name_that_is_not_found_took_its_time_and_no_other() -> None:
    found = numbers(result(Hop(target="http://a.example/", phases={"resolve_s": 0.5}), samples={"resolve_s": 0.5}))
    assert found["resolve"] == 0.5
    assert "connect" not in found


@pytest.mark.parametrize(
    ("facts", "length"), [({"content_length": 7}, 7), ({}, -1), ({"status_code": 204}, 0), ({"status_code": 304}, 0)]
)
def test_a_length_that_was_not_announced_is_below_zero(facts: dict[str, Any], length: int) -> None:
    assert numbers(result(hop(**facts)))["probe_http_content_length"] == length


def test_without_any_hop_all_is_zero() -> None:
    assert set(numbers(result()).values()) == {0.0}


def test_tls_counts_for_the_answer_and_not_for_the_attempt() -> None:
    secure = "https://a.example/"
    assert numbers(result(hop(secure)))["probe_http_ssl"] == 1
    assert numbers(result(Hop(target=secure, address="192.0.2.1")))["probe_http_ssl"] == 0


def test_the_body_is_measured_with_its_coding_undone() -> None:
    samples = {"body_bytes": 10.0, "decoded_bytes": 99.0}
    assert numbers(result(hop(), samples=samples))["probe_http_uncompressed_body_length"] == 99


def test_rules_about_head_and_body_are_what_failed() -> None:
    failed = {
        reason for reason in HttpReason if numbers(result(hop(), reason=reason))["probe_failed_due_to_regex"] == 1
    }
    assert failed == {HttpReason.BODY_MISMATCH, HttpReason.HEADER_MISMATCH}


@pytest.mark.parametrize("text", ["nonsense", "", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT"])
def test_a_date_that_is_none_is_not_told(text: str) -> None:
    assert "probe_http_last_modified_timestamp_seconds" not in numbers(result(hop(last_modified=text)))


@given(st.one_of(st.text(), st.datetimes().map(lambda at: f"{at:%a, %d %b %Y %H:%M:%S} GMT")))
def test_whatever_a_server_takes_for_a_date_harms_nobody(text: str) -> None:
    assert numbers(result(hop(last_modified=text, http_version=text)))["probe_http_status_code"] == 200
