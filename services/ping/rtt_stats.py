"""Round-trip times in numbers. Pure."""

import itertools
import math
import statistics
from collections.abc import Sequence

from services.ping.echo_series import EchoSeries

_P95 = 0.95


def series_samples(flight: EchoSeries) -> dict[str, float]:
    """Returns the numbers of a check. What was not measured is absent: no reply has no round-trip time."""
    rtts = received_rtts(flight)
    sent = sum(packet.sent_at is not None for packet in flight.requests)
    counts: dict[str, float] = {
        "sent": sent,
        "received": len(rtts),
        "duplicates": flight.duplicates,
        "late": flight.late,
        "damaged": flight.damaged,
    }
    if sent:
        counts["loss_ratio"] = (sent - len(rtts)) / sent
    return counts | rtt_statistics(rtts)


def received_rtts(flight: EchoSeries) -> list[float]:
    """Returns the round-trip times of the packets that were answered in time, in the order in which they were sent."""
    return [packet.rtt_s for packet in flight.requests if packet.rtt_s is not None]


def rtt_statistics(rtts: Sequence[float]) -> dict[str, float]:
    """Returns what some round-trip times amount to; nothing if there are none, and no jitter if there is but one."""
    if not rtts:
        return {}
    ordered = sorted(rtts)
    found = {
        "rtt_min_s": ordered[0],
        "rtt_avg_s": math.fsum(ordered) / len(ordered),
        "rtt_median_s": statistics.median(ordered),
        "rtt_p95_s": ordered[math.ceil(_P95 * len(ordered)) - 1],
        "rtt_max_s": ordered[-1],
    }
    if len(rtts) > 1:
        found["jitter_s"] = jitter_s(rtts)
    return found


def jitter_s(rtts: Sequence[float]) -> float:
    """Returns the mean difference between one round-trip time and the next one, whatever its sign.

    RFC 3550 section 6.4.1 smooths the same differences for streams without end; a check has a handful.
    """
    return math.fsum(abs(after - before) for before, after in itertools.pairwise(rtts)) / (len(rtts) - 1)
