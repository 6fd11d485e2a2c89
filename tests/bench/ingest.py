"""What one ingested result costs: results per second, and CPU microseconds in Python and in Postgres.

python -m tests.bench.ingest [--monitors N] [--ticks N] [--rate R]: without a rate a backlog is drained, with one the
results come as steadily as from probers.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psutil
import uvloop

from libs.bus import provisioning, subjects
from libs.bus.connection import Bus
from libs.model.check import Result
from libs.model.ids import new_id
from libs.model.interval import phase_s
from libs.model.monitor import MonitorView
from libs.model.state import State, StateStatus
from libs.store.core import key_values
from tests.support.pipe import TENANT, Pipe, flowing, last_tick, message, open_pipe, result
from tests.support.servers import NatsServer, PostgresServer, running_nats, running_postgres

_MONITORS = """
INSERT INTO monitors (id, tenant_id, kind, name, target, interval_s, timeout_s, locations, enabled, labels, spec,
                      created_at, updated_at)
SELECT id, $2, 'http', 'site ' || id, 'http://127.0.0.1/', 60, 5, '{local}', true, '{}',
       '{"kind": "http", "url": "http://127.0.0.1/"}', now(), now() FROM unnest($1::uuid[]) AS id
"""
_STATES = "INSERT INTO states (monitor_id, status, since_at, reason) SELECT id, 'up', now(), 'ok' FROM monitors"
_FOLDS = """
INSERT INTO confirmations (monitor_id, location, status, since_at, reason, down_run, bad_run, up_run, changes, flapping,
                   last_class)
SELECT id, 'local', 'up', now(), 'ok', 0, 0, 9, 0, false, 'up' FROM monitors
"""
_SCHEDULES = """
INSERT INTO schedules (monitor_id, location, active, shard, interval_s, phase_s, since_at, published_version, published_at)
SELECT id, 'local', true, 0, 60, phase_s, now(), 1, now() FROM unnest($1::uuid[], $2::int[]) AS n (id, phase_s)
"""


async def fill(pipe: Pipe, ids: list[str]) -> None:
    async with pipe.store.transaction() as db:
        await db.run(_MONITORS, ids, TENANT)
        await db.run(_STATES)
        await db.run(_FOLDS)
        await db.run(_SCHEDULES, ids, [phase_s(each, "local", 60) for each in ids])
        await db.script("ANALYZE")


def view(monitor_id: str) -> MonitorView:
    now = datetime.now(UTC)
    fields = {"name": "", "kind": "http", "target": "", "timeout_s": 5.0, "locations": ["local"], "enabled": True}
    state = State(status=StateStatus.PENDING, since_at=now)
    return MonitorView(
        id=monitor_id,
        interval_s=60,
        labels={},
        spec=b"{}",
        revision=1,
        created_at=now,
        updated_at=now,
        state=state,
        **fields,
    )


def ticks(ids: list[str], rounds: int) -> Iterator[Result]:
    monitors = [view(each) for each in ids]
    now = datetime.now(UTC)
    for minute in range(1, rounds + 1):
        for each in monitors:
            yield result(each, last_tick(each, now) + timedelta(minutes=minute))


async def publish(url: str, ids: list[str], rounds: int, rate: float) -> None:
    """Publishes all ticks, at `rate` a second or as fast as it goes."""
    async with Bus.open(url, name="bench") as bus:
        started, sent, chunk = time.monotonic(), 0, []
        for each in ticks(ids, rounds):
            chunk.append(message(each))
            if len(chunk) < (rate / 20 if rate else 1000):
                continue
            assert await bus.publish_all(chunk) == []
            sent += len(chunk)
            chunk = []
            if rate:
                await asyncio.sleep(max(0.0, started + sent / rate - time.monotonic()))
        await bus.publish_all(chunk)


def publisher(url: str, ids: list[str], rounds: int, rate: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.ingest", "--publish", url, "--ticks", str(rounds), "--rate", str(rate)],
        stdin=subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.write(json.dumps(ids).encode())
    process.stdin.close()
    return process


def cpu_s(root: psutil.Process) -> float:
    times = [each.cpu_times() for each in [root, *root.children(recursive=True)]]
    return sum(each.user + each.system for each in times)


async def measure(args: argparse.Namespace, nats: NatsServer, postgres: PostgresServer) -> None:
    server = psutil.Process(postgres.process.pid)
    ids = sorted(new_id() for _ in range(args.monitors))
    async with open_pipe(nats.url, postgres.new_database()) as pipe:
        await fill(pipe, ids)
        feeder = publisher(nats.url, ids, args.ticks, args.rate)
        if not args.rate:
            await asyncio.to_thread(feeder.wait)
        async with pipe.store.transaction() as db:
            await key_values.put(
                db, "checks_stream_created_at", await provisioning.stream_created_at(pipe.bus, subjects.CHECKS)
            )
        async with flowing(pipe):
            wall, own, pg = time.monotonic(), time.process_time(), cpu_s(server)
            await asyncio.to_thread(feeder.wait)
            await pipe.ingested(within_s=600)
            wall, own, pg = time.monotonic() - wall, time.process_time() - own, cpu_s(server) - pg
        count = await pipe.value("SELECT count(*) FROM results")
        assert count == args.monitors * args.ticks, f"{count} of {args.monitors * args.ticks} stored"
        print(
            f"{count} results, {count / wall:.0f}/s: python {own / count * 1e6:.0f} us, postgres {pg / count * 1e6:.0f} us"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--monitors", type=int, default=10_000)
    parser.add_argument("--ticks", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--publish", default="")
    args = parser.parse_args()
    if args.publish:
        uvloop.run(publish(args.publish, json.load(sys.stdin), args.ticks, args.rate))
        return
    with running_nats() as nats, running_postgres() as postgres:
        uvloop.run(measure(args, nats, postgres))


if __name__ == "__main__":
    main()
