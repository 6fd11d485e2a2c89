import struct

import pytest

from services.port.protocol_api import CloseSequence, ProtocolContext, ServiceRefused, ServiceUnhealthy
from services.port.protocols.ntp import ntp
from tests.support.spoken import Spoken, call, converse

ERA_S = 1 << 32
UNIX_EPOCH_S = 2_208_988_800


def stamp(at: float) -> bytes:
    return (round((at + UNIX_EPOCH_S) * ERA_S) % (1 << 64)).to_bytes(8, "big")


def answer(
    stratum: int = 2, reference: bytes = b"\xc0\0\x02\x01", flags: int = 0x24, number: bytes = b"r" * 8, at: float = 0
) -> bytes:
    head = struct.pack(">BBbbII4s", flags, stratum, 6, -20, 1 << 15, 1 << 14, reference)
    return head + bytes(8) + number + stamp(at) + stamp(at)


def context_with_clock(*clock: float) -> ProtocolContext:
    instants = iter(clock)
    found = call(over_udp=True)
    found.clock = lambda: next(instants)
    return found


def run_ntp(*datagrams: bytes) -> tuple[ProtocolContext, Spoken]:
    found = call(over_udp=True)
    return found, converse(ntp(found), *datagrams)


def test_ntp_tells_how_far_off_the_clocks_are():
    found = context_with_clock(1000.0, 1000.5)
    assert converse(ntp(found), answer(at=1003.25)).ended == CloseSequence()
    assert found.samples["offset_s"] == pytest.approx(3.0)
    assert found.samples["delay_s"] == pytest.approx(0.5)
    assert found.samples["root_distance_s"] == pytest.approx(0.5)


def test_ntp_goes_on_after_its_era_ends_in_2036():
    now = 2_085_978_500.0
    found = context_with_clock(now, now)
    assert converse(ntp(found), answer(at=now + 1)).ended == CloseSequence()
    assert found.samples["offset_s"] == pytest.approx(1.0)


def test_what_we_ask_tells_nothing_about_us():
    _, spoken = run_ntp()
    assert spoken.said == [b"\x23" + bytes(39) + b"r" * 8]


@pytest.mark.parametrize(
    "datagram", [answer(number=b"x" * 8), answer(flags=0x23), answer()[:47], b"", b"SSH-2.0-OpenSSH"]
)
def test_what_does_not_answer_our_question_is_passed_over(datagram: bytes):
    _, spoken = run_ntp(*filter(None, [datagram]))
    assert spoken.ended is None
    _, spoken = run_ntp(*filter(None, [datagram]), answer())
    assert spoken.ended == CloseSequence()


@pytest.mark.parametrize(
    ("code", "error"), [(b"RATE", ServiceRefused), (b"DENY", ServiceRefused), (b"INIT", ServiceUnhealthy)]
)
def test_a_kiss_of_death_is_told(code: bytes, error: type[Exception]):
    _, spoken = run_ntp(answer(stratum=0, reference=code))
    assert type(spoken.ended) is error
    assert spoken.ended.peer_text == code.decode()


@pytest.mark.parametrize("words", [answer(stratum=16), answer(flags=0xE4), answer(stratum=0, reference=bytes(4))])
def test_a_clock_that_is_not_synchronised_is_unhealthy(words: bytes):
    assert isinstance(run_ntp(words)[1].ended, ServiceUnhealthy)


@pytest.mark.parametrize(("stratum", "data", "text"), [(1, b"GPS\0", "GPS"), (3, b"\xc0\0\x02\x01", "192.0.2.1")])
def test_ntp_names_its_source(stratum: int, data: bytes, text: str):
    found, _ = run_ntp(answer(stratum=stratum, reference=data))
    assert (found.facts["stratum"], found.facts["reference"]) == (stratum, text)
