"""Verdict on one series of echo requests. Pure, so that every rule has a test without a network."""

from collections import Counter
from typing import NamedTuple

from libs.model.outcome import Reason, Status
from libs.net.stall import TOO_BUSY
from libs.net.verdict import Verdict
from services.ping.spec import PingReason, PingSpec

_RESOLVER_SLOW = Verdict(
    Status.UNKNOWN,
    Reason.RESOLVER_FAILED,
    "Name resolution took most of the timeout, and left too little time for replies.",
)
_BUFFER_OVERFLOW = Verdict(
    Status.UNKNOWN, Reason.NO_BUFFERS, "Replies were dropped on the prober: its receive buffer was full."
)


class PingObservation(NamedTuple):
    """The facts that determine the verdict on a ping.

    `error_verdicts` has one entry for each ICMP error. `stalled`: this process stalled for a share of the check that
    makes a loss inconclusive. `timestamps_unreliable`: it stalled at all, and some replies had no kernel timestamp, so
    that their times include the stall. `buffer_overflowed`: the receive buffer dropped packets during the check.
    `resolver_slow`: name resolution left less time for replies than the spec demands. `send_failure`: the reason why
    packets were not sent.
    """

    samples: dict[str, float]
    error_verdicts: tuple[Verdict, ...] = ()
    stalled: bool = False
    timestamps_unreliable: bool = False
    buffer_overflowed: bool = False
    resolver_slow: bool = False
    send_failure: Verdict | None = None


def judge(spec: PingSpec, observation: PingObservation) -> Verdict:
    """Returns status, reason and detail."""
    if observation.send_failure is not None and not observation.samples["sent"]:
        return observation.send_failure
    if not observation.samples["received"]:
        return _no_reply_verdict(observation)
    return (
        _loss_verdict(observation, spec.loss_ratio_down, Status.DOWN)
        or _latency_verdict(observation, spec.rtt_s_down, spec.jitter_s_down, Status.DOWN)
        or _loss_verdict(observation, spec.loss_ratio_degraded, Status.DEGRADED)
        or _latency_verdict(observation, spec.rtt_s_degraded, spec.jitter_s_degraded, Status.DEGRADED)
        or Verdict(
            Status.UP,
            Reason.OK,
            f"{_received_of_sent(observation)} packets were answered, with a median round-trip time of {_median_ms(observation)}.",
        )
    )


def _no_reply_verdict(observation: PingObservation) -> Verdict:
    """Returns the verdict when no reply arrived: of the ICMP errors, of this machine, or `down` for no response."""
    if observation.error_verdicts:
        return Counter(observation.error_verdicts).most_common(1)[0][0]
    count = f"{observation.samples['sent']:g} packets"
    local_cause = _local_cause(observation)
    # One damaged reply does not explain others that may have been lost on this machine.
    if observation.samples["damaged"] >= (1 if local_cause is None else observation.samples["sent"]):
        detail = (
            f"None of {count} was answered intact; {observation.samples['damaged']:g} replies had a damaged payload."
        )
        return Verdict(Status.DOWN, PingReason.REPLY_DAMAGED, detail)
    late = f"; {observation.samples['late']:g} replies arrived too late" if observation.samples["late"] else ""
    return local_cause or Verdict(Status.DOWN, PingReason.NO_REPLY, f"None of {count} was answered in time{late}.")


def _loss_verdict(observation: PingObservation, threshold: float | None, status: Status) -> Verdict | None:
    ratio = observation.samples["loss_ratio"]
    if threshold is None or ratio < threshold:
        return None
    local_cause = next(
        (fault for fault in observation.error_verdicts if fault.status is Status.UNKNOWN), None
    ) or _local_cause(observation)
    if local_cause is not None:
        return local_cause
    why = f" {observation.error_verdicts[0].detail}" if observation.error_verdicts else ""
    detail = f"{_received_of_sent(observation)} packets were answered: {ratio:.0%} were lost, the threshold is {threshold:.0%}.{why}"
    return Verdict(status, PingReason.LOSS, detail)


def _latency_verdict(
    observation: PingObservation, rtt_s: float | None, jitter_s: float | None, status: Status
) -> Verdict | None:
    median_s, spread_s = observation.samples["rtt_median_s"], observation.samples.get("jitter_s")
    if rtt_s is not None and median_s >= rtt_s:
        return (
            TOO_BUSY
            if observation.timestamps_unreliable
            else Verdict(
                status,
                PingReason.SLOW,
                f"The median round-trip time was {_median_ms(observation)}, the threshold is {rtt_s:g} s.",
            )
        )
    if jitter_s is not None and spread_s is not None and spread_s >= jitter_s:
        detail = f"The jitter was {spread_s * 1000:.3f} ms, the threshold is {jitter_s:g} s."
        return TOO_BUSY if observation.timestamps_unreliable else Verdict(status, PingReason.JITTER, detail)
    return None


def _local_cause(observation: PingObservation) -> Verdict | None:
    """Returns a cause of packet loss on this machine, if there was one."""
    if observation.send_failure is not None:
        return observation.send_failure
    if observation.buffer_overflowed:
        return _BUFFER_OVERFLOW
    if observation.stalled:
        return TOO_BUSY
    return _RESOLVER_SLOW if observation.resolver_slow else None


def _received_of_sent(observation: PingObservation) -> str:
    return f"{observation.samples['received']:g} of {observation.samples['sent']:g}"


def _median_ms(observation: PingObservation) -> str:
    return f"{observation.samples['rtt_median_s'] * 1000:.3f} ms"
