"""What looks like an answer and is none never counts; what is one counts once."""

import os
from collections.abc import Iterable

import pytest

from libs.model.outcome import Outcome, Reason, Status
from services.ping.probe import PingProbe
from services.ping.spec import PingReason, PingSpec
from tests.support.netns import Namespace
from tests.support.targets.liar import ECHO_REQUEST, Answers, Lie, echo, error, lying
from tests.support.targets.pinging import pinged, verdict

HOST = "10.70.0.2"
UP = (Status.UP, Reason.OK)
NO_REPLY = (Status.DOWN, PingReason.NO_REPLY)
DAMAGED = (Status.DOWN, PingReason.REPLY_DAMAGED)


def flip_byte(packet: bytes, at: int) -> bytes:
    """Returns the payload with the bits of one byte turned."""
    payload = bytearray(packet[28:])
    payload[at] ^= 0xFF
    return bytes(payload)


def change_key(packet: bytes, at: int) -> bytes:
    key = bytearray(packet[24:28])
    key[at] ^= 0x55
    return bytes(key)


def break_checksum(packet: bytes) -> bytes:
    message = bytearray(echo(packet))
    message[2] ^= 0xFF
    return bytes(message)


LIES: dict[str, tuple[Answers, tuple[Status, str]]] = {
    "from another address": (lambda packet: [Lie(echo(packet), source="10.70.0.3")], NO_REPLY),
    "with another id": (lambda packet: [Lie(echo(packet, key=change_key(packet, 0)))], NO_REPLY),
    "with another number": (lambda packet: [Lie(echo(packet, key=change_key(packet, 2)))], NO_REPLY),
    "with another token": (lambda packet: [Lie(echo(packet, payload=flip_byte(packet, 3)))], NO_REPLY),
    "with other bytes": (lambda packet: [Lie(echo(packet, payload=flip_byte(packet, 40)))], DAMAGED),
    "without its end": (lambda packet: [Lie(echo(packet, payload=packet[28:-1]))], DAMAGED),
    "with more": (lambda packet: [Lie(echo(packet, payload=packet[28:] + b"x"))], DAMAGED),
    "without a payload": (lambda packet: [Lie(echo(packet, payload=b""))], NO_REPLY),
    "cut within the header": (lambda packet: [Lie(echo(packet)[:7])], NO_REPLY),
    "as a request": (lambda packet: [Lie(echo(packet, kind=ECHO_REQUEST))], NO_REPLY),
    "of nothing known": (lambda packet: [Lie(echo(packet, kind=77)), Lie(os.urandom(64))], NO_REPLY),
    "an error about another target": (
        lambda packet: [Lie(error(packet[:16] + bytes([10, 70, 0, 3]) + packet[20:]))],
        NO_REPLY,
    ),
    "an error about another packet": (lambda packet: [Lie(error(packet[:24] + change_key(packet, 2)))], NO_REPLY),
    "an error with another token": (lambda packet: [Lie(error(packet[:28] + flip_byte(packet, 0)))], NO_REPLY),
    "an error that quotes too little": (lambda packet: [Lie(error(packet[:27]))], NO_REPLY),
}


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_never_counts(way: str, there: Namespace, name: str) -> None:
    del way
    answers, expected = LIES[name]
    async with lying(there, answers) as seen:
        outcome = await pinged(HOST, packets=2, packet_timeout_s=0.2)
    assert (verdict(outcome), outcome.samples["received"], len(seen) % 2) == (expected, 0, 0)
    assert seen


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_before_the_truth_changes_nothing(way: str, there: Namespace, name: str) -> None:
    del way
    answers, _ = LIES[name]
    async with lying(there, lambda packet: [*answers(packet), Lie(echo(packet))]):
        outcome = await pinged(HOST, packets=2)
    assert (verdict(outcome), outcome.samples["received"], outcome.samples["duplicates"]) == (UP, 2, 0)


async def test_a_broken_checksum_is_damage(way: str, there: Namespace) -> None:
    async with lying(there, lambda packet: [Lie(break_checksum(packet))]):
        outcome = await pinged(HOST, packets=2, packet_timeout_s=0.2)
    # Before datagram sockets the kernel throws it away itself.
    assert verdict(outcome) == (DAMAGED if way == "raw" else NO_REPLY)


