"""Every broken peer gets its verdict, and every reason has a peer."""

import asyncio
import socket
from typing import Any, NamedTuple

import pytest

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Reason, Status
from libs.net.tls.findings import CertificateProblem
from libs.net.tls.sessions import TlsFailure
from services.port.expect_script import ScriptStep
from services.port.spec import PortReason
from tests.support.targets.certificates import Authority
from tests.support.targets.talkers import (
    answering,
    greets,
    hangs_up_at_once,
    mail_server,
    probed,
    says_nothing,
)
from tests.support.targets.web import FOREVER_S, Handler, deaf_port, reset, serving, then_reset


class PortCase(NamedTuple):
    name: str
    handler: Handler
    options: dict[str, Any]
    status: Status
    reason: PortReason | Reason
    timeout_s: float = 5.0


SSH: dict[str, Any] = {"service": "ssh"}
SMTP: dict[str, Any] = {"service": "smtp"}
CASES = (
    PortCase("open", says_nothing, {}, Status.UP, Reason.OK),
    PortCase("identifies itself", greets(b"SSH-2.0-x\r\n"), SSH, Status.UP, Reason.OK),
    PortCase("mail", greets(b"220 hi\r\n250 hi\r\n"), SMTP, Status.UP, Reason.OK),
    PortCase("silent", says_nothing, SSH, Status.DEGRADED, PortReason.SILENT, 0.3),
    PortCase("silent after TCP alone was asked for", says_nothing, {"tls": True}, Status.DOWN, TlsReason.TLS_TIMEOUT, 0.3),
    PortCase("refuses", greets(b"554 go away\r\n"), SMTP, Status.DEGRADED, PortReason.REFUSING),
    PortCase("not well", greets(b"SIP/2.0 503 Full\r\n\r\n"), {"service": "sip", "transport": "tcp"}, Status.DEGRADED, PortReason.UNHEALTHY),
    PortCase("stops", greets(b"220-hi\r\n"), SMTP, Status.DOWN, PortReason.ANSWER_TIMEOUT, 0.3),
    PortCase("hangs up", hangs_up_at_once, SSH, Status.DOWN, PortReason.CLOSED),
    PortCase("hangs up in the middle", greets(b"220 hi\r\n", lambda w: w.close()), SMTP, Status.DOWN, PortReason.CLOSED),
    PortCase("resets in the middle", greets(b"220 hi\r\n", reset), SMTP, Status.DOWN, PortReason.RESET),
    PortCase("another protocol", greets(b"HTTP/1.1 400 Bad Request\r\n"), SMTP, Status.DOWN, PortReason.UNEXPECTED_ANSWER),
    PortCase("an endless line", greets(b"2" * 9999), SMTP, Status.DOWN, PortReason.UNEXPECTED_ANSWER),
    PortCase("no TLS", greets(b"220 hi\r\n250 hi\r\n"), {"service": "submission"}, Status.DOWN, PortReason.STARTTLS_MISSING),
    PortCase("plain text on a TLS port", greets(b"220 hi\r\n"), {"service": "smtps"}, Status.DOWN, TlsReason.TLS_NOT_SPOKEN),
    PortCase("resets the handshake", then_reset(b""), {"tls": True}, Status.DOWN, TlsReason.TLS_RESET),
)  # fmt: skip
# Reasons that take more than a server; each has a test of its own below.
ELSEWHERE = {PortReason.NO_ANSWER, PortReason.FAMILY_DOWN}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_peer_gets_its_verdict(case: PortCase) -> None:
    async with serving(case.handler) as port:
        outcome = await probed(port, timeout_s=case.timeout_s, **case.options)
    assert (outcome.status, outcome.reason) == (case.status, case.reason), outcome
    assert outcome.detail.endswith(".")
    assert sum(outcome.hops[0].phases.values()) <= outcome.samples["total_s"]


def test_every_reason_of_the_kind_has_a_peer() -> None:
    assert {case.reason for case in CASES} | ELSEWHERE >= set(PortReason)


async def test_a_port_that_never_accepts_is_a_connect_timeout() -> None:
    with deaf_port() as port:
        outcome = await probed(port, timeout_s=0.3)
    assert (outcome.status, outcome.reason) == (Status.DOWN, Reason.CONNECT_TIMEOUT)


async def test_mail_goes_over_to_tls_and_is_left_politely(authority: Authority) -> None:
    heard: list[bytes] = []
    with mail_server(authority.server("127.0.0.1"), heard) as port:
        outcome = await probed(port, service="submission", ca_file=authority.ca_file)
    assert (outcome.status, outcome.reason) == (Status.UP, Reason.OK)
    assert [line.split()[0] for line in heard] == [b"EHLO", b"STARTTLS", b"EHLO", b"QUIT"]
    assert {"tls_version", "tls_cipher"} <= outcome.hops[0].facts.keys()
    assert list(outcome.hops[0].phases) == ["connect_s", "first_byte_s", "starttls_s", "tls_s", "conversation_s"]


EXPIRED: dict[str, tuple[dict[str, Any], Status]] = {
    "mail with a bonus": ({"service": "smtp"}, Status.DEGRADED),
    "mail that must be private": ({"service": "submission"}, Status.DOWN),
    "mail whose owner wants to know": ({"service": "smtp", "tls_findings": "down"}, Status.DOWN),
    "mail whose owner does not": ({"service": "smtp", "tls_verify": False}, Status.UP),
}


