"""The Monitorozás API over HTTP, with the real results service: requests and their effects."""

import asyncio
from typing import Any

import msgspec

from libs.model.asset import CreateAsset
from libs.model.ids import new_id
from libs.model.monitor import DEFAULT_LOCATION
from libs.model.requests.messages import CreateKey
from libs.model.tenancy import Scope
from libs.store.core.pool import open_store
from services.gateway.assets import PAGE_SIZE
from services.gateway.dialects.monitorozas.constants import DEVICE, DIALECT
from tests.integration.gateway.conftest import RunningGateway, StartGateway
from tests.integration.gateway.native.test_keys import create_key
from tests.integration.gateway.native.test_native_api import V2
from tests.integration.gateway.native.test_stream import tenant_of
from tests.support.client import Answer, Api

V1 = "/api/v1"
DEVICES, BLACKLIST = f"{V1}/devices", f"{V1}/blacklist-monitors"
WEB = {"target_type": "domain", "target_value": "pelda.hu"}
SSH = {**WEB, "service_type": "ssh"}
LISTED = {"target_type": "ip", "target_value": "192.0.2.1"}


def check_success(answer: Answer, status: int = 200) -> Any:
    """Returns the data of an answer that must be good."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.body) == {"success", "data"}
    assert answer.body["success"] is True
    return answer.body["data"]


def check_failure(answer: Answer, status: int, code: str) -> str:
    """Returns the message of an answer that must be bad."""
    assert (answer.status, answer.body["error"]) == (status, code), answer
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.body) == {"success", "error", "message"}
    assert answer.body["success"] is False
    message: str = answer.body["message"]
    assert message
    return message


async def create_asset(api: Api, body: dict[str, Any], path: str = DEVICES) -> Any:
    return check_success(await api.ask("POST", f"{path}/create", body), 201)


async def list_assets(api: Api, path: str = DEVICES) -> list[Any]:
    data: list[Any] = check_success(await api.ask("GET", path))
    return data


async def list_monitors(api: Api) -> dict[str, Any]:
    """Returns the monitors as the native API shows them, by their ids."""
    return {item["id"]: item for item in (await api.get(f"{V2}/monitors?limit=500"))["items"]}


async def test_me_returns_the_tenant_and_scopes_of_the_key(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        me = check_success(await api.ask("GET", f"{V1}/me"))
        assert set(me) == {"user_id", "key_id", "scopes"}
        assert isinstance(me["user_id"], int)
        assert isinstance(me["key_id"], int)
        for scope, shown in (("read", ["read"]), ("write", ["read", "write"]), ("admin", ["read", "write"])):
            async with instance.api((await create_key(api, scope))["key"]) as other:
                assert check_success(await other.ask("GET", f"{V1}/me"))["scopes"] == shown


async def test_a_device_is_created_listed_and_deleted(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        device = await create_asset(api, {**WEB, "location": "API teszt", "unknown": {"field": 1}})
        assert device["id"] == 1
        assert (device["target_value"], device["service_type"], device["location"]) == ("pelda.hu", "web", "API teszt")
        assert (device["last_status"], device["last_check_at"], device["last_error"]) == ("unknown", None, None)
        assert set(device["checks"]) == {"public_https", "public_tls"}
        assert (await create_asset(api, SSH))["id"] == 2
        assert [each["id"] for each in await list_assets(api)] == [1, 2]
        assert (await list_assets(api))[0] == device
        assert check_success(await api.ask("DELETE", f"{DEVICES}/delete?id=1")) == {"id": 1, "deleted": True}
        assert [each["id"] for each in await list_assets(api)] == [2]
        check_failure(await api.ask("DELETE", f"{DEVICES}/delete?id=1"), 404, "unknown_device")
        assert (await create_asset(api, WEB))["id"] == 3  # a number never comes back


async def test_the_native_api_shows_the_same_monitors(start_gateway: StartGateway) -> None:
    body = {**WEB, "proxy_enabled": 1, "origin_host": "192.0.2.7", "host_header": "www.pelda.hu", "expect_status": 200}
    async with start_gateway() as instance, instance.api() as api:
        device = await create_asset(api, body)
        found = await list_monitors(api)
        parts = {name: found[part["monitor_id"]] for name, part in device["checks"].items()}
        assert len(found) == len(parts) == 4
        assert {part["name"] for part in found.values()} == {
            *("pelda.hu public https", "pelda.hu public tls", "pelda.hu origin http", "pelda.hu origin tls")
        }
        assert parts["origin_http"]["spec"]["headers"] == {"Host": "www.pelda.hu"}
        for part in found.values():
            assert (part["interval_s"], part["timeout_s"], part["locations"]) == (60, 10, [DEFAULT_LOCATION])
            assert part["labels"] == {f"{DIALECT}/{DEVICE}": "1"}
        assert len((await api.get(f"{V2}/monitors?label={DIALECT}/{DEVICE}:1"))["items"]) == 4
        check_success(await api.ask("DELETE", f"{DEVICES}/delete?id=1"))
        assert await list_monitors(api) == {}


async def test_what_happens_to_the_monitors_natively_is_seen(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        device = await create_asset(api, {**WEB, "is_enabled": False})
        assert device["is_enabled"] == 0
        https, tls = (device["checks"][part]["monitor_id"] for part in ("public_https", "public_tls"))
        await api.patch(f"{V2}/monitors/{tls}", {"enabled": True})
        assert (await list_assets(api))[0]["is_enabled"] == 1
        await api.delete(f"{V2}/monitors/{tls}")
        (seen,) = await list_assets(api)
        assert (seen["is_enabled"], set(seen["checks"])) == (0, {"public_https"})
        await api.delete(f"{V2}/monitors/{https}")
        (seen,) = await list_assets(api)
        assert (seen["checks"], seen["last_status"], seen["is_enabled"]) == ({}, "unknown", 0)
        check_success(await api.ask("DELETE", f"{DEVICES}/delete?id=1"))


_ADD_RESULT = """
INSERT INTO results (monitor_id, location, tick_at, origin, revision, interval_s, status, reason, detail, started_at,
                     duration_s, samples, hops, prober)
