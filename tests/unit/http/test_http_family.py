"""Options `family` and `resolve_to`, and the merged outcome of two families."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.fields.address_family import FAMILY_DOWN, combine_families
from libs.model.outcome import Hop, Outcome, Reason, Status
from services.http.spec import HttpReason, HttpSpec

NAMED = "http://shop.example/"
REFUSED = {
    "both of an address": ({"url": "http://127.0.0.1/", "family": "both"}, "family both needs a host name"),
    "IPv6 of an IPv4 address": ({"url": "http://127.0.0.1/", "family": "6"}, "family 6 needs a host name"),
    "IPv4 of an IPv6 address": ({"url": "http://[::1]/", "family": "4"}, "family 4 needs a host name"),
    "an origin that is a name": ({"resolve_to": "origin.example"}, "resolve_to must be an IPv4 or IPv6 address"),
    "an origin with a port": ({"resolve_to": "127.0.0.1:80"}, "resolve_to must be an IPv4 or IPv6 address"),
    "an origin in brackets": ({"resolve_to": "[::1]"}, "resolve_to must be an IPv4 or IPv6 address"),
    "an origin of few numbers": ({"resolve_to": "127.1"}, "resolve_to must be an IPv4 or IPv6 address"),
    "an origin that is empty": ({"resolve_to": ""}, "resolve_to must be an IPv4 or IPv6 address"),
    "an origin on an interface": ({"resolve_to": "fe80::1%eth0"}, "resolve_to must not name a network interface"),
    "an origin of an address": (
        {"url": "http://127.0.0.1/", "resolve_to": "127.0.0.2"},
        "resolve_to needs a host name",
    ),
    "an origin in both": ({"resolve_to": "::1", "family": "both"}, "resolve_to is one address of IPv6"),
    "an origin in the other": ({"resolve_to": "::1", "family": "4"}, "resolve_to is one address of IPv6"),
}
UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN
TABLE = (
    (UP, UP, (UP, "ok")),
    (UP, DOWN, (DEGRADED, FAMILY_DOWN)),
    (DEGRADED, DOWN, (DEGRADED, FAMILY_DOWN)),
    (DOWN, DOWN, (DOWN, "four")),
    (UP, DEGRADED, (DEGRADED, "six")),
    (DEGRADED, DEGRADED, (DEGRADED, "four")),
    (UP, UNKNOWN, (UNKNOWN, "six")),
    (DEGRADED, UNKNOWN, (UNKNOWN, "six")),
    (UNKNOWN, UNKNOWN, (UNKNOWN, "four")),
    (DOWN, UNKNOWN, (DEGRADED, FAMILY_DOWN)),
)


@pytest.mark.parametrize("name", REFUSED)
def test_unusable_family_options_are_refused_with_their_field(name: str) -> None:
    fields, words = REFUSED[name]
    with pytest.raises(ValueError, match="^" + words):
        HttpSpec(**{"url": NAMED} | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [{"family": "4"}, {"resolve_to": "10.0.0.1"}, {"resolve_to": "::1", "family": "6"}])
def test_usable_family_options_are_accepted(fields: dict[str, str]) -> None:
    HttpSpec(**{"url": NAMED} | fields)  # type: ignore[arg-type]


def part(status: Status, word: str) -> Outcome:
    reason = Reason.OK if status is UP else word
    samples = {"total_s": 1.0 if word == "four" else 2.0, "status_code": 200.0}
    return Outcome(status=status, reason=reason, detail=f"{word}.", samples=samples, hops=[Hop(target=word)])


@pytest.mark.parametrize(("four", "six", "expected"), TABLE)
def test_two_families_are_merged_by_status(four: Status, six: Status, expected: tuple[Status, str]) -> None:
    outcome = combine_families(part(four, "four"), part(six, "six"))
    assert (outcome.status, outcome.reason) == expected
    assert outcome.detail == "Over IPv4: four. Over IPv6: six."
    assert [hop.target for hop in outcome.hops] == ["four", "six"]
    assert outcome.samples["total_s"] == 2.0


JUDGED = st.sampled_from([UP, DEGRADED, DOWN, UNKNOWN])


@given(JUDGED, JUDGED)
def test_the_merge_is_symmetric_and_hides_no_failure(four: Status, six: Status) -> None:
    one, other = (
        combine_families(part(four, "four"), part(six, "six")),
        combine_families(part(six, "four"), part(four, "six")),
    )
    assert one.status is other.status
    assert (one.status is UP) == (four is six is UP)
    assert (one.status is DOWN) == (four is six is DOWN)
    assert (one.reason == FAMILY_DOWN) == ((four is DOWN) != (six is DOWN))


def timed(total_s: float, expires_in_s: float | None, status: Status = UP) -> Outcome:
    samples = {"total_s": total_s, "connect_s": total_s / 2}
    if expires_in_s is not None:
        samples |= {"tls_expires_in_s": expires_in_s, "tls_chain_expires_in_s": expires_in_s - 1}
    return Outcome(status=status, reason="ok", samples=samples, hops=[Hop(target="a", said="b")])


@given(st.floats(0.1, 9), st.floats(0.1, 9), st.none() | st.floats(-9, 9), st.none() | st.floats(-9, 9))
def test_two_families_up_give_the_slower_times_and_the_earlier_expiry(
    four_s: float, six_s: float, four_in_s: float | None, six_in_s: float | None
) -> None:
    samples = combine_families(timed(four_s, four_in_s), timed(six_s, six_in_s)).samples
    slower = 6 if six_s > four_s else 4
    assert samples["ip_protocol"] == slower
    assert samples["connect_s"] == samples[f"ipv{slower}_connect_s"] == max(four_s, six_s) / 2
    known = [value for value in (four_in_s, six_in_s) if value is not None]
    assert samples.get("tls_expires_in_s") == min(known, default=None)
    assert ("tls_chain_expires_in_s" in samples) == bool(known)


def test_the_samples_are_those_of_the_deciding_family() -> None:
    outcome = combine_families(timed(9, 5), timed(1, None, DOWN))
    assert (outcome.samples["ip_protocol"], outcome.samples["connect_s"]) == (6, 0.5)
    assert (outcome.samples["total_s"], outcome.samples["tls_expires_in_s"]) == (9, 5)


def test_only_the_deciding_family_keeps_its_excerpt() -> None:
    both = combine_families(timed(1, None, DOWN), timed(2, None, DOWN))
    assert [hop.said for hop in both.hops] == ["b", ""]


def test_the_reason_is_one_of_the_kinds() -> None:
    assert HttpReason.FAMILY_DOWN == FAMILY_DOWN
