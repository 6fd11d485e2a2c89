"""The native API over HTTP, with the real results service."""

from typing import Any

import msgspec
import pytest

from services.gateway.web.strict_body import BODY_BYTES_MAX
from tests.integration.gateway.conftest import StartGateway
from tests.support.client import Answer, Api
from tests.unit.gateway.invalid_bodies import (
    INVALID_CHECKS,
    INVALID_JSON,
    INVALID_KEYS,
    INVALID_MONITORS,
    VALID_KEY,
    VALID_MONITOR,
)

V2 = "/api/v2"


def check_problem(answer: Answer, status: int) -> dict[str, Any]:
    """Returns the problem, checked against RFC 9457."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.body
    assert problem["status"] == status
    assert problem["type"].startswith("/docs#problem-")
    assert problem["title"]
    assert problem["detail"]
    return problem


async def create_monitor(api: Api, **fields: Any) -> Any:
    return await api.post(f"{V2}/monitors", VALID_MONITOR | fields)


async def test_a_monitor_is_created_shown_changed_and_deleted(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        answer = await api.ask("POST", f"{V2}/monitors", VALID_MONITOR | {"labels": {"customer": "c-17"}})
        assert answer.status == 201
        monitor = answer.body
        path = f"{V2}/monitors/{monitor['id']}"
        assert answer.headers["location"] == path
        assert monitor["state"]["status"] == "pending"
        assert monitor["last_result"] is None
        assert monitor["timeout_s"] == 10.0
        assert monitor["spec"] == VALID_MONITOR["spec"]
        assert await api.get(path) == monitor

        changed = await api.patch(path, {"interval_s": 30, "enabled": False, "labels": {}})
        assert (changed["interval_s"], changed["enabled"], changed["labels"]) == (30, False, {})
        assert changed["name"] == monitor["name"]
        assert (await api.get(path))["revision"] > monitor["revision"]

        assert (await api.ask("DELETE", path)).status == 204
        check_problem(await api.ask("GET", path), 404)
        check_problem(await api.ask("DELETE", path), 404)


async def test_the_history_of_a_new_monitor_is_empty_and_its_day_unwatched(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        monitor = await create_monitor(api, enabled=False)
        path = f"{V2}/monitors/{monitor['id']}"
        assert await api.get(f"{path}/results") == {"items": [], "next_cursor": None}
        assert await api.get(f"{path}/transitions") == {"items": [], "next_cursor": None}
        uptime = await api.get(f"{path}/uptime", **{"from": "2026-01-01T00:00:00+01:00", "to": "2026-01-02T00:00:00Z"})
        assert uptime["from_at"] == "2025-12-31T23:00:00Z"
        assert uptime["uptime"] is None


async def test_pages_hold_each_monitor_once_and_end(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        made = [(await create_monitor(api, name=f"m{index}"))["id"] for index in range(7)]
        seen: list[str] = []
        page = await api.get(f"{V2}/monitors", limit=3)
        while True:
            assert len(page["items"]) <= 3
            seen += [item["id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            page = await api.get(f"{V2}/monitors", limit=3, cursor=page["next_cursor"])
        assert seen == made[::-1]


async def test_lists_are_filtered(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        await create_monitor(api, name="Shop Berlin", labels={"customer": "c-1", "url": "a:b=c"})
        await create_monitor(api, name="Shop Wien", labels={"customer": "c-2"})

        async def names(query: str) -> list[str]:
            return sorted(item["name"] for item in (await api.get(f"{V2}/monitors?{query}"))["items"])

        assert await names("label=customer:c-1") == ["Shop Berlin"]
        assert await names("label=customer%3Dc-2") == ["Shop Wien"]
        assert await names("label=customer=c-1&label=url:a:b=c") == ["Shop Berlin"]
        assert await names("label=customer:c-1&label=customer:c-2") == ["Shop Wien"]
        assert await names("name=wIEN") == ["Shop Wien"]
        assert await names("kind=http&state=pending") == ["Shop Berlin", "Shop Wien"]
        assert await names("state=down") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(("limit=0", "limit"), ("limit=501", "limit"), ("limit=many", "limit"), ("limit=5.5", "limit")),
        *(("limit=", "limit"), ("limit=5&limit=6", "limit"), ("cursor=nonsense", "cursor"), ("state=fine", "state")),
        *(("state=null", "state"), ("kind=null", "kind"), ("cursor=null", "cursor"), ("label=null", "label")),
        *(("kind=carrier-pigeon", "kind"), ("label=nothing", "label"), ("label=:x", "label"), ("Limit=5", "Limit")),
        *(("tenant_id=x", "tenant_id"), ("name=" + "x" * 201, "name")),
    ],
)
async def test_a_bad_parameter_is_named(start_gateway: StartGateway, query: str, field: str) -> None:
    async with start_gateway() as instance, instance.api() as api:
        problem = check_problem(await api.ask("GET", f"{V2}/monitors?{query}"), 422)
        assert [error["field"] for error in problem["errors"]] == [field]
        assert problem["errors"][0]["detail"]


async def test_bodies_that_are_almost_right_are_refused_by_the_name_of_the_field(start_gateway: StartGateway) -> None:
    tables = [(f"{V2}/monitors", INVALID_MONITORS), (f"{V2}/keys", INVALID_KEYS), (f"{V2}/checks", INVALID_CHECKS)]
    async with start_gateway() as instance, instance.api() as api:
        for path, table in tables:
            for body, field, words in table:
                problem = check_problem(await api.ask("POST", path, body), 422)
                assert problem["errors"][0]["field"] == field
                assert words in problem["errors"][0]["detail"]
        assert (await api.get(f"{V2}/monitors"))["items"] == []


async def test_a_body_that_is_no_json_object_is_malformed(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        for raw in INVALID_JSON:
            problem = check_problem(await api.ask("POST", f"{V2}/monitors", msgspec.Raw(raw)), 400)
            assert "JSON" in problem["detail"]
        check_problem(await api.ask("POST", f"{V2}/monitors"), 400)
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/xml", "nonsense"):
            check_problem(await api.ask("POST", f"{V2}/monitors", VALID_MONITOR, content_type=kind), 415)
        for kind in ("application/json; charset=utf-8", "application/x-www-form-urlencoded", ""):
            assert (await api.ask("POST", f"{V2}/monitors", VALID_MONITOR, content_type=kind)).status == 201
        check_problem(await api.ask("POST", f"{V2}/monitors", []), 422)


async def test_a_body_beyond_the_bound_is_too_large(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        check_problem(await api.ask("POST", f"{V2}/monitors", VALID_MONITOR | {"name": "x" * BODY_BYTES_MAX}), 413)
        assert await api.get(f"{V2}/me")


async def test_unknown_paths_and_methods_are_problems(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        for path in ("/nothing", V2, f"{V2}/", f"{V2}/nothing", f"{V2}/monitors/a/b/c", "/health", "/schema"):
            check_problem(await api.ask("GET", path), 404)
        check_problem(await api.ask("GET", f"{V2}/monitors/not-an-id"), 404)
        check_problem(await api.ask("GET", f"{V2}/monitors/019b76da-a800-7c6e-9d5e-4a5d1f0c2b11"), 404)
        answer = await api.ask("PUT", f"{V2}/monitors")
        check_problem(answer, 405)
        assert "POST" in answer.headers["allow"]
        check_problem(await api.ask("DELETE", "/docs"), 405)


async def test_an_instant_must_be_one_and_the_right_way_round(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        path = f"{V2}/monitors/{(await create_monitor(api))['id']}/uptime"
        for value in (
            "yesterday",
            "2026-07-01",
            "2026-07-01T12:00:00",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
        ):
            problem = check_problem(await api.ask("GET", f"{path}?from={value}"), 422)
            assert problem["errors"][0]["field"] == "from"
        backwards = "from=2026-07-02T00:00:00Z&to=2026-07-01T00:00:00Z"
        assert check_problem(await api.ask("GET", f"{path}?{backwards}"), 422)["errors"][0]["field"] == "from"


async def test_an_idempotency_key_makes_one_monitor_and_refuses_another_body(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        first = await api.ask("POST", f"{V2}/monitors", VALID_MONITOR, idempotency_key="order-17")
        again = await api.ask(
            "POST", f"{V2}/monitors", dict(reversed(VALID_MONITOR.items())), idempotency_key="order-17"
        )
        assert (first.status, again.status) == (201, 201)
        assert again.body["id"] == first.body["id"]
        other = await api.ask("POST", f"{V2}/monitors", VALID_MONITOR | {"name": "other"}, idempotency_key="order-17")
        check_problem(other, 409)
        check_problem(await api.ask("POST", f"{V2}/keys", VALID_KEY, idempotency_key="order-17"), 409)
        assert len((await api.get(f"{V2}/monitors"))["items"]) == 1
        bad = await api.ask("POST", f"{V2}/monitors", VALID_MONITOR, idempotency_key="x" * 256)
        assert check_problem(bad, 422)["errors"][0]["field"] == "Idempotency-Key"


async def test_a_check_that_no_prober_takes_ends_in_a_clear_504(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        body = {"spec": VALID_MONITOR["spec"], "timeout_s": 0.1, "location": "nowhere"}
        problem = check_problem(await api.ask("POST", f"{V2}/checks", body), 504)
        assert "'http'" in problem["detail"]
        assert "'nowhere'" in problem["detail"]
        missing = {"monitor_id": "019b76da-a800-7c6e-9d5e-4a5d1f0c2b11"}
        check_problem(await api.ask("POST", f"{V2}/checks", missing), 404)
        monitor = await create_monitor(api)
        elsewhere = {"monitor_id": monitor["id"], "location": "nowhere"}
        assert check_problem(await api.ask("POST", f"{V2}/checks", elsewhere), 422)["errors"][0]["field"] == "location"


async def test_the_documentation_needs_no_key_and_no_other_host(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api("") as api:
        root = await api.ask("GET", "/")
        assert (root.status, root.headers["location"]) == (307, "/docs")
        page = await api.ask("GET", "/docs")
        assert page.status == 200
        assert page.headers["content-type"].startswith("text/html")
        document = await api.get(f"{V2}/openapi.json")
        assert document["openapi"].startswith("3.1")
        assert document["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}


async def test_health_and_metrics_are_served_beside_the_api(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api("") as api:
        assert (await api.ask("GET", "/health/live")).status == 200
        ready = await api.ask("GET", "/health/ready")
        assert ready.body["checks"]["gateway.results"] == "ok"
        await api.ask("GET", f"{V2}/me")
        metrics = (await api.ask("GET", "/metrics")).body.decode()
        assert 'vedette_gateway_requests_total{method="GET",status="401"}' in metrics
