"""The conversations with message brokers and directories, against the daemons of Debian."""

from collections.abc import Iterator

import pytest

from libs.model.outcome import Reason, Status
from services.port.spec import PortReason
from tests.support.daemons import brokers, directories
from tests.support.daemons.checking import check, check_often, facts, spec, told
from tests.support.daemons.daemon import Daemon

UP = (Status.UP, Reason.OK)


@pytest.fixture(scope="module")
def mosquitto() -> Iterator[Daemon]:
    with brokers.mosquitto() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[Daemon]:
    with brokers.rabbitmq() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def slapd() -> Iterator[Daemon]:
    with directories.slapd() as daemon:
        yield daemon


async def test_mosquitto_lets_us_in_and_sees_us_leave(mosquitto: Daemon):
    assert await check_often(mosquitto, spec(mosquitto, "mqtt")) == {UP}
    assert mosquitto.complaints() == []


async def test_mosquitto_answers_inside_tls(mosquitto: Daemon):
    outcome = await check(mosquitto, "mqtts", mosquitto.tls_port)
    assert (told(outcome), facts(outcome)["tls_subject"]) == (UP, "localhost")


async def test_mosquitto_that_wants_a_login_is_up():
    with brokers.mosquitto(anonymous=False) as daemon:
        assert await check_often(daemon, spec(daemon, "mqtt")) == {UP}
        assert facts(await check(daemon, "mqtt"))["login_required"] is True
        assert daemon.complaints() == []


async def test_rabbitmq_tells_its_version(rabbitmq: Daemon):
    outcome = await check(rabbitmq, "amqp")
    assert (told(outcome), facts(outcome)["protocol_version"]) == (UP, "0-9-1")
    assert str(facts(outcome)["software"]).startswith("RabbitMQ ")


async def test_rabbitmq_writes_down_a_warning_and_no_error(rabbitmq: Daemon):
    assert await check_often(rabbitmq, spec(rabbitmq, "amqp")) == {UP}
    assert "[error]" not in rabbitmq.logged()


async def test_slapd_goes_over_to_tls(slapd: Daemon):
    outcome = await check(slapd, "ldap")
    assert (told(outcome), facts(outcome)["tls_subject"]) == (UP, "localhost")
    assert (facts(outcome)["protocol_version"], facts(outcome)["ldap_result"]) == ("3", 0)


async def test_slapd_has_nothing_against_us_and_sees_no_bind(slapd: Daemon):
    specs = (spec(slapd, "ldap"), spec(slapd, "ldaps", slapd.tls_port), spec(slapd, "ldap", starttls="never"))
    assert await check_often(slapd, *specs) == {UP}
    assert slapd.complaints() == []
    assert " BIND " not in slapd.logged()


async def test_slapd_that_answers_inside_tls_only_is_up():
    with directories.slapd("security tls=1") as daemon:
        outcome = await check(daemon, "ldap")
    assert told(outcome) == UP
    assert (facts(outcome)["ldap_result"], facts(outcome)["tls_subject"]) == (0, "localhost")


@pytest.mark.parametrize(("policy", "verdict"), [("auto", UP), ("require", (Status.DOWN, PortReason.STARTTLS_MISSING))])
async def test_slapd_without_a_certificate(policy: str, verdict: tuple[str, str]):
    with directories.slapd(tls=False) as daemon:
        assert told(await check(daemon, "ldap", starttls=policy)) == verdict