async def test_the_shortest_error_that_is_allowed_counts(way: str, there: Namespace) -> None:
    del way
    async with lying(there, lambda packet: [Lie(error(packet[:28], code=13), source="10.70.0.3")]):
        outcome = await pinged(HOST, packets=2)
    assert verdict(outcome) == (Status.DOWN, PingReason.PROHIBITED)
    assert outcome.hops[0].facts["icmp_from"] == "10.70.0.3"


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        *((11, 1, PingReason.REASSEMBLY_TIMEOUT), (12, 0, PingReason.PARAMETER_PROBLEM)),
        *((3, 5, Reason.UNREACHABLE), (3, 6, PingReason.NET_UNREACHABLE), (3, 12, PingReason.HOST_UNREACHABLE)),
    ],
)
async def test_rare_errors_have_their_words(way: str, there: Namespace, kind: int, code: int, reason: str) -> None:
    if (way, kind) == ("datagram", 11):
        pytest.skip("Linux keeps this error from datagram ICMP sockets")
    async with lying(there, lambda packet: [Lie(error(packet, kind, code))]):
        assert verdict(await pinged(HOST, packets=1)) == (Status.DOWN, reason)


async def test_an_answer_after_an_error_is_an_answer(way: str, there: Namespace) -> None:
    del way
    first_in_vain = [
        lambda packet: [Lie(error(packet)), Lie(echo(packet))],
        lambda packet: [Lie(echo(packet), after_s=0.1)],
    ]

    def answers(packet: bytes) -> Iterable[Lie]:
        return first_in_vain.pop(0)(packet)

    async with lying(there, answers):
        outcome = await pinged(HOST, packets=2)
    assert (verdict(outcome), outcome.samples["received"]) == (UP, 2)


async def test_repeats_are_counted_apart(way: str, there: Namespace) -> None:
    del way
    async with lying(there, lambda packet: [Lie(echo(packet))] * 3):
        outcome = await pinged(HOST, packets=4)
    seen = outcome.samples
    assert (seen["received"], seen["duplicates"], seen["loss_ratio"]) == (4, 8, 0)


async def test_late_answers_are_losses_that_are_counted_apart(way: str, there: Namespace) -> None:
    del way
    delays = [0.6, 0.0]
    async with lying(there, lambda packet: [Lie(echo(packet), after_s=delays.pop(0))]):
        outcome = await pinged(HOST, packets=2, packet_interval_s=1.0, packet_timeout_s=0.4)
    seen = outcome.samples
    assert (seen["received"], seen["late"], seen["loss_ratio"]) == (1, 1, 0.5)


async def test_answers_to_an_older_check_are_nobodys(way: str, there: Namespace) -> None:
    del way
    kept: list[bytes] = []

    def answers(packet: bytes) -> Iterable[Lie]:
        kept.append(packet)
        return [Lie(echo(kept[0]))]

    async with lying(there, answers), PingProbe() as probe:
        spec = PingSpec(host=HOST, packets=1, packet_timeout_s=0.5)
        outcomes: list[Outcome] = [await probe(spec, 5) for _ in range(3)]
    assert [outcome.samples["received"] for outcome in outcomes] == [1, 0, 0]
    assert [outcome.samples["duplicates"] for outcome in outcomes] == [0, 0, 0]


async def test_every_check_has_a_token_and_an_id_of_its_own(way: str, there: Namespace) -> None:
    del way
    async with lying(there, lambda packet: [Lie(echo(packet))]) as seen, PingProbe() as probe:
        for _ in range(4):
            await probe(PingSpec(host=HOST, packets=3, packet_interval_s=0.01), 5)
    assert len({packet[28:44] for packet in seen}) == 12
    assert len({packet[24:26] for packet in seen}) > 1
    numbers = [int.from_bytes(packet[26:28], "big") for packet in seen[:3]]
    assert [number - numbers[0] & 0xFFFF for number in numbers] == [0, 1, 2]
