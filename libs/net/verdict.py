"""Verdict of a probe, and the verdicts on failed connects: `down` if the target failed, `unknown` if the prober did."""

import errno
import os
from typing import NamedTuple

from libs.model.outcome import Reason, Status


class Verdict(NamedTuple):
    """Status, reason and explanation of a check: `down` for failures of the target, `unknown` for the prober's."""

    status: Status
    reason: str
    detail: str


class EgressRefusedError(PermissionError):
    """The egress policy of this process refuses the address; `detail` explains why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.EACCES, sentence)
        self.detail = sentence


_PROBER_ERRORS = {
    errno.EMFILE: Reason.NO_DESCRIPTORS,
    errno.ENFILE: Reason.NO_DESCRIPTORS,
    errno.EADDRNOTAVAIL: Reason.NO_PORTS,
    errno.ENOBUFS: Reason.NO_BUFFERS,
    errno.ENOMEM: Reason.NO_BUFFERS,
    errno.EAFNOSUPPORT: Reason.NO_ROUTE,
    # Rejected by a packet filter of this machine.
    errno.EACCES: Reason.EGRESS_REFUSED,
    errno.EPERM: Reason.EGRESS_REFUSED,
}
_TARGET_ERRORS = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.REFUSED,
    errno.ECONNABORTED: Reason.REFUSED,
    errno.ETIMEDOUT: Reason.CONNECT_TIMEOUT,
}
# A blackhole route reports EINVAL.
_ROUTE_ERRORS = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.EINVAL})
_DETAILS = {
    Reason.NO_DESCRIPTORS: "This machine has no file descriptor left to connect with.",
    Reason.NO_PORTS: "This machine has no free local port or address to connect from.",
    Reason.NO_BUFFERS: "This machine has no memory left for a connection.",
    Reason.NO_ROUTE: "This machine has no route to the address.",
    Reason.EGRESS_REFUSED: "This machine forbids connections to the address.",
    Reason.REFUSED: "The connection was refused.",
    Reason.CONNECT_TIMEOUT: "The connection was not accepted in time.",
    Reason.UNREACHABLE: "The address cannot be reached.",
}


def connect_verdict(error: OSError, *, answered: bool) -> Verdict:
    """Returns the verdict on a failed connect; re-raises an unexpected `error`.

    `answered`: the connect was attempted and failed asynchronously, so "unreachable" comes from the network; otherwise
    it comes from the local routing table.
    """
    if isinstance(error, EgressRefusedError):
        return Verdict(Status.UNKNOWN, Reason.EGRESS_REFUSED, error.detail)
    code = error.errno or 0
    if code in _ROUTE_ERRORS:
        return _verdict(Status.DOWN, Reason.UNREACHABLE) if answered else _verdict(Status.UNKNOWN, Reason.NO_ROUTE)
    if code in _TARGET_ERRORS:
        return _verdict(Status.DOWN, _TARGET_ERRORS[code])
    if code in _PROBER_ERRORS:
        return _verdict(Status.UNKNOWN, _PROBER_ERRORS[code])
    raise error


def _verdict(status: Status, reason: Reason) -> Verdict:
    return Verdict(status, reason, _DETAILS[reason])


def os_error(code: int) -> OSError:
    """Returns the OSError for an error number."""
    return OSError(code, os.strerror(code))
