"""The conversations with mail, shells and files, against the daemons of Debian."""

import socket
from collections.abc import Iterator

import pytest

from libs.model.outcome import Reason, Status
from services.port.spec import PortReason
from tests.support.daemons import mail
from tests.support.daemons.checking import check, check_often, facts, spec, told
from tests.support.daemons.daemon import Daemon

UP = (Status.UP, Reason.OK)
REFUSING = (Status.DEGRADED, PortReason.REFUSING)
SECURE = {"imaps", "pop3s"}


@pytest.fixture(scope="module")
def exim() -> Iterator[Daemon]:
    with mail.exim() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def dovecot() -> Iterator[tuple[Daemon, dict[str, int]]]:
    with mail.dovecot() as found:
        yield found


async def test_openssh_tells_who_it_is_and_has_nothing_against_us():
    with mail.sshd() as daemon:
        outcome = await check(daemon, "ssh")
        assert await check_often(daemon, spec(daemon, "ssh")) == {UP}
        assert daemon.complaints() == []
    assert told(outcome) == UP
    assert str(facts(outcome)["software"]).startswith("OpenSSH_")


async def test_openssh_that_takes_no_more_connections_is_refusing():
    with mail.sshd("1:100:1") as daemon, socket.create_connection(("127.0.0.1", daemon.port)) as waiting:
        waiting.recv(100)
        assert told(await check(daemon, "ssh")) == REFUSING


@pytest.mark.parametrize("service", ["smtp", "submission"])
async def test_exim_goes_over_to_tls(exim: Daemon, service: str):
    outcome = await check(exim, service)
    assert (told(outcome), facts(outcome)["tls_subject"]) == (UP, "localhost")
    assert "mail.vedette.test ESMTP Exim" in str(facts(outcome)["banner"])


async def test_exim_inside_tls(exim: Daemon):
    outcome = await check(exim, "smtps", exim.tls_port)
    assert (told(outcome), facts(outcome)["tls_subject"]) == (UP, "localhost")


async def test_exim_has_nothing_against_us(exim: Daemon):
    specs = [spec(exim, "smtp"), spec(exim, "smtps", exim.tls_port)]
    assert await check_often(exim, *specs, times=50) == {UP}
    assert exim.complaints() == []
    assert "closed by QUIT" in exim.logged()


async def test_exim_without_tls_will_do_for_mail_and_not_for_submission():
    with mail.exim(tls=False) as daemon:
        assert told(await check(daemon, "smtp")) == UP
        assert told(await check(daemon, "submission")) == (Status.DOWN, PortReason.STARTTLS_MISSING)


async def test_exim_that_does_not_want_us_is_refusing_in_its_own_words():
    with mail.exim(verdict="drop message = we know you") as daemon:
        outcome = await check(daemon, "smtp")
    assert told(outcome) == REFUSING
    assert "we know you" in outcome.detail


@pytest.mark.parametrize("service", ["imap", "imaps", "pop3", "pop3s", "sieve"])
async def test_dovecot_shows_its_certificate(dovecot: tuple[Daemon, dict[str, int]], service: str):
    daemon, ports = dovecot
    outcome = await check(daemon, service, ports[service])
    assert (told(outcome), facts(outcome)["tls_subject"]) == (UP, "localhost")
    assert ("starttls_s" in outcome.hops[0].phases) == (service not in SECURE)


async def test_dovecot_has_nothing_against_us(dovecot: tuple[Daemon, dict[str, int]]):
    daemon, ports = dovecot
    specs = [spec(daemon, service, port) for service, port in ports.items()]
    assert await check_often(daemon, *specs, times=20) == {UP}
    # Its words for whoever leaves without a password; they are no warning.
    assert all("Info: Disconnected: Aborted login by logging out (no auth" in line for line in daemon.complaints())


async def test_vsftpd_goes_over_to_tls_and_has_nothing_against_us():
    with mail.vsftpd() as daemon:
        outcome = await check(daemon, "ftp")
        assert await check_often(daemon, spec(daemon, "ftp"), times=20) == {UP}
        assert daemon.complaints() == []
    assert (told(outcome), facts(outcome)["tls_subject"]) == (UP, "localhost")
    assert facts(outcome)["banner"] == "Vedette's test"


async def test_vsftpd_inside_tls():
    with mail.vsftpd(implicit=True) as daemon:
        assert told(await check(daemon, "ftps")) == UP


async def test_vsftpd_that_is_full_is_refusing():
    with mail.vsftpd(clients=1) as daemon, socket.create_connection(("127.0.0.1", daemon.port)) as waiting:
        waiting.recv(100)
        assert told(await check(daemon, "ftp")) == REFUSING
