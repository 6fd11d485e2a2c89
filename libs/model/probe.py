"""Interface between a kind and the prober that runs it."""

from types import TracebackType
from typing import Protocol, Self, TypeVar

from libs.model.outcome import Outcome
from libs.model.spec import Spec

S_contra = TypeVar("S_contra", bound=Spec, contravariant=True)


class Probe(Protocol[S_contra]):
    """All I/O of one kind. Entered once per process, called for every check.

    A probe returns within `time_budget_s(timeout_s)`, so that it can name the phase that timed out; the prober cancels
    it 1 s after `timeout_s`. A fault of the target is an Outcome; an exception is a bug and becomes `unknown`.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def __call__(self, spec: S_contra, timeout_s: float) -> Outcome: ...


def time_budget_s(timeout_s: float) -> float:
    """Returns `timeout_s` less a margin (5 %, at most 0.1 s).

    A probe that stops by then can still return which phase timed out. The prober cancels it 1 s after `timeout_s`.
    """
    return timeout_s - min(0.1, timeout_s / 20)
