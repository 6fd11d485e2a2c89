"""What arrived in the tables, which is the only thing that counts."""

from dataclasses import asdict, dataclass
from datetime import datetime

from libs.model.interval import phase_s, ticks_between
from tests.bench.end_to_end.monitors import LOCATION, Pool
from tests.bench.end_to_end.options import Options


@dataclass(frozen=True)
class Window:
    """The measured time. A tick belongs to it when it is later than `from_at` and not later than `to_at`."""

    from_at: datetime
    to_at: datetime

    @property
    def seconds(self) -> float:
        return (self.to_at - self.from_at).total_seconds()


@dataclass(frozen=True)
class Lateness:
    """From the scheduled instant to the start of the probe, in seconds, for one group of monitors.

    `verdicts` counts the ticks by status, with the reason when it is not `ok`.
    """

    ticks: int
    p50_s: float
    p99_s: float
    max_s: float
    verdicts: dict[str, int]

    @property
    def missed(self) -> int:
        return sum(count for verdict, count in self.verdicts.items() if verdict.startswith("missed"))

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def expected_ticks(ids: list[str], options: Options, window: Window) -> int:
    """Returns how many ticks the monitors have in the window."""
    interval_s = options.interval_s
    return sum(
        1
        for monitor_id in ids
        for _ in ticks_between(window.from_at, window.to_at, interval_s, phase_s(monitor_id, LOCATION, interval_s))
    )


async def stored_ticks(pool: Pool, window: Window) -> int:
    """Returns how many ticks of the window have a row, be it a result or a recorded `missed`."""
    query = "SELECT count(*) FROM results WHERE origin = 'tick' AND tick_at > $1 AND tick_at <= $2"
    return int(await pool.fetchval(query, window.from_at, window.to_at))


async def stored_checks(pool: Pool, window: Window) -> int:
    """Returns how many checks began inside the window and were stored, ticks and second looks alike."""
    query = """
        SELECT count(*) FROM results
        WHERE tick_at > $1::timestamptz - interval '1 hour' AND started_at > $1 AND started_at <= $2 AND status <> 'missed'
    """
    return int(await pool.fetchval(query, window.from_at, window.to_at))


async def lateness(pool: Pool, window: Window, group: str) -> Lateness:
    """Returns the lateness of the monitors with the label bench=`group`."""
    query = """
        SELECT concat_ws(' ', r.status, nullif(r.reason, 'ok')) AS verdict, count(*) AS ticks
        FROM results r JOIN monitors m ON m.id = r.monitor_id
        WHERE r.origin = 'tick' AND r.tick_at > $1 AND r.tick_at <= $2 AND m.labels ->> 'bench' = $3
        GROUP BY verdict ORDER BY ticks DESC
    """
    rows = await pool.fetch(query, window.from_at, window.to_at, group)
    verdicts = {row["verdict"]: int(row["ticks"]) for row in rows}
    query = """
        SELECT percentile_cont(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - tick_at))
        FROM results r JOIN monitors m ON m.id = r.monitor_id
        WHERE r.origin = 'tick' AND r.tick_at > $1 AND r.tick_at <= $2 AND m.labels ->> 'bench' = $3
          AND r.status <> 'missed'
    """
    shares = await pool.fetchval(query, window.from_at, window.to_at, group) or [0, 0, 0]
    p50_s, p99_s, max_s = (float(share) for share in shares)
    return Lateness(sum(verdicts.values()), p50_s, p99_s, max_s, verdicts)
