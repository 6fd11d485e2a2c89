"""Allowed intervals and the ticks of a monitor.

Every interval divides a day, so that a tick's instant is plain arithmetic on the UTC clock:
an instant is a tick when its epoch second is congruent to the phase, modulo the interval.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86400

# Exactly what a 6-field cron line can say with one phase per monitor.
INTERVALS_S: tuple[int, ...] = (
    *(10, 12, 15, 20, 30),
    *(MINUTE_S * minutes for minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)),
    *(HOUR_S * hours for hours in (1, 2, 3, 4, 6, 8, 12, 24)),
)


def phase_s(monitor_id: str, location: str, interval_s: int) -> int:
    """Returns the second inside the interval at which this monitor ticks, spread evenly and fixed for good.

    The hash is keyed apart from `shard`: with one hash for both, each shard would fire in a few seconds only.
    """
    return _hash(b"phase", f"{monitor_id}/{location}") % interval_s


def shard(monitor_id: str, shards: int) -> int:
    """Returns which of `shards` parts of the schedule holds this monitor."""
    return _hash(b"shard", monitor_id) % shards


def tick_at_or_before(instant: datetime, interval_s: int, phase: int) -> datetime:
    """Returns the last tick that is not after `instant`."""
    second = int(instant.timestamp())
    return datetime.fromtimestamp(second - (second - phase) % interval_s, UTC)


def ticks_between(after: datetime, until: datetime, interval_s: int, phase: int) -> Iterator[datetime]:
    """Yields every tick later than `after` and not later than `until`, oldest first."""
    second = int(tick_at_or_before(after, interval_s, phase).timestamp()) + interval_s
    last = until.timestamp()
    while second <= last:
        yield datetime.fromtimestamp(second, UTC)
        second += interval_s


def _hash(purpose: bytes, text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, person=purpose).digest())
