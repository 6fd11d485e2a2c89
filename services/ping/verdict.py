"""From what became of the packets to a verdict. Pure, so that every rule has a test without a network."""

from collections import Counter
from typing import NamedTuple

from libs.model.outcome import Reason, Status
from libs.net.fault import Fault
from libs.net.stall import TOO_BUSY
from services.ping.spec import PingReason, PingSpec

_HURRIED = Fault(
    Status.UNKNOWN, Reason.RESOLVER_FAILED, "Our resolver took most of the time, and left too little for replies."
)
_OVERFLOWN = Fault(Status.UNKNOWN, Reason.NO_BUFFERS, "Replies were dropped here: this machine's buffer was full.")


class Seen(NamedTuple):
    """What a verdict needs to know. `figures` are the samples; `said` what ICMP errors mean, one for each of them.

    `stalled` tells that this process stood still, `blurred` that it did so, however shortly, and read answers without the
    kernel's stamp meanwhile, whose times are then as much ours as the target's; `overflown` that our own receive buffer dropped packets meanwhile,
    `hurried` that our resolver left less time for replies than was asked for; `fault` is what kept packets from leaving.
    """

    figures: dict[str, float]
    said: tuple[Fault, ...] = ()
    stalled: bool = False
    blurred: bool = False
    overflown: bool = False
    hurried: bool = False
    fault: Fault | None = None


def judge(spec: PingSpec, seen: Seen) -> Fault:
    """Returns status, reason and a sentence."""
    if seen.fault is not None and not seen.figures["sent"]:
        return seen.fault
    if not seen.figures["received"]:
        return _silence(seen)
    return (
        _lost(seen, spec.loss_ratio_down, Status.DOWN)
        or _slow(seen, spec.rtt_s_down, spec.jitter_s_down, Status.DOWN)
        or _lost(seen, spec.loss_ratio_degraded, Status.DEGRADED)
        or _slow(seen, spec.rtt_s_degraded, spec.jitter_s_degraded, Status.DEGRADED)
        or Fault(Status.UP, Reason.OK, f"{_share(seen)} packets came back, the median after {_median(seen)}.")
    )


def _silence(seen: Seen) -> Fault:
    """Returns what it means that no packet was answered: somebody's word, ours, or nothing but silence."""
    if seen.said:
        return Counter(seen.said).most_common(1)[0][0]
    count = f"{seen.figures['sent']:g} packets"
    ours = _ours(seen)
    # One damaged reply explains no others that may be lost on our side.
    if seen.figures["damaged"] >= (1 if ours is None else seen.figures["sent"]):
        detail = f"Of {count} none came back as it was sent; {seen.figures['damaged']:g} replies had other bytes."
        return Fault(Status.DOWN, PingReason.REPLY_DAMAGED, detail)
    late = f"; {seen.figures['late']:g} replies came too late" if seen.figures["late"] else ""
    return ours or Fault(Status.DOWN, PingReason.NO_REPLY, f"None of {count} was answered in time{late}.")


def _lost(seen: Seen, least: float | None, status: Status) -> Fault | None:
    ratio = seen.figures["loss_ratio"]
    if least is None or ratio < least:
        return None
    ours = next((fault for fault in seen.said if fault.status is Status.UNKNOWN), None) or _ours(seen)
    if ours is not None:
        return ours
    why = f" {seen.said[0].detail}" if seen.said else ""
    detail = f"{_share(seen)} packets came back: {ratio:.0%} were lost, and {least:.0%} is too much.{why}"
    return Fault(status, PingReason.LOSS, detail)


def _slow(seen: Seen, rtt_s: float | None, jitter_s: float | None, status: Status) -> Fault | None:
    median_s, spread_s = seen.figures["rtt_median_s"], seen.figures.get("jitter_s")
    if rtt_s is not None and median_s >= rtt_s:
        return (
            TOO_BUSY
            if seen.blurred
            else Fault(status, PingReason.SLOW, f"The median reply took {_median(seen)}, and {rtt_s:g} s is too slow.")
        )
    if jitter_s is not None and spread_s is not None and spread_s >= jitter_s:
        detail = f"The jitter was {spread_s * 1000:.3f} ms, and {jitter_s:g} s is too much."
        return TOO_BUSY if seen.blurred else Fault(status, PingReason.JITTER, detail)
    return None


def _ours(seen: Seen) -> Fault | None:
    """Returns why a loss may be ours."""
    if seen.fault is not None:
        return seen.fault
    if seen.overflown:
        return _OVERFLOWN
    if seen.stalled:
        return TOO_BUSY
    return _HURRIED if seen.hurried else None


def _share(seen: Seen) -> str:
    return f"{seen.figures['received']:g} of {seen.figures['sent']:g}"


def _median(seen: Seen) -> str:
    return f"{seen.figures['rtt_median_s'] * 1000:.3f} ms"
