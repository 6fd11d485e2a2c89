"""The conversations of the network itself (names, clocks) and of chat, against the daemons of Debian."""

from collections.abc import Iterator

import pytest

from libs.model.outcome import Reason, Status
from services.port.spec import PortReason
from tests.support.daemons import chat, network
from tests.support.daemons.checking import check, check_often, facts, spec, told
from tests.support.daemons.daemon import Daemon

UP = (Status.UP, Reason.OK)
REFUSING = (Status.DEGRADED, PortReason.REFUSING)
UNHEALTHY = (Status.DEGRADED, PortReason.UNHEALTHY)


@pytest.fixture(scope="module")
def unbound() -> Iterator[Daemon]:
    with network.unbound() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def prosody() -> Iterator[Daemon]:
    with chat.prosody() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def ngircd() -> Iterator[Daemon]:
    with chat.ngircd() as daemon:
        yield daemon


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("question", "verdict", "answer"),
    [
        ("www.vedette.test A", UP, ("NOERROR", 2)),
        ("vedette.test. SOA", UP, ("NOERROR", 1)),
        ("none.vedette.test A", UP, ("NXDOMAIN", 0)),
        ("refused.test SOA", REFUSING, ("REFUSED", 0)),
        ("broken.test SOA", UNHEALTHY, ("SERVFAIL", 0)),
    ],
)
async def test_unbound_answers(
    unbound: Daemon, transport: str, question: str, verdict: tuple[str, str], answer: tuple[str, int]
):
    name, kind = question.split()
    outcome = await check(unbound, "dns", transport=transport, query_name=name, query_type=kind)
    assert told(outcome) == verdict
    assert (facts(outcome)["rcode"], facts(outcome)["answers"]) == answer


@pytest.mark.parametrize(("transport", "truncated"), [("udp", True), ("tcp", None)])
async def test_an_answer_that_is_too_long_for_udp_is_told(unbound: Daemon, transport: str, truncated: bool | None):
    options = {"query_name": "long.vedette.test", "query_type": "TXT"}
    outcome = await check(unbound, "dns", transport=transport, **options)
    assert (told(outcome), facts(outcome).get("truncated")) == (UP, truncated)
    assert facts(outcome).get("edns") is (True if transport == "udp" else None)


async def test_unbound_has_nothing_against_us(unbound: Daemon):
    specs = [spec(unbound, "dns", transport=way, query_name="vedette.test") for way in ("udp", "tcp")]
    assert await check_often(unbound, *specs) == {UP}
    assert unbound.complaints() == []


async def test_chrony_tells_the_time_and_has_nothing_against_us():
    with network.chrony("local stratum 8") as daemon:
        outcome = await check(daemon, "ntp")
        assert await check_often(daemon, spec(daemon, "ntp")) == {UP}
        assert daemon.complaints() == []
    assert (told(outcome), facts(outcome)["stratum"]) == (UP, 8)
    # The clock of this machine, seen by itself: both are wrong by less than the way takes.
    assert abs(outcome.samples["offset_s"]) <= outcome.samples["delay_s"]


async def test_a_clock_without_a_source_is_unhealthy():
    with network.chrony() as daemon:
        assert told(await check(daemon, "ntp")) == UNHEALTHY


async def test_prosody_goes_over_to_tls(prosody: Daemon):
    outcome = await check(prosody, "xmpp")
    assert (told(outcome), facts(outcome)["tls_subject"]) == (UP, "localhost")
    assert "SCRAM" in str(facts(outcome)["mechanisms"])


async def test_prosody_has_nothing_against_us(prosody: Daemon):
    specs = (spec(prosody, "xmpp"), spec(prosody, "xmpps", prosody.tls_port))
    assert await check_often(prosody, *specs, times=50) == {UP}
    assert prosody.complaints() == []


async def test_prosody_refuses_a_domain_that_it_does_not_serve(prosody: Daemon):
    outcome = await check(prosody, "xmpp", host="elsewhere.example")
    assert told(outcome) == REFUSING
    assert "host-unknown" in outcome.detail


async def test_ngircd_answers_and_sees_nobody_register(ngircd: Daemon):
    specs = (spec(ngircd, "irc"), spec(ngircd, "ircs", ngircd.tls_port))
    assert await check_often(ngircd, *specs) == {UP}
    assert ngircd.complaints() == []
    assert facts(await check(ngircd, "irc"))["server_name"] == "irc.vedette.test"
    assert "User" not in ngircd.logged()
