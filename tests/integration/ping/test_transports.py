"""How this process pings is said at the start, and what it cannot see is never the target's fault."""

import asyncio
import socket
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import structlog.testing

from libs.model.outcome import Outcome, Reason, Status
from services.ping.probe import PingProbe
from services.ping.spec import PingReason, PingSpec
from services.ping.transports.base import UnavailableTransport
from services.ping.transports.datagram import DatagramIcmpTransport
from services.ping.transports.raw import RawIcmpTransport, open_raw_transport
from services.ping.transports.raw_channel import RawChannel
from services.ping.transports.socket_options import SO_TIMESTAMPNS
from tests.support.netns import Namespace, inside, namespace
from tests.support.targets.liar import Lie, echo, lying
from tests.support.targets.pinging import pinged, verdict

SILENT = "10.70.0.2"
EVENTS = {"raw": ("ping.raw_sockets", RawIcmpTransport), "datagram": ("ping.datagram_sockets", DatagramIcmpTransport)}


async def test_the_way_is_told_at_the_start(way: str) -> None:
    event, kind = EVENTS[way]
    with structlog.testing.capture_logs() as told:
        async with PingProbe() as probe:
            assert isinstance(probe.transport, kind)
    assert [line["event"] for line in told] == [event]


async def test_who_may_not_ping_says_so_and_blames_nobody() -> None:
    with namespace("mute") as mute:
        mute.set_sysctl("net/ipv4/ping_group_range", "1 0")
        with inside(mute, "datagram"), structlog.testing.capture_logs() as told:
            async with PingProbe() as probe:
                assert isinstance(probe.transport, UnavailableTransport)
                outcome = await probe(PingSpec(host="127.0.0.1"), 5)
    assert verdict(outcome) == (Status.UNKNOWN, PingReason.NO_ICMP)
    for words in (outcome.detail, told[0]["remedy"]):
        assert "CAP_NET_RAW" in words
        assert "net.ipv4.ping_group_range" in words
    assert told[0]["log_level"] == "error"


async def test_more_checks_than_sockets_wait_their_turn(here: Namespace, there: Namespace) -> None:
    spec = PingSpec(host=SILENT, packets=1, packet_timeout_s=0.5)
    with inside(here, "datagram"):
        async with lying(there, lambda _: []), PingProbe() as probe:
            probe.transport = DatagramIcmpTransport(asyncio.get_running_loop(), slots_max=1)
            async with asyncio.TaskGroup() as group:
                first = group.create_task(probe(spec, 10))
                hasty = group.create_task(probe(spec, 0.2))
                patient = group.create_task(probe(PingSpec(host="127.0.0.1", packets=1), 10))
    assert first.result().samples["sent"] == 1
    assert verdict(hasty.result()) == (Status.UNKNOWN, PingReason.NO_SLOT)
    assert verdict(patient.result()) == (Status.UP, Reason.OK)


async def test_a_loop_that_stood_still_cannot_tell_a_loss(way: str, there: Namespace) -> None:
    del way
    async with lying(there, lambda _: []), PingProbe() as probe:
        asyncio.get_running_loop().call_later(0.1, time.sleep, 0.6)
        outcome = await probe(PingSpec(host=SILENT, packets=1, packet_timeout_s=0.3), 5)
    assert verdict(outcome) == (Status.UNKNOWN, Reason.LATE_LOOP)


async def test_a_reply_that_came_in_time_counts_however_late_it_is_read(way: str, there: Namespace) -> None:
    del way, there
    async with PingProbe() as probe:
        spec = PingSpec(host="127.0.0.1", packets=3, packet_interval_s=0.1, packet_timeout_s=0.3)
        loop = asyncio.get_running_loop()
        for place in range(4):
            loop.call_later(place * 0.05, time.sleep, 0.4)
        outcome = await probe(spec, 5)
    assert (verdict(outcome), outcome.samples["received"], outcome.samples["late"]) == ((Status.UP, Reason.OK), 3, 0)
    assert outcome.samples["rtt_max_s"] < 0.3


async def test_a_time_that_our_own_stall_made_long_is_not_the_targets(here: Namespace, there: Namespace) -> None:
    def answers(packet: bytes) -> Iterable[Lie]:
        asyncio.get_running_loop().call_later(0.02, time.sleep, 0.6)
        yield Lie(echo(packet), after_s=0.05)

    with inside(here, "raw"):
        async with lying(there, answers), PingProbe() as probe:
            assert isinstance(probe.transport, RawIcmpTransport)
            # As when somebody sets the clock: the kernel's stamp cannot be trusted.
            probe.transport.channels[socket.AF_INET]._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 0)
            outcome = await probe(PingSpec(host=SILENT, packets=1, rtt_s_down=0.4), 5)
    assert verdict(outcome) == (Status.UNKNOWN, Reason.LATE_LOOP)
    assert outcome.samples["rtt_max_s"] > 0.4


