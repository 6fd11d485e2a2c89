"""Rate limits of keys and tenants across two gateways."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from faststream.nats import NatsRouter

from libs.bus import subjects
from libs.bus.connection import Bus
from libs.bus.rpc import serve_rpc
from libs.model.ids import new_id
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import RateGrant, TakeTokens
from libs.model.tenancy import Principal, Rate, Scope, new_api_key
from services.gateway.access import rate_limiter
from services.gateway.access.failed_keys import FAILED_BURST, FAILED_PER_S, LOOKUPS_MAX
from services.gateway.access.rate_limiter import RateLimiter
from tests.integration.gateway.conftest import RunningGateway, StartGateway, second_gateway
from tests.integration.gateway.native.test_keys import create_key
from tests.integration.gateway.native.test_native_api import V2, check_problem
from tests.support.client import Answer, Api
from tests.support.wait import eventually

NO_LIMIT: dict[str, Any] = {"key_requests_per_s": 0.0, "tenant_requests_per_s": 0.0}


async def count_until_denied(instance: RunningGateway, key: str) -> int:
    """Returns how many requests went through one connection before one was denied."""
    passed = 0
    async with instance.api(key) as api:
        while (answer := await api.ask("GET", f"{V2}/me")).status == 200:
            passed += 1
    check_problem(answer, 429)
    return passed


async def count_passed(*askers: tuple[RunningGateway, str]) -> int:
    """Returns how many requests went through, sent by four connections for each of `askers` until all are denied."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(count_until_denied(instance, key)) for instance, key in askers * 4]
    return sum(task.result() for task in tasks)


async def test_the_limit_of_a_key_holds_for_two_gateways_in_sum(start_gateway: StartGateway) -> None:
    async with start_gateway(key_requests_per_s=5, key_requests_burst=20) as one, second_gateway(one) as other:
        started = time.monotonic()
        passed = await count_passed((one, one.key), (other, other.key))
        assert 20 <= passed <= 20 + 5 * (time.monotonic() - started) + 1


async def test_the_limit_of_a_tenant_holds_for_its_keys_and_two_gateways_in_sum(start_gateway: StartGateway) -> None:
    rates = {"tenant_requests_per_s": 5, "tenant_requests_burst": 30, "key_requests_per_s": 0}
    async with start_gateway(**rates) as one, second_gateway(one) as other:
        started = time.monotonic()
        async with one.api() as admin:
            second = (await create_key(admin, "read"))["key"]
        pairs = [(instance, key) for instance in (one, other) for key in (one.key, second)]
        passed = 1 + await count_passed(*pairs)
        assert 30 <= passed <= 30 + 5 * (time.monotonic() - started) + 1


async def test_a_denial_contains_the_time_after_which_requests_succeed(start_gateway: StartGateway) -> None:
    async with (
        start_gateway(key_requests_per_s=1, key_requests_burst=4, tenant_requests_burst=3) as instance,
        instance.api() as api,
    ):

        async def denied() -> Answer | None:
            answer = await api.ask("GET", f"{V2}/monitors")
            return answer if answer.status == 429 else None

        answer = await eventually(denied, within_s=20, what="the bucket is empty", every_s=0)
        assert "Rate limit" in check_problem(answer, 429)["detail"]
        assert answer.headers["retry-after"] == answer.headers["x-ratelimit-reset"] == "1"
        assert (answer.headers["x-ratelimit-limit"], answer.headers["x-ratelimit-remaining"]) == ("3", "0")

        async def works() -> bool:
            return (await api.ask("GET", f"{V2}/me")).status == 200

        assert await eventually(works, within_s=20, what="there is a request again")


async def test_probe_counts_requests_with_a_key_and_no_others(start_gateway: StartGateway) -> None:
    allowed = {"probe_allow": ("127.0.0.0/8",), "key_requests_per_s": 0.001, "key_requests_burst": 1}
    async with start_gateway(**allowed) as instance, instance.api() as api, instance.api("") as nobody:
        assert (await api.ask("GET", "/probe?module=nothing")).status == 400
        denied = await api.ask("GET", "/probe?module=nothing")
        assert denied.status == 429
        assert 900 < int(denied.headers["retry-after"]) <= 1000
        assert b"Rate limit" in denied.body
        assert {(await nobody.ask("GET", "/probe?module=nothing")).status for _ in range(5)} == {400}


async def count_bus_requests(bus: Bus, verb: str, work: Callable[[], Awaitable[object]]) -> int:
    """Returns how many requests with that verb any gateway sent during `work`."""
    seen = 0
    async with bus.subscribe(subjects.rpc(verb)) as requests:

        async def count() -> None:
            nonlocal seen
            async for body in requests:
                if body == b"end":
                    return
                seen += 1

        async with asyncio.TaskGroup() as group:
            group.create_task(count())
            await work()
            await bus.publish_core(subjects.rpc(verb), b"end")
    return seen


