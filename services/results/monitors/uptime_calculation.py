"""Uptime of a monitor, calculated from rollups and from single ticks (pure).

A tick stands for the time from its instant until the next tick of its location, at most its interval. With
several locations an hour is the mean of those with data in it, so that the parts never exceed the whole.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from libs.model.monitor import UptimeView
from libs.model.outcome import Status
from libs.store.ingest.uptime import RecordedTick, StatusDurations, TimeSpan

HOUR = timedelta(hours=1)

SecondsByStatus = dict[Status, float]


def compute_uptime(window: TimeSpan, rolled: Sequence[StatusDurations], ticks: Sequence[RecordedTick]) -> UptimeView:
    """Returns the seconds in each status during `window`. `rolled` lies inside it; `ticks` cover the rest."""
    pieces = [piece for span in subtract(window, [each.span for each in rolled]) for piece in split_by_hour(span)]
    total = _sum([*_mean_per_span(rolled), *_mean_per_span(_seconds_per_piece(pieces, ticks))])
    up_s, degraded_s, down_s = total[Status.UP], total[Status.DEGRADED], total[Status.DOWN]
    judged_s = up_s + degraded_s + down_s
    window_s = (window.to_at - window.from_at).total_seconds()
    return UptimeView(
        from_at=window.from_at,
        to_at=window.to_at,
        uptime=(up_s + degraded_s) / judged_s if judged_s else None,
        up_s=up_s,
        degraded_s=degraded_s,
        down_s=down_s,
        unknown_s=total[Status.UNKNOWN],
        missed_s=total[Status.MISSED],
        unwatched_s=max(0.0, window_s - sum(total.values())),
    )


def subtract(window: TimeSpan, covered: Iterable[TimeSpan]) -> list[TimeSpan]:
    """Returns the parts of `window` outside every span of `covered`, oldest first."""
    rest: list[TimeSpan] = []
    at = window.from_at
    for span in sorted(set(covered)):
        if span.from_at > at:
            rest.append(TimeSpan(at, min(span.from_at, window.to_at)))
        at = max(at, span.to_at)
    if at < window.to_at:
        rest.append(TimeSpan(at, window.to_at))
    return rest


def split_by_hour(span: TimeSpan) -> Iterator[TimeSpan]:
    """Yields `span` cut at every full hour."""
    at = span.from_at
    while at < span.to_at:
        until = min(floor(at, HOUR) + HOUR, span.to_at)
        yield TimeSpan(at, until)
        at = until


def floor(instant: datetime, length: timedelta) -> datetime:
    """Returns the last whole multiple of `length` on the UTC clock that is not after `instant`."""
    return instant - (instant - _EPOCH) % length


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _seconds_per_piece(pieces: Sequence[TimeSpan], ticks: Sequence[RecordedTick]) -> list[StatusDurations]:
    """Returns the seconds in each status per piece and location. `pieces` are sorted and do not overlap."""
    spent: dict[tuple[TimeSpan, str], SecondsByStatus] = defaultdict(lambda: defaultdict(float))
    starts = [piece.from_at for piece in pieces]
    for tick, until in _with_end(ticks):
        index = max(0, bisect_right(starts, tick.tick_at) - 1)
        while index < len(pieces) and pieces[index].from_at < until:
            piece = pieces[index]
            seconds = (min(until, piece.to_at) - max(tick.tick_at, piece.from_at)).total_seconds()
            if seconds > 0:
                spent[piece, tick.location][tick.status] += seconds
            index += 1
    return [StatusDurations(piece, seconds) for (piece, _), seconds in spent.items()]


def _with_end(ticks: Sequence[RecordedTick]) -> Iterator[tuple[RecordedTick, datetime]]:
    """Yields each tick once, with the end of the time that it covers."""
    by_key = {(tick.location, tick.tick_at): tick for tick in ticks}
    keys = sorted(by_key)
    for (location, at), (next_location, next_at) in zip(keys, [*keys[1:], ("", _EPOCH)], strict=False):
        until = at + timedelta(seconds=by_key[location, at].interval_s)
        yield by_key[location, at], min(until, next_at) if next_location == location else until


def _mean_per_span(parts: Sequence[StatusDurations]) -> list[SecondsByStatus]:
    """Returns for each span the mean over the locations with data in it."""
    by_span: dict[TimeSpan, list[SecondsByStatus]] = defaultdict(list)
    for part in parts:
        by_span[part.span].append(part.seconds)
    return [{status: seconds / len(group) for status, seconds in _sum(group).items()} for group in by_span.values()]


def _sum(parts: Iterable[SecondsByStatus]) -> SecondsByStatus:
    total: SecondsByStatus = dict.fromkeys(Status, 0.0)
    for part in parts:
        for status, seconds in part.items():
            total[status] += seconds
    return total
