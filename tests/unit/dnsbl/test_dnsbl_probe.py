"""Until blacklists are asked, nothing is claimed about anything."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.model.check import Origin, Result
from libs.model.confirmation import Confirmation
from libs.model.outcome import Outcome, Status
from libs.model.state import StateStatus
from services.dnsbl.probe import DnsblProbe
from services.dnsbl.spec import DnsblSpec
from services.results.ingest.confirmation import apply_result

START = datetime(2026, 11, 21, tzinfo=UTC)


async def probed(host: str) -> Outcome:
    async with DnsblProbe() as probe:
        return await probe(DnsblSpec(host=host), 5.0)


def result(outcome: Outcome, at: datetime) -> Result:
    names = {"monitor_id": "m", "tenant_id": "t", "location": "local", "kind": "dnsbl", "origin": Origin.TICK}
    times = {"tick_at": at, "started_at": at, "duration_s": 0.0}
    said = {"status": outcome.status, "reason": outcome.reason}
    return Result(**names, **times, **said, revision=1, interval_s=60)


@pytest.mark.parametrize("host", ["example.org", "127.0.0.2", "2001:db8::1"])
async def test_the_outcome_is_unknown_and_says_why(host: str) -> None:
    outcome = await probed(host)
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, "not_asked_yet")
    assert outcome.detail == "This version does not query DNS blacklists yet."
    assert (outcome.samples, outcome.hops) == ({}, [])


async def test_a_monitor_that_has_only_such_results_is_unknown_and_stays_so() -> None:
    outcome, memory = await probed("example.org"), Confirmation(since_at=START)
    moves, rechecks = [], 0
    for minute in range(1, 11):
        memory, move, wants_recheck = apply_result(memory, result(outcome, START + timedelta(minutes=minute)))
        moves += [(move.new, move.reason)] if move else []
        rechecks += wants_recheck
    assert (moves, rechecks) == ([(StateStatus.UNKNOWN, "not_asked_yet")], 0)
    assert memory.status is StateStatus.UNKNOWN