async def send_requests(instance: RunningGateway, times: int) -> None:
    async with instance.api() as api:
        for _ in range(times):
            await api.ask("GET", f"{V2}/me")


async def test_requests_are_granted_in_advance_and_a_flood_does_not_reach_the_database(
    start_gateway: StartGateway, nats_url: str
) -> None:
    async with (
        start_gateway(key_requests_per_s=0.01, key_requests_burst=640) as instance,
        Bus.open(nats_url, name="ear") as ear,
    ):
        await send_requests(instance, 1)
        started = time.monotonic()
        asks = await count_bus_requests(ear, TakeTokens.verb, lambda: send_requests(instance, 1000))
        # 1, 2, 4 .. 64 again after every second in which nothing came; ten of 64; one a second for the denied ones.
        assert 10 <= asks <= 20 + 8 * (time.monotonic() - started)


async def test_without_limits_no_token_is_requested(start_gateway: StartGateway, nats_url: str) -> None:
    async with start_gateway(**NO_LIMIT) as instance, Bus.open(nats_url, name="ear") as ear:
        assert await count_bus_requests(ear, TakeTokens.verb, lambda: send_requests(instance, 20)) == 0
        pool = await asyncpg.connect(instance.context.settings.postgres_dsn)
        assert await pool.fetchval("SELECT count(*) FROM token_buckets") == 0
        await pool.close()


def principal(**rates: Rate) -> Principal:
    return Principal(tenant_id=new_id(), tenant_name="t", key_id=new_id(), key_name="k", scopes=[Scope.READ], **rates)


async def test_while_the_results_service_is_unavailable_requests_are_admitted(nats_url: str) -> None:
    rate = Rate(per_s=1, burst=1)
    async with Bus.open(nats_url, name="gateway") as bus:
        asked, who = RateLimiter(bus, rate, rate), principal()
        for _ in range(5):
            await asked.acquire(who)


async def test_a_long_queue_at_a_slow_results_service_does_not_fail_open(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiter, "QUEUE_S_MAX", 0.3)
    router, granted, outcomes = NatsRouter(), RateGrant(granted=1, left=0, retry_after_s=0.0), []

    async def slowly(_: TakeTokens) -> RateGrant:
        await asyncio.sleep(0.05)
        outcomes.append("granted")
        return granted

    async def ask(asked: RateLimiter, who: Principal) -> None:
        try:
            await asked.acquire(who)
        except RequestError as error:
            outcomes.append(error.info.code)
        else:
            outcomes.append("passed")

    serve_rpc(router, TakeTokens, slowly)
    async with Bus.open(nats_url, name="both") as bus, asyncio.TaskGroup() as group:
        bus.broker.include_router(router)
        await bus.start()
        asked, who = RateLimiter(bus, Rate(per_s=1, burst=1), Rate(per_s=1, burst=1)), principal()
        for _ in range(60):
            group.create_task(ask(asked, who))
    assert 0 < outcomes.count("passed") <= outcomes.count("granted")
    assert outcomes.count("passed") + outcomes.count(ErrorCode.UNAVAILABLE) == 60


async def test_own_rates_win_and_the_keys_that_are_remembered_are_bounded(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiter, "KEYS_MAX", 3)
    some, none = Rate(per_s=1, burst=1), Rate(per_s=0, burst=1)
    async with Bus.open(nats_url, name="gateway") as bus:
        asked = RateLimiter(bus, some, some)
        await asked.acquire(principal(rate=none, tenant_rate=none))
        assert len(asked._queues) == 0
        for _ in range(5):
            await asked.acquire(principal(rate=none))
        assert len(asked._queues) == 3


async def test_a_flood_of_wrong_keys_is_not_looked_up_and_known_keys_still_work(start_gateway: StartGateway) -> None:
    async with start_gateway(**NO_LIMIT) as instance, instance.api() as known:
        assert await known.get(f"{V2}/me")
        late = (await create_key(known, "read"))["key"]
        started, statuses = time.monotonic(), []

        async def stranger() -> None:
            for _ in range(25):
                async with instance.api(new_api_key()) as api:
                    statuses.append((await api.ask("GET", f"{V2}/me")).status)

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(stranger())
        assert set(statuses) <= {401, 429}
        most = FAILED_BURST + LOOKUPS_MAX + FAILED_PER_S * (time.monotonic() - started)
        assert FAILED_BURST <= statuses.count(401) <= most
        assert await known.get(f"{V2}/me")
        assert await eventually(lambda: key_works(instance, late), within_s=20, what="a failure is left again")


async def key_works(instance: RunningGateway, key: str) -> bool:
    async with Api(instance.port, key) as api:
        return (await api.ask("GET", f"{V2}/me")).status == 200
