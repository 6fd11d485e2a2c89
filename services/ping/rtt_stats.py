"""Statistics of round-trip times. Pure."""

import itertools
import math
import statistics
from collections.abc import Sequence

from services.ping.echo_series import EchoSeries

_P95 = 0.95


def series_samples(series: EchoSeries) -> dict[str, float]:
    """Returns the samples of a check. Quantities that were not measured are absent."""
    rtts = received_rtts(series)
    sent = sum(packet.sent_at is not None for packet in series.requests)
    counts: dict[str, float] = {
        "sent": sent,
        "received": len(rtts),
        "duplicates": series.duplicates,
        "late": series.late,
        "damaged": series.damaged,
    }
    if sent:
        counts["loss_ratio"] = (sent - len(rtts)) / sent
    return counts | rtt_statistics(rtts)


def received_rtts(series: EchoSeries) -> list[float]:
    """Returns the round-trip times of the requests answered in time, in sending order."""
    return [packet.rtt_s for packet in series.requests if packet.rtt_s is not None]


def rtt_statistics(rtts: Sequence[float]) -> dict[str, float]:
    """Returns minimum, mean, median, 95th percentile, maximum and jitter; jitter needs two values, the rest one."""
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
    """Returns the mean absolute difference between consecutive round-trip times.

    RFC 3550 section 6.4.1 smooths the same differences for endless streams; a check has a handful of values.
    """
    return math.fsum(abs(after - before) for before, after in itertools.pairwise(rtts)) / (len(rtts) - 1)
