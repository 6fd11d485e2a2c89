"""Daily partitions of the results: created ahead of time, dropped after retention."""

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from libs.store.core.driver import Db

_NAME = re.compile(r"results_(\d{8})")

_LIST = """
SELECT c.relname AS name, i.inhparent IS NOT NULL AS attached, coalesce(i.inhdetachpending, false) AS pending
FROM pg_class AS c
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = 'results'::regclass
WHERE c.relkind = 'r' AND c.relname ~ '^results_[0-9]{8}$' AND c.relnamespace = current_schema()::regnamespace
"""


async def list_days(db: Db) -> set[date]:
    """Returns the days for which results can be stored."""
    return {_parse_day(row["name"]) for row in await db.rows(_LIST) if row["attached"] and not row["pending"]}


async def create(db: Db, wanted: Iterable[date]) -> None:
    """Makes the missing ones, in a transaction. Attaching a table hinders no reader or writer; creating it in place would."""
    for day in sorted(set(wanted) - await list_days(db)):
        name = f"results_{day:%Y%m%d}"
        until = day + timedelta(days=1)
        await db.script(
            f"CREATE TABLE IF NOT EXISTS {name} (LIKE results INCLUDING ALL);"
            f"ALTER TABLE results ATTACH PARTITION {name} FOR VALUES FROM ('{day} 00:00:00+00') TO ('{until} 00:00:00+00')"
        )


async def drop(db: Db, before: date) -> list[date]:
    """Drops the partitions of earlier days, outside a transaction; returns their days. Goes on where it was interrupted."""
    dropped = []
    for row in await db.rows(_LIST):
        if _parse_day(row["name"]) >= before:
            continue
        if row["attached"]:
            how = "FINALIZE" if row["pending"] else "CONCURRENTLY"
            await db.script(f"ALTER TABLE results DETACH PARTITION {row['name']} {how}")
        await db.script(f"DROP TABLE {row['name']}")
        dropped.append(_parse_day(row["name"]))
    return dropped


def _parse_day(name: str) -> date:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is no partition of results")
    return datetime.strptime(match[1] + "+0000", "%Y%m%d%z").date()