@pytest.mark.parametrize(("options", "status"), EXPIRED.values(), ids=EXPIRED)
async def test_an_expired_certificate_behind_starttls(
    authority: Authority, options: dict[str, Any], status: Status
) -> None:
    with mail_server(authority.server("127.0.0.1", days=(-90, -1))) as port:
        outcome = await probed(port, ca_file=authority.ca_file, **options)
    assert (outcome.status, outcome.samples["tls_expires_in_s"] < 0) == (status, True)
    assert outcome.reason == (Reason.OK if status is Status.UP else TlsReason.TLS_CERTIFICATE_EXPIRED)


async def test_a_certificate_that_expires_soon_is_a_warning(authority: Authority) -> None:
    context = authority.server("127.0.0.1", days=(-89, 1))
    async with serving(greets(b"220 hi\r\n"), context) as port:
        outcome = await probed(port, tls=True, ca_file=authority.ca_file)
    assert (outcome.status, outcome.reason) == (Status.DEGRADED, TlsReason.TLS_EXPIRING)


async def test_the_name_for_tls_can_be_told(authority: Authority) -> None:
    async with serving(says_nothing, authority.server("mail.example")) as port:
        right = await probed(port, tls=True, server_name="mail.example", ca_file=authority.ca_file)
        wrong = await probed(port, tls=True, ca_file=authority.ca_file)
    assert right.status is Status.UP
    assert (wrong.status, wrong.reason) == (Status.DOWN, TlsReason.TLS_HOSTNAME_MISMATCH)


SIP_OK = b"SIP/2.0 200 OK\r\nCall-ID: "


def answered(data: bytes) -> list[bytes]:
    call_id = data.split(b"Call-ID: ")[1].split(b"\r\n")[0]
    return [SIP_OK + b"stranger\r\n\r\n", SIP_OK + call_id + b"\r\n\r\n"]


async def test_an_answer_over_udp_is_up() -> None:
    async with answering(lambda data, _: answered(data)) as port:
        outcome = await probed(port, service="sip")
    assert (outcome.status, outcome.hops[0].facts["sip_status"]) == (Status.UP, 200)


async def test_a_lost_datagram_is_sent_again() -> None:
    async with answering(lambda data, number: answered(data) if number == 2 else []) as port:
        outcome = await probed(port, service="sip", timeout_s=1.0)
    assert outcome.status is Status.UP


async def test_a_datagram_lost_later_is_sent_again_too() -> None:
    steps = (ScriptStep(send="a"), ScriptStep(expect="b"), ScriptStep(send="c"), ScriptStep(expect="d"))
    answers = {1: [b"b"], 3: [b"d"]}
    async with answering(lambda _, number: answers.get(number, [])) as port:
        outcome = await probed(port, transport="udp", steps=steps, timeout_s=1.0)
    assert outcome.status is Status.UP


def _says_nothing_and_then(sock: socket.socket, words: bytes) -> None:
    _, sender = sock.recvfrom(64)
    sock.sendto(b"", sender)
    sock.sendto(words, sender)


async def test_an_empty_datagram_ends_nothing() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        # asyncio's transports send no empty datagrams.
        loop.add_reader(sock, _says_nothing_and_then, sock, b"ho")
        outcome = await probed(sock.getsockname()[1], transport="udp", steps=SCRIPT, timeout_s=2.0)
        loop.remove_reader(sock)
    assert outcome.status is Status.UP


async def test_tls_that_is_required_and_not_known_to_the_service_is_missing() -> None:
    async with serving(greets(b"+PONG\r\n")) as port:
        outcome = await probed(port, service="redis", starttls="require")
    assert (outcome.status, outcome.reason) == (Status.DOWN, PortReason.STARTTLS_MISSING)


async def test_the_answer_to_a_goodbye_is_not_waited_for_beyond_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.port.session.CLOSE_TIMEOUT_S", FOREVER_S)
    async with serving(greets(b"220 hi\r\n250 hi\r\n")) as port:
        outcome = await probed(port, timeout_s=0.5, **SMTP)
    assert outcome.status is Status.UP


async def test_silence_of_a_service_that_must_answer_is_down() -> None:
    async with answering(lambda *_: []) as port:
        outcome = await probed(port, service="sip", timeout_s=0.3)
    assert (outcome.status, outcome.reason) == (Status.DOWN, PortReason.NO_ANSWER)


SCRIPT = (ScriptStep(send="hi"), ScriptStep(expect="ho"))


async def test_silence_over_udp_proves_nothing() -> None:
    async with answering(lambda *_: []) as port:
        outcome = await probed(port, transport="udp", steps=SCRIPT, timeout_s=0.3)
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, PortReason.NO_ANSWER)


async def test_an_icmp_error_over_udp_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    outcome = await probed(port, transport="udp", steps=SCRIPT, timeout_s=1.0)
    assert (outcome.status, outcome.reason) == (Status.DOWN, Reason.REFUSED)


async def test_one_family_that_is_down_is_told() -> None:
    async with serving(says_nothing) as port:
        outcome = await probed(port, host="localhost", family="both")
    assert (outcome.status, outcome.reason) == (Status.DEGRADED, PortReason.FAMILY_DOWN)


def test_the_words_of_tls_are_those_of_the_network_room() -> None:
    assert {word.value for word in (*CertificateProblem, *TlsFailure)} < set(TlsReason)


async def test_a_closed_port_is_refused() -> None:
    async with serving(says_nothing) as port:
        pass
    outcome = await probed(port)
    assert (outcome.status, outcome.reason) == (Status.DOWN, Reason.REFUSED)


async def test_ssh_tells_who_it_is() -> None:
    async with serving(greets(b"welcome\r\nSSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")) as port:
        outcome = await probed(port, service="ssh")
    assert outcome.hops[0].facts["software"] == "OpenSSH_9.2p1"
