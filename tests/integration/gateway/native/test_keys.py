"""API keys over HTTP: authentication, scopes, networks, expiry and revocation."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from libs.model.ids import new_id
from tests.integration.gateway.conftest import RunningGateway, StartGateway
from tests.integration.gateway.native.test_native_api import V2, check_problem
from tests.support.client import Api
from tests.support.wait import eventually
from tests.unit.gateway.invalid_bodies import VALID_MONITOR


async def create_key(api: Api, *scopes: str, **fields: Any) -> Any:
    return await api.post(f"{V2}/keys", {"name": "k", "scopes": list(scopes)} | fields)


async def raw_status(instance: RunningGateway, *headers: str) -> tuple[int, dict[str, str], Any]:
    """The answer to GET /me with exactly these header lines."""
    reader, writer = await asyncio.open_connection("127.0.0.1", instance.port)
    lines = "".join(f"{header}\r\n" for header in headers)
    writer.write(f"GET {V2}/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n".encode("latin-1"))
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    first, *rest = head.decode("latin-1").split("\r\n")
    fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in rest}
    return int(first.split(" ")[1]), fields, json.loads(body)


async def test_only_one_bearer_header_with_a_known_key_gets_in(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance:
        assert (await raw_status(instance, f"Authorization: Bearer {instance.key}"))[0] == 200
        assert (await raw_status(instance, f"authorization: bearer  {instance.key} "))[0] == 200
        refused = [
            *([], ["Authorization: "], ["Authorization: Bearer"], ["Authorization: Bearer "]),
            *(
                ["Authorization: Bearer vdt_wrong"],
                [f"Authorization: Basic {instance.key}"],
                [f"Authorization: {instance.key}"],
            ),
            *([f"Authorization: Bearer {instance.key}x"], [f"Authorization: Bearer {instance.key} x"]),
            *(
                [f"Authorization: Bearer {instance.key}", f"Authorization: Bearer {instance.key}"],
                [f"X-Api-Key: {instance.key}"],
            ),
            *(
                [f"Authorization: Bearer {instance.key}", "Authorization: Basic eDp5"],
                ["Authorization: Bearer \xff\xfe"],
            ),
            *([f"Authorization: Bearer {'x' * 5000}"], ["Authorization: Digest username=x"]),
        ]
        for headers in refused:
            status, fields, problem = await raw_status(instance, *headers)
            assert status == 401, headers
            assert fields["content-type"] == "application/problem+json"
            assert fields["www-authenticate"].startswith("Bearer ")
            assert problem["status"] == 401
            assert instance.key not in str(problem)


async def test_each_scope_opens_its_doors_and_those_of_lesser_ones(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as admin:
        for scope, reading, writing, managing in (
            ("read", 200, 403, 403),
            ("write", 200, 201, 403),
            ("admin", 200, 201, 200),
        ):
            key = (await create_key(admin, scope))["key"]
            async with instance.api(key) as api:
                assert (await api.ask("GET", f"{V2}/monitors")).status == reading
                assert (await api.ask("POST", f"{V2}/monitors", VALID_MONITOR)).status == writing
                managed = await api.ask("GET", f"{V2}/keys")
                assert managed.status == managing
                if managing == 403:
                    assert "'admin'" in check_problem(managed, 403)["detail"]


async def test_a_key_is_shown_once_and_listed_without_its_secret(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as admin:
        answer = await admin.ask(
            "POST", f"{V2}/keys", {"name": "dashboard", "scopes": ["read"], "cidrs": ["10.0.0.0/8"]}
        )
        assert answer.status == 201
        assert answer.headers["location"] == f"{V2}/keys/{answer.body['id']}"
        assert answer.headers["cache-control"] == "no-store"
        listed = await admin.ask("GET", f"{V2}/keys")
        assert {key["name"] for key in listed.body["items"]} == {"admin", "dashboard"}
        assert "vdt_" not in str(listed.body)
        async with instance.api((await create_key(admin, "read"))["key"]) as api:
            assert (await api.get(f"{V2}/me"))["scopes"] == ["read"]


async def test_a_key_works_from_its_networks_only(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as admin:
        outside = (await create_key(admin, "read", cidrs=["192.0.2.0/24", "2001:db8::/32"]))["key"]
        inside = (await create_key(admin, "read", cidrs=["192.0.2.0/24", "127.0.0.0/8"]))["key"]
        async with instance.api(outside) as api:
            assert "127.0.0.1" in check_problem(await api.ask("GET", f"{V2}/me"), 403)["detail"]
            check_problem(await api.ask("GET", f"{V2}/me", x_forwarded_for="192.0.2.1"), 403)
        async with instance.api(inside) as api:
            assert await api.get(f"{V2}/me")


async def test_behind_a_trusted_proxy_the_address_that_it_saw_counts(start_gateway: StartGateway) -> None:
    async with start_gateway(trusted_proxies=("127.0.0.0/8",)) as instance, instance.api() as admin:
        key = (await create_key(admin, "read", cidrs=["203.0.113.0/24"]))["key"]
        async with instance.api(key) as api:
            with structlog.testing.capture_logs() as logs:
                assert (await api.ask("GET", f"{V2}/me", x_forwarded_for="203.0.113.9")).status == 200
            assert [line["client"] for line in logs if line["event"] == "request.finished"] == ["203.0.113.9"]
            said = {
                "203.0.113.9, 192.0.2.1": "192.0.2.1",
                "203.0.113.9, unknown": "this address",
                "192.0.2.1": "192.0.2.1",
            }
            for text, place in said.items():
                detail = check_problem(await api.ask("GET", f"{V2}/me", x_forwarded_for=text), 403)["detail"]
                assert detail == f"The key may not be used from {place}."
            check_problem(await api.ask("GET", f"{V2}/me"), 403)


async def test_a_key_hands_out_no_scope_that_it_has_not(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as operator:
        first = await create_key(operator, "admin")
        body = {"name": "k", "scopes": ["read", "operator"]}
        assert (await operator.ask("POST", f"{V2}/keys", body)).status == 201
        async with instance.api(first["key"]) as admin:
            problem = check_problem(await admin.ask("POST", f"{V2}/keys", body), 422)
            assert problem["errors"][0]["field"] == "scopes[1]"
            assert (await create_key(admin, "admin", rate={"per_s": 2.5, "burst": 5}))["scopes"] == ["admin"]


async def test_an_admin_revokes_no_key_of_an_operator(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as operator:
        own, second = (await operator.get(f"{V2}/me"))["key_id"], (await create_key(operator, "operator"))["id"]
        async with instance.api((await create_key(operator, "admin"))["key"]) as admin:
            check_problem(await admin.ask("DELETE", f"{V2}/keys/{second}"), 409)
        assert (await operator.ask("DELETE", f"{V2}/keys/{second}")).status == 204
        check_problem(await operator.ask("DELETE", f"{V2}/keys/{own}"), 409)


async def test_a_key_expires_also_while_it_is_remembered(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as admin:
        soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        async with instance.api((await create_key(admin, "read", expires_at=soon))["key"]) as api:
            assert await api.get(f"{V2}/me")

            async def expired() -> bool:
                return (await api.ask("GET", f"{V2}/me")).status == 401

            assert await eventually(expired, within_s=5, what="the key expired")
        past = {"name": "k", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}
        assert check_problem(await admin.ask("POST", f"{V2}/keys", past), 422)["errors"][0]["field"] == "expires_at"


async def test_a_revoked_key_is_refused_at_once_though_it_is_remembered(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as admin:
        created = await create_key(admin, "read")
        async with instance.api(created["key"]) as api:
            assert await api.get(f"{V2}/me")
            assert (await admin.ask("DELETE", f"{V2}/keys/{created['id']}")).status == 204
            check_problem(await api.ask("GET", f"{V2}/me"), 401)
        check_problem(await admin.ask("DELETE", f"{V2}/keys/{created['id']}"), 404)
        own = (await admin.get(f"{V2}/me"))["key_id"]
        check_problem(await admin.ask("DELETE", f"{V2}/keys/{own}"), 409)


async def test_of_a_tenant_that_is_not_there_an_operator_sees_nothing(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as operator:
        own = (await operator.get(f"{V2}/me"))["tenant_id"]
        for what in ("", "/keys", "/audit"):
            assert (await operator.ask("GET", f"{V2}/tenants/{own}{what}")).status == 200
            problem = check_problem(await operator.ask("GET", f"{V2}/tenants/{new_id()}{what}"), 404)
            assert problem["detail"] == "There is no such tenant."
