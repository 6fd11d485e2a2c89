"""Rounds in turns, and what they come to."""

from collections.abc import Callable, Sequence
from statistics import median

from tests.bench.against_blackbox.sides import Cost

Rounds = dict[str, list[Cost]]
OURS = "vedette"
WHOLE = "blackbox, whole process"
# What each of these costs is taken off the whole process, round by round.
FRONTS = ("a health check", "an unknown module")
NO_PACKET = "a target that is no URL"


def take(sides: dict[str, Callable[[], Cost]], rounds: int) -> Rounds:
    """Runs every side once to warm up, then all of them in each round, one after the other."""
    for run in sides.values():
        run()
    costs: Rounds = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            costs[name].append(run())
    return costs


def dearest(costs: Rounds, names: Sequence[str]) -> str:
    return max(names, key=lambda name: median(cost.cpu_us for cost in costs[name]))


def less(costs: Rounds, name: str) -> list[Cost]:
    """Returns what is left of the whole process, round by round, without what `name` costs."""
    return [
        Cost(whole.cpu_us - off.cpu_us, whole.wall_us) for whole, off in zip(costs[WHOLE], costs[name], strict=True)
    ]


def show(title: str, costs: Rounds) -> None:
    print(f"\n{title}\n  {'us of CPU per check':<44}{'min':>9}{'median':>9}{'max':>9}{'wall':>9}")
    for name, each in costs.items():
        spent = [cost.cpu_us for cost in each]
        wall_us = median(cost.wall_us for cost in each)
        print(f"  {name:<44}{min(spent):9.1f}{median(spent):9.1f}{max(spent):9.1f}{wall_us:9.1f}")


def show_ratio(words: str, ours: list[Cost], theirs: list[Cost], goal: float | None = None) -> None:
    """Prints ours through theirs, of medians and of minima, and whether both keep the goal."""
    ratios = [how(c.cpu_us for c in ours) / how(c.cpu_us for c in theirs) for how in (median, min)]
    verdict = "" if goal is None else f"   goal {goal:.3f}: {'kept' if max(ratios) <= goal else 'MISSED'}"
    print(f"  {words:<44}{ratios[0]:9.3f} of medians{ratios[1]:9.3f} of minima{verdict}")