async def test_a_family_that_is_forbidden_leaves_nothing_open_of_the_other(here: Namespace) -> None:
    opened: list[RawChannel] = []

    def opening(family: socket.AddressFamily) -> RawChannel:
        if opened:
            raise PermissionError
        opened.append(RawChannel(family))
        return opened[0]

    with inside(here, "raw"):
        assert open_raw_transport(asyncio.get_running_loop(), opening) is None
    assert [channel.fileno() for channel in opened] == [-1]


async def test_replies_that_our_own_buffer_dropped_are_no_loss_of_the_target(here: Namespace, there: Namespace) -> None:
    def flood(channel_socket: socket.socket) -> None:
        """Lets a neighbour on the same machine fill the buffer: every raw socket gets a copy of every reply."""
        channel_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as other:
            for _ in range(50):
                other.sendto(echo(bytes(28) + b"x" * 400, kind=8), ("127.0.0.1", 0))

    with inside(here, "raw"):
        async with lying(there, lambda _: []), PingProbe() as probe:
            assert isinstance(probe.transport, RawIcmpTransport)
            channel = probe.transport.channels[socket.AF_INET]
            asyncio.get_running_loop().call_later(0.05, flood, channel._sock)
            outcome = await probe(PingSpec(host=SILENT, packets=1, packet_timeout_s=0.2), 5)
    assert verdict(outcome) == (Status.UNKNOWN, Reason.NO_BUFFERS)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_packets_that_cannot_leave_in_time_are_our_fault(way: str, here: Namespace, host: str) -> None:
    if (way, host) == ("datagram", "::1"):
        pytest.skip("Linux does not tell a datagram ICMPv6 socket that its packet was dropped")
    here.run("tc qdisc add dev lo root tbf rate 8bit burst 100 limit 100")
    try:
        outcome = await pinged(host, size_bytes=4000, timeout_s=0.5)
    finally:
        here.run("tc qdisc del dev lo root")
    assert verdict(outcome) == (Status.UNKNOWN, Reason.NO_BUFFERS)


async def test_a_cancelled_check_leaves_nothing_behind(way: str, there: Namespace) -> None:
    del way

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with lying(there, lambda _: []), PingProbe() as probe:
        before = descriptors()
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await probe(PingSpec(host=SILENT), 5)
        assert descriptors() <= before
        if isinstance(probe.transport, RawIcmpTransport):
            assert not probe.transport.channels[socket.AF_INET]._in_flight


async def test_many_checks_at_once_find_each_its_own_answers(way: str, there: Namespace) -> None:
    del way
    async with lying(there, lambda packet: [Lie(echo(packet), packet_to(packet))]), PingProbe() as probe:
        specs = [PingSpec(host=f"10.70.0.{2 + number % 2}", packets=3, packet_interval_s=0.01) for number in range(60)]
        outcomes: list[Outcome] = []
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(probe(spec, 5)) for spec in specs]
        outcomes = [task.result() for task in tasks]
    assert {verdict(outcome) for outcome in outcomes} == {(Status.UP, Reason.OK)}
    assert sum(outcome.samples["received"] for outcome in outcomes) == 180
    assert sum(outcome.samples["duplicates"] for outcome in outcomes) == 0


@pytest.mark.parametrize("count", [3000])
async def test_thousands_of_targets_at_once_are_all_heard(here: Namespace, count: int) -> None:
    hosts = [f"127.1.{number >> 8}.{number & 255}" for number in range(count)]
    with inside(here, "raw"):
        async with PingProbe() as probe, asyncio.TaskGroup() as group:
            specs = [PingSpec(host=host, packets=2, packet_interval_s=0.05) for host in hosts]
            tasks = [group.create_task(probe(spec, 30)) for spec in specs]
    assert {verdict(task.result()) for task in tasks} == {(Status.UP, Reason.OK)}
    assert sum(task.result().samples["received"] for task in tasks) == 2 * count


def packet_to(packet: bytes) -> str:
    return socket.inet_ntoa(packet[16:20])


async def test_names_are_resolved_in_the_family_that_is_asked_for(way: str) -> None:
    del way
    outcome = await pinged("localhost", packets=2, family="6")
    assert (verdict(outcome), outcome.hops[0].address) == ((Status.UP, Reason.OK), "::1")
    outcome = await pinged("localhost", packets=2, family="both")
    assert verdict(outcome) == (Status.UP, Reason.OK)
    assert [hop.address for hop in outcome.hops] == ["127.0.0.1", "::1"]
    assert outcome.samples["ipv6_received"] == 2
