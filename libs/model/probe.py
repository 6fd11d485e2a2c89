"""Interface between a kind and the prober that runs it."""

from types import TracebackType
from typing import Protocol, Self, TypeVar

from libs.model.outcome import Outcome
from libs.model.spec import Spec

S_contra = TypeVar("S_contra", bound=Spec, contravariant=True)


class Probe(Protocol[S_contra]):
    """All I/O of one kind. Entered once per process, called for every check.

    The caller owns the deadline: it cancels the call after `timeout_s`. A probe uses `timeout_s` only to say
    which phase ran out of time, and answers a moment before it. What the target does wrong is an Outcome;
    an exception is a bug and becomes `unknown`.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def __call__(self, spec: S_contra, timeout_s: float) -> Outcome: ...


def time_budget_s(timeout_s: float) -> float:
    """Returns how long a probe may take: its caller's deadline follows a moment later, and would leave it no word."""
    return timeout_s - min(0.1, timeout_s / 20)
