"""What kept a probe from its answer, as data, and whose fault it is."""

import errno
import os
from typing import NamedTuple

from libs.model.outcome import Reason, Status


class Fault(NamedTuple):
    """One failure: `down` when the target's side caused it, `unknown` when ours did."""

    status: Status
    reason: str
    detail: str


class EgressRefusedError(PermissionError):
    """Our own policy forbids the address; `sentence` says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.EACCES, sentence)
        self.sentence = sentence


_OURS = {
    errno.EMFILE: Reason.NO_DESCRIPTORS,
    errno.ENFILE: Reason.NO_DESCRIPTORS,
    errno.EADDRNOTAVAIL: Reason.NO_PORTS,
    errno.ENOBUFS: Reason.NO_BUFFERS,
    errno.ENOMEM: Reason.NO_BUFFERS,
    errno.EAFNOSUPPORT: Reason.NO_ROUTE,
    # A packet filter of this machine forbids the packet to leave.
    errno.EACCES: Reason.EGRESS_REFUSED,
    errno.EPERM: Reason.EGRESS_REFUSED,
}
_TARGETS = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.REFUSED,
    errno.ECONNABORTED: Reason.REFUSED,
    errno.ETIMEDOUT: Reason.CONNECT_TIMEOUT,
}
# EINVAL is what a blackhole route says.
_ROUTES = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.EINVAL})
_SENTENCES = {
    Reason.NO_DESCRIPTORS: "This machine has no file descriptor left to connect with.",
    Reason.NO_PORTS: "This machine has no free local port or address to connect from.",
    Reason.NO_BUFFERS: "This machine has no memory left for a connection.",
    Reason.NO_ROUTE: "This machine has no route to the address.",
    Reason.EGRESS_REFUSED: "This machine forbids connections to the address.",
    Reason.REFUSED: "The connection was refused.",
    Reason.CONNECT_TIMEOUT: "The connection was not accepted in time.",
    Reason.UNREACHABLE: "The address cannot be reached.",
}


def connect_fault(error: OSError, *, answered: bool) -> Fault:
    """Returns what a failed connect means; raises `error` again when nobody foresaw it.

    `answered` tells that the attempt left this machine: "unreachable" is then somebody's word about the target,
    and otherwise that of our own routes.
    """
    if isinstance(error, EgressRefusedError):
        return Fault(Status.UNKNOWN, Reason.EGRESS_REFUSED, error.sentence)
    code = error.errno or 0
    if code in _ROUTES:
        return _fault(Status.DOWN, Reason.UNREACHABLE) if answered else _fault(Status.UNKNOWN, Reason.NO_ROUTE)
    if code in _TARGETS:
        return _fault(Status.DOWN, _TARGETS[code])
    if code in _OURS:
        return _fault(Status.UNKNOWN, _OURS[code])
    raise error


def _fault(status: Status, reason: Reason) -> Fault:
    return Fault(status, reason, _SENTENCES[reason])


def os_error(code: int) -> OSError:
    """Returns the exception that `code` stands for."""
    return OSError(code, os.strerror(code))
