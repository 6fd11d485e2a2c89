"""From what became of the packets to a verdict. Pure, so that every rule has a test without a network."""

from collections import Counter
from typing import NamedTuple

from libs.model.outcome import Reason, Status
from libs.net.stall import TOO_BUSY
from libs.net.verdict import Verdict
from services.ping.spec import PingReason, PingSpec

_RESOLVER_SLOW = Verdict(
    Status.UNKNOWN, Reason.RESOLVER_FAILED, "Our resolver took most of the time, and left too little for replies."
)
_BUFFER_OVERFLOW = Verdict(
    Status.UNKNOWN, Reason.NO_BUFFERS, "Replies were dropped here: this machine's buffer was full."
)


class PingObservation(NamedTuple):
    """What a verdict needs to know. `figures` are the samples; `said` what ICMP errors mean, one for each of them.

    `stalled` tells that this process stood still, `blurred` that it did so, however shortly, and read answers without the
    kernel's stamp meanwhile, whose times are then as much ours as the target's; `overflown` that our own receive buffer dropped packets meanwhile,
    `hurried` that our resolver left less time for replies than was asked for; `fault` is what kept packets from leaving.
    """

    samples: dict[str, float]
    error_verdicts: tuple[Verdict, ...] = ()
    stalled: bool = False
    timestamps_unreliable: bool = False
    buffer_overflowed: bool = False
    resolver_slow: bool = False
    send_failure: Verdict | None = None


def judge(spec: PingSpec, seen: PingObservation) -> Verdict:
    """Returns status, reason and a sentence."""
    if seen.send_failure is not None and not seen.samples["sent"]:
        return seen.send_failure
    if not seen.samples["received"]:
        return _no_reply_verdict(seen)
    return (
        _loss_verdict(seen, spec.loss_ratio_down, Status.DOWN)
        or _latency_verdict(seen, spec.rtt_s_down, spec.jitter_s_down, Status.DOWN)
        or _loss_verdict(seen, spec.loss_ratio_degraded, Status.DEGRADED)
        or _latency_verdict(seen, spec.rtt_s_degraded, spec.jitter_s_degraded, Status.DEGRADED)
        or Verdict(
            Status.UP, Reason.OK, f"{_received_of_sent(seen)} packets came back, the median after {_median_ms(seen)}."
        )
    )


def _no_reply_verdict(seen: PingObservation) -> Verdict:
    """Returns what it means that no packet was answered: somebody's word, ours, or nothing but silence."""
    if seen.error_verdicts:
        return Counter(seen.error_verdicts).most_common(1)[0][0]
    count = f"{seen.samples['sent']:g} packets"
    ours = _local_cause(seen)
    # One damaged reply explains no others that may be lost on our side.
    if seen.samples["damaged"] >= (1 if ours is None else seen.samples["sent"]):
        detail = f"Of {count} none came back as it was sent; {seen.samples['damaged']:g} replies had other bytes."
        return Verdict(Status.DOWN, PingReason.REPLY_DAMAGED, detail)
    late = f"; {seen.samples['late']:g} replies came too late" if seen.samples["late"] else ""
    return ours or Verdict(Status.DOWN, PingReason.NO_REPLY, f"None of {count} was answered in time{late}.")


def _loss_verdict(seen: PingObservation, least: float | None, status: Status) -> Verdict | None:
    ratio = seen.samples["loss_ratio"]
    if least is None or ratio < least:
        return None
    ours = next((fault for fault in seen.error_verdicts if fault.status is Status.UNKNOWN), None) or _local_cause(seen)
    if ours is not None:
        return ours
    why = f" {seen.error_verdicts[0].detail}" if seen.error_verdicts else ""
    detail = f"{_received_of_sent(seen)} packets came back: {ratio:.0%} were lost, and {least:.0%} is too much.{why}"
    return Verdict(status, PingReason.LOSS, detail)


def _latency_verdict(
    seen: PingObservation, rtt_s: float | None, jitter_s: float | None, status: Status
) -> Verdict | None:
    median_s, spread_s = seen.samples["rtt_median_s"], seen.samples.get("jitter_s")
    if rtt_s is not None and median_s >= rtt_s:
        return (
            TOO_BUSY
            if seen.timestamps_unreliable
            else Verdict(
                status, PingReason.SLOW, f"The median reply took {_median_ms(seen)}, and {rtt_s:g} s is too slow."
            )
        )
    if jitter_s is not None and spread_s is not None and spread_s >= jitter_s:
        detail = f"The jitter was {spread_s * 1000:.3f} ms, and {jitter_s:g} s is too much."
        return TOO_BUSY if seen.timestamps_unreliable else Verdict(status, PingReason.JITTER, detail)
    return None


def _local_cause(seen: PingObservation) -> Verdict | None:
    """Returns why a loss may be ours."""
    if seen.send_failure is not None:
        return seen.send_failure
    if seen.buffer_overflowed:
        return _BUFFER_OVERFLOW
    if seen.stalled:
        return TOO_BUSY
    return _RESOLVER_SLOW if seen.resolver_slow else None


def _received_of_sent(seen: PingObservation) -> str:
    return f"{seen.samples['received']:g} of {seen.samples['sent']:g}"


def _median_ms(seen: PingObservation) -> str:
    return f"{seen.samples['rtt_median_s'] * 1000:.3f} ms"