VALUES ($1, 'local', $2, 'tick', 1, 60, $3, $4, $5, $2, 0.1, '{}', '[]', 'p')
"""


async def test_a_device_is_as_well_as_the_worst_of_its_parts(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        device = await create_asset(api, {**WEB, "is_enabled": 0})
        await _add_result(instance, device["checks"]["public_https"]["monitor_id"], "up", "ok", "")
        (seen,) = await list_assets(api)
        assert (seen["last_status"], seen["last_error"]) == ("unknown", None)
        assert seen["checks"]["public_https"]["last_status"] == "up"
        await _add_result(instance, device["checks"]["public_tls"]["monitor_id"], "down", "refused", "Nobody listens.")
        (seen,) = await list_assets(api)
        assert (seen["last_status"], seen["last_error"]) == ("down", "refused: Nobody listens.")
        assert seen["checks"]["public_tls"]["last_error"] == "refused: Nobody listens."
        assert seen["checks"]["public_https"]["last_error"] is None
        assert seen["last_check_at"] == seen["checks"]["public_tls"]["last_check_at"]


async def _add_result(instance: RunningGateway, monitor_id: str, status: str, reason: str, detail: str) -> None:
    """Stores a result, as the ingest would."""
    now = instance.context.clock()
    async with open_store(instance.context.settings.postgres_dsn) as store, store.transaction() as db:
        await db.run(_ADD_RESULT, monitor_id, now, status, reason, detail)
        await db.run(
            "UPDATE confirmations SET last_tick_at = $2, ticked_at = $2 WHERE monitor_id = $1", monitor_id, now
        )


async def test_one_of_many_concurrent_creations_of_a_device_succeeds(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        spellings = [WEB, {**WEB, "target_value": "PELDA.HU."}, {**WEB, "port": 443}, {**WEB, "scheme": "https"}] * 3

        async def ask(body: dict[str, Any]) -> Answer:
            async with instance.api() as own:
                return await own.ask("POST", f"{DEVICES}/create", body)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(body)) for body in spellings]
        answers = sorted((task.result() for task in tasks), key=lambda answer: answer.status)
        check_success(answers[0], 201)
        for answer in answers[1:]:
            check_failure(answer, 409, "duplicate_device")
        assert len(await list_assets(api)) == 1
        assert len(await list_monitors(api)) == 2


async def test_a_client_sees_and_deletes_only_what_is_its_own(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        device, monitor = await create_asset(api, WEB), await create_asset(api, LISTED, BLACKLIST)
        async with instance.api(await _other_tenants_key(instance)) as other:
            assert await list_assets(other) == []
            assert await list_assets(other, BLACKLIST) == []
            check_failure(await other.ask("DELETE", f"{DEVICES}/delete?id={device['id']}"), 404, "unknown_device")
            path = f"{BLACKLIST}/delete?id={monitor['id']}"
            check_failure(await other.ask("DELETE", path), 404, "unknown_blacklist_monitor")
            assert (await create_asset(other, WEB))["id"] == device["id"]  # each tenant counts for itself
        assert await list_assets(api) == [device]
        assert await list_assets(api, BLACKLIST) == [monitor]


async def test_more_devices_than_one_page_holds_are_all_listed(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        count, tenant_id = 2 * PAGE_SIZE + 1, await tenant_of(api)
        for index in range(count):
            request = _without_parts(tenant_id, f"host{index}.pelda.hu")
            await instance.context.bus.request(request)
        assert [device["id"] for device in await list_assets(api)] == [*range(1, count + 1)]


def _without_parts(tenant_id: str, name: str) -> CreateAsset:
    fields = msgspec.Raw(msgspec.json.encode({**WEB, "target_value": name}))
    return CreateAsset(tenant_id=tenant_id, dialect=DIALECT, sort=DEVICE, identity=name, fields=fields, parts={})


async def _other_tenants_key(instance: RunningGateway) -> str:
    """Returns a key that may write, of a tenant that has nothing yet."""
    tenant_id = new_id()
    async with open_store(instance.context.settings.postgres_dsn) as store, store.transaction() as db:
        await db.run("INSERT INTO tenants (id, name) VALUES ($1, 'other')", tenant_id)
    request = CreateKey(tenant_id=tenant_id, name="k", scopes=[Scope.WRITE])
    return (await instance.context.bus.request(request)).key


async def test_a_blacklist_monitor_is_created_listed_and_deleted(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        name = {"target_type": "domain", "target_value": "SMTP1.pelda.hu", "is_enabled": 1}
        one, other = (
            await create_asset(api, name, BLACKLIST),
            await create_asset(api, {**LISTED, "is_enabled": False}, BLACKLIST),
        )
        assert one.items() >= {"id": 1, "target_value": "smtp1.pelda.hu", "is_enabled": 1, "listed_on": []}.items()
        assert other.items() >= {"id": 2, "target_value": "192.0.2.1", "is_enabled": 0}.items()
        assert (one["last_status"], one["last_check_at"], one["last_error"]) == ("unknown", None, None)
        assert await list_assets(api, BLACKLIST) == [one, other]
        found = [(each["kind"], each["interval_s"], each["enabled"]) for each in (await list_monitors(api)).values()]
        assert found == [("dnsbl", 3600, False), ("dnsbl", 3600, True)]
        check_failure(await api.ask("POST", f"{BLACKLIST}/create", name), 409, "duplicate_blacklist_monitor")
        assert check_success(await api.ask("DELETE", f"{BLACKLIST}/delete?id=2")) == {"id": 2, "deleted": True}
        assert await list_assets(api, BLACKLIST) == [one]


async def test_devices_and_blacklist_monitors_are_counted_apart(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        await create_asset(api, WEB)
        assert (await create_asset(api, WEB, BLACKLIST))["id"] == 1
        check_success(await api.ask("DELETE", f"{BLACKLIST}/delete?id=1"))
        assert len(await list_assets(api)) == 1
