"""Token buckets of keys and tenants, shared by all gateways. The clock is that of the database."""

from collections.abc import Mapping
from datetime import datetime

from libs.model.requests.messages import RateGrant
from libs.model.tenancy import Rate
from libs.store.core.driver import Db
from libs.store.core.errors import UnavailableError

_ATTEMPTS = 5

# Rows are locked in the order of their ids, and what is read is what the last holder of the locks left behind, in this
# statement that began before. The clock is looked at with all locks held: should it be set back, refilling goes on.
_TAKE = """
WITH held AS MATERIALIZED (
    SELECT id, tokens, at FROM token_buckets WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
), moment AS MATERIALIZED (
    SELECT clock_timestamp() AS now FROM held HAVING count(*) = cardinality($1::uuid[])
), filled AS MATERIALIZED (
    SELECT id, per_s, now, least(burst, tokens + $5::float8
        + per_s * greatest(0, extract(epoch FROM now - at)::float8)) AS tokens
    FROM held JOIN unnest($1::uuid[], $2::float8[], $3::float8[]) AS rate (id, per_s, burst) USING (id), moment
), taken AS MATERIALIZED (
    SELECT least($4::float8, floor(min(tokens))) AS tokens FROM filled
), kept AS (
    UPDATE token_buckets SET tokens = filled.tokens - taken.tokens, at = filled.now
    FROM filled, taken WHERE token_buckets.id = filled.id
)
SELECT taken.tokens AS granted, floor(min(filled.tokens - taken.tokens)) AS left_over,
       max((1 - filled.tokens + taken.tokens) / greatest(per_s, 1e-6)) AS wait_s
FROM filled, taken GROUP BY taken.tokens
"""
# In one order, too: of two who add the same buckets, one waits for the other.
_ADD = """
INSERT INTO token_buckets (id, tokens, at)
SELECT id, burst, clock_timestamp() FROM unnest($1::uuid[], $2::float8[]) AS rate (id, burst) ORDER BY id
ON CONFLICT (id) DO NOTHING
"""
# SKIP LOCKED: a bucket in use is not old, and no transaction waits for locks in another order.
_DELETE_IDLE = """
DELETE FROM token_buckets WHERE id IN (SELECT id FROM token_buckets WHERE at < $1 FOR UPDATE SKIP LOCKED)
"""


async def take(db: Db, rates: Mapping[str, Rate], wanted: int, unused: int) -> RateGrant:
    """Puts `unused` back into every bucket, then takes up to `wanted` whole tokens, the same from each.

    `rates` are those of the buckets by id, each with more than 0 per second. A bucket that is not there is full. Each
    call is a transaction of its own: no locks are held when it returns.
    """
    ids = list(rates)
    per_s, bursts = [rate.per_s for rate in rates.values()], [float(rate.burst) for rate in rates.values()]
    for _ in range(_ATTEMPTS):
        row = await db.row(_TAKE, ids, per_s, bursts, float(max(0, wanted)), float(max(0, unused)))
        if row is not None:
            granted = int(row["granted"])
            wait_s = 0.0 if granted else max(0.0, row["wait_s"])
            return RateGrant(granted=granted, left=int(row["left_over"]), retry_after_s=wait_s)
        await db.run(_ADD, ids, bursts)
    raise UnavailableError("the buckets are removed as fast as they are added")


async def delete_idle(db: Db, untouched_since: datetime) -> int:
    """Deletes buckets unused since then (a missing bucket is full); returns how many."""
    return await db.run(_DELETE_IDLE, untouched_since)
