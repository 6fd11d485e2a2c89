"""Secrets over HTTP: created, kept, replaced, and never returned."""

from typing import Any

import pytest

from libs.sealing.keys import new_key
from services.http.__main__ import service as http
from tests.integration.gateway.conftest import StartGateway
from tests.integration.gateway.native.test_native_api import V2, check_problem
from tests.support.client import Api
from tests.support.target import serve_target

KEPT = {"sealed": True}
KEYS = (new_key(),)
URL = "http://a.example/"


def body(**spec: Any) -> dict[str, Any]:
    return {"name": "m", "interval_s": 60, "enabled": False, "spec": {"kind": "http", "url": URL, **spec}}


async def create(api: Api, **spec: Any) -> str:
    return f"{V2}/monitors/{(await api.post(f'{V2}/monitors', body(**spec)))['id']}"


@pytest.mark.parametrize(
    "way",
    [
        {"url": "http://evil.example/"},
        {"url": "http://a.example:8080/"},
        {"url": "https://a.example/"},
        {"resolve_to": "192.0.2.66"},
        {"headers": {"Host": "evil.example"}},
    ],
)
async def test_a_kept_secret_does_not_follow_to_another_host(start_gateway: StartGateway, way: dict[str, Any]) -> None:
    async with start_gateway(sealing_keys=KEYS) as instance, instance.api() as api:
        path = await create(api, bearer_token="SECRET")
        moved = {**body(bearer_token=KEPT)["spec"], **way}
        problem = check_problem(await api.ask("PATCH", path, {"spec": moved}), 422)
        assert problem["errors"][0]["field"] == "spec.bearer_token"
        assert "was given for http://a.example" in problem["errors"][0]["detail"]
        changed = await api.patch(path, {"spec": {**moved, "bearer_token": "SECRET"}})
        assert changed["spec"]["bearer_token"] == KEPT


async def test_a_secret_stays_where_the_spec_changes_and_goes_where_it_is_left_out(start_gateway: StartGateway) -> None:
    async with start_gateway(sealing_keys=KEYS) as instance, instance.api() as api:
        path = await create(api, bearer_token="SECRET", headers={"Cookie": "SECRET"})
        spec = body(bearer_token=KEPT, url=f"{URL}other", headers={})["spec"]
        changed = await api.patch(path, {"spec": spec})
        assert changed["spec"] == {"kind": "http", "url": f"{URL}other", "bearer_token": KEPT}
        assert await api.get(path) == changed
        gone = await api.ask("PATCH", path, {"spec": body(headers={"Cookie": KEPT})["spec"]})
        assert check_problem(gone, 422)["errors"][0]["field"] == "spec.headers.Cookie"


async def test_a_repeated_create_is_known_by_its_secrets_without_showing_them(start_gateway: StartGateway) -> None:
    async with start_gateway(sealing_keys=KEYS) as instance, instance.api() as api:
        made = [
            await api.ask("POST", f"{V2}/monitors", body(bearer_token=token), idempotency_key="k")
            for token in ("SECRET", "SECRET", "OTHER")
        ]
        assert [answer.status for answer in made] == [201, 201, 409]
        assert made[0].body == made[1].body
        assert made[0].body["spec"]["bearer_token"] == KEPT


async def test_a_check_now_takes_secrets_and_a_paused_monitor_uses_its_own(start_gateway: StartGateway) -> None:
    async with serve_target() as target, start_gateway(http(), sealing_keys=KEYS) as instance, instance.api() as api:
        spec = {"kind": "http", "url": target.url("/a"), "basic_auth": {"username": "a", "password": "SECRET"}}
        assert (await api.post(f"{V2}/checks", {"spec": spec}))["reason"] == "ok"
        path = await create(api, **spec)
        assert (await api.post(f"{V2}/checks", {"monitor_id": path.rpartition("/")[2]}))["reason"] == "ok"
        problem = check_problem(await api.ask("POST", f"{V2}/checks", {"spec": {**spec, "basic_auth": KEPT}}), 422)
        assert problem["errors"][0]["field"] == "spec.basic_auth"
