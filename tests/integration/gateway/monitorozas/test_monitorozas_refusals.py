"""The error table of /api/v1 over HTTP, in the order of the checks."""

import asyncio
import json
from typing import Any

from libs.process.run import running_services
from libs.process.settings import Settings
from libs.store.core.pool import open_store
from services.gateway.__main__ import service as gateway
from services.gateway.web.strict_body import BODY_BYTES_MAX
from tests.integration.gateway.conftest import RunningGateway, StartGateway
from tests.integration.gateway.monitorozas.test_monitorozas import (
    BLACKLIST,
    DEVICES,
    V1,
    WEB,
    check_failure,
    check_success,
    create_asset,
    list_assets,
)
from tests.integration.gateway.native.test_keys import create_key
from tests.support.client import Answer, Api, read_answer
from tests.support.ports import free_port
from tests.support.servers import NatsServer, PostgresServer
from tests.support.wait import eventually

CREATE = f"{DEVICES}/create"

KEYS = {
    "missing_api_key": [
        *("X: y", "X-Api-Key: KEY", "Authorization:", "Authorization: KEY", "Authorization: Basic S0VZ"),
        *("Authorization: Bearer", "Authorization: Bearer "),
    ],
    "invalid_api_key": [
        *("Authorization: Bearer vdt_wrong", "Authorization: Bearer KEY x", "Authorization: Bearer \xff\xfe"),
        *(f"Authorization: Bearer {'x' * 5000}", "Authorization: Bearer KEY\nAuthorization: Bearer KEY"),
        "Authorization: Bearer KEY\nAuthorization: Basic S0VZ",
    ],
}
# Method, path, code, and the method that would be right there.
ROUTES = [
    ("GET", "/devices/31", "unknown_devices_route", ""),
    ("GET", "/devices/create/x", "unknown_devices_route", ""),
    ("GET", "/blacklist-monitors/list", "unknown_blacklist_monitors_route", ""),
    ("GET", "/monitors", "unknown_api_route", ""),
    ("GET", "", "unknown_api_route", ""),
    ("GET", "/%FF%00/..", "unknown_api_route", ""),
    ("GET", "/devices%2Fcreate%2F", "unknown_devices_route", "POST"),
    ("PUT", "/devices", "unknown_devices_route", "GET"),
    ("GET", "/devices/create", "unknown_devices_route", "POST"),
    ("POST", "/devices/delete?id=1", "unknown_devices_route", "DELETE"),
    ("PATCH", "/blacklist-monitors", "unknown_blacklist_monitors_route", "GET"),
    ("POST", "/me", "unknown_api_route", "GET"),
    ("PROPFIND", "/me", "unknown_api_route", "GET"),
]
NOT_OBJECTS = [
    *(b"", b"{", b"[]", b"null", b'"x"', b"17", b"target_type=domain", b"\xff\xfe", b'{"target_value": "\xff"}'),
    *(b'{"target_value": "\\ud800"}', b"[" * 10_000, b'{"a":' * 10_000, b'{"a": NaN}', b"\xef\xbb\xbf{}", b"\0"),
    *(b'{"a": 1} x', b'{"a": ' + b"9" * 10_000 + b"}", b'{"a": 1e999}'),
]
# Over a body that is good: fields of both resources, and the code.
FIELDS: list[tuple[dict[str, Any], str]] = [
    *[({"target_type": None}, "invalid_target_type"), ({"target_type": "url"}, "invalid_target_type")],
    *[({"target_value": None}, "missing_target_value"), ({"target_value": ""}, "missing_target_value")],
    *[({"target_value": "http://pelda.hu"}, "invalid_target_value"), ({"target_value": 5}, "invalid_target_value")],
    *[({"target_value": "192.0.2.1"}, "invalid_target_value"), ({"target_value": "a\0b"}, "invalid_target_value")],
    *[({"is_enabled": "1"}, "invalid_is_enabled"), ({"is_enabled": 2}, "invalid_is_enabled")],
]
DEVICE_FIELDS: list[tuple[dict[str, Any], str]] = [
    *[({"service_type": "gopher"}, "invalid_service_type"), ({"scheme": "ftp"}, "invalid_scheme")],
    *[({"port": 0}, "invalid_port"), ({"port": "80"}, "invalid_port"), ({"port": 80.0}, "invalid_port")],
    *[({"expect_status": 99}, "invalid_expect_status"), ({"host_header": "a b"}, "invalid_host_header")],
    *[({"origin_host": "::1::"}, "invalid_origin_host"), ({"check_public_tls": 5}, "invalid_check_public_tls")],
    *[({"check_public_https": 0, "check_public_tls": 0}, "invalid_checks"), ({"location": 1}, "invalid_location")],
    ({"target_type": "ip", "target_value": "224.0.0.1", "service_type": "ping"}, "invalid_target_value"),
]


async def send_raw(instance: RunningGateway, head: str, body: bytes = b"", *, key: str | None = None) -> Answer:
    """Returns the answer to a request whose head is exactly these lines, with the key unless it is empty."""
    reader, writer = await asyncio.open_connection("127.0.0.1", instance.port)
    authorization = f"\nAuthorization: Bearer {instance.key if key is None else key}" if key != "" else ""
    writer.write(f"{head}\nHost: x{authorization}\n\n".replace("\n", "\r\n").encode("latin-1") + body)
    async with asyncio.timeout(10):
        answer = await read_answer(reader)
    writer.close()
    await writer.wait_closed()
    return answer


async def post_raw(
    instance: RunningGateway, body: bytes, content_type: str = "application/json", path: str = CREATE
) -> Answer:
    head = f"POST {path} HTTP/1.1\nContent-Type: {content_type}\nContent-Length: {len(body)}"
    return await send_raw(instance, head, body)


async def test_only_one_bearer_header_with_a_known_key_gets_in(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance:
        for code, headers in KEYS.items():
            for header in headers:
                answer = await send_raw(
                    instance, f"GET {V1}/me HTTP/1.1\n{header.replace('KEY', instance.key)}", key=""
                )
                message = check_failure(answer, 401, code)
                assert instance.key not in message
                assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_revoked_key_is_invalid(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        key = await create_key(api, "read")
        async with instance.api(key["key"]) as other:
            check_success(await other.ask("GET", f"{V1}/me"))
            await api.delete(f"/api/v2/keys/{key['id']}")

            async def refused() -> bool:
                return (await other.ask("GET", f"{V1}/me")).status == 401

            await eventually(refused, within_s=5, what="the revocation")
            check_failure(await other.ask("GET", f"{V1}/me"), 401, "invalid_api_key")


async def test_a_key_that_only_reads_writes_nothing(start_gateway: StartGateway) -> None:
    async with (
        start_gateway() as instance,
        instance.api() as api,
        instance.api((await create_key(api, "read"))["key"]) as reader,
    ):
        for path in (f"{V1}/me", DEVICES, BLACKLIST):
            check_success(await reader.ask("GET", path))
        for base in (DEVICES, BLACKLIST):
            check_failure(await reader.ask("POST", f"{base}/create", {"bad": "body"}), 403, "insufficient_scope")
            check_failure(await reader.ask("DELETE", f"{base}/delete?id=x"), 403, "insufficient_scope")
        async with instance.api((await create_key(api, "write"))["key"]) as writer:
            await create_asset(writer, WEB)


async def test_a_key_of_another_network_is_refused_before_its_scope_is_looked_at(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        key = await create_key(api, "read", cidrs=["198.51.100.0/24"])
        async with instance.api(key["key"]) as other:
            check_failure(await other.ask("GET", f"{V1}/me"), 403, "ip_not_allowed")
            check_failure(await other.ask("POST", CREATE, WEB), 403, "ip_not_allowed")


async def test_the_rate_limit_is_checked_before_scope_and_body(start_gateway: StartGateway) -> None:
    async with start_gateway(key_requests_per_s=0.1, key_requests_burst=5) as instance, instance.api() as admin:
        reader = await create_key(admin, "read")
        async with instance.api(reader["key"]) as api:
            while (answer := await api.ask("GET", f"{V1}/me")).status == 200:
                pass
            check_failure(answer, 429, "rate_limit_exceeded")
            assert 1 <= int(answer.headers["retry-after"]) <= 10
            check_failure(await api.ask("POST", CREATE, {}), 429, "rate_limit_exceeded")


async def test_an_exhausted_quota_has_its_own_code(start_gateway: StartGateway) -> None:
    async with start_gateway(tenant_monitors_max=2) as instance, instance.api() as api:
        await create_asset(api, WEB)
        check_failure(await api.ask("POST", CREATE, WEB | {"target_value": "other.example"}), 403, "quota_exceeded")
        assert len(await list_assets(api)) == 1


async def test_an_unknown_route_is_reported_before_the_key_is_checked(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance:
        for method, path, code, allowed in ROUTES:
            answer = await send_raw(instance, f"{method} {V1}{path} HTTP/1.1", key="")
            check_failure(answer, 404, code)
            assert allowed in answer.headers.get("allow", "")
            assert ("allow" in answer.headers) == bool(allowed)


async def test_what_is_no_json_object_is_refused(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance:
        for body in NOT_OBJECTS:
            for base in (DEVICES, BLACKLIST):
                check_failure(await post_raw(instance, body, path=f"{base}/create"), 400, "invalid_json")


async def test_json_is_json_whatever_it_is_called(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        for index, name in enumerate(
            ("application/json", "application/x-www-form-urlencoded", "text/plain", "", "x/\xff")
        ):
            body = json.dumps({**WEB, "target_value": f"host{index}.pelda.hu"}).encode()
            check_success(await post_raw(instance, body, name), 201)
        assert len(await list_assets(api)) == 5


async def test_a_bad_field_is_named_by_its_code(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        for fields, code in FIELDS:
            for base in (DEVICES, BLACKLIST):
                message = check_failure(await api.ask("POST", f"{base}/create", WEB | fields), 400, code)
                assert code.partition("_")[2] in message
            assert await list_assets(api, base) == []


async def test_a_bad_field_of_a_device_is_named_by_its_code(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        for fields, code in DEVICE_FIELDS:
            check_failure(await api.ask("POST", CREATE, WEB | fields), 400, code)
        assert await list_assets(api) == []


async def test_an_address_that_our_probers_may_not_reach_is_refused(start_gateway: StartGateway) -> None:
    async with start_gateway(egress_private=False, egress_deny=("9.9.9.9/32",)) as instance, instance.api() as api:
        for address in ("10.0.0.1", "[::1]", "::ffff:127.0.0.1", "9.9.9.9", "169.254.169.254"):
            body = {"target_type": "ip", "target_value": address}
            check_failure(await api.ask("POST", CREATE, body), 400, "invalid_target_value")
            check_failure(await api.ask("POST", CREATE, {**WEB, "origin_host": address}), 400, "invalid_origin_host")
        await create_asset(api, {"target_type": "ip", "target_value": "9.9.9.10"})


async def test_private_addresses_are_taken_where_the_prober_may_go_there(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        await create_asset(api, {"target_type": "ip", "target_value": "10.0.0.1"})


async def test_an_id_that_is_no_integer_is_refused(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        for query in ("", "?id", "?id=", "?id=x", "?id=1.0", "?id=-1", "?id=0", "?id=1&id=2", "?id=%FF", "?ID=1"):
            for base in (DEVICES, BLACKLIST):
                check_failure(await api.ask("DELETE", f"{base}/delete{query}"), 400, "invalid_id")


async def test_an_id_that_nothing_has_is_unknown(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        for number in ("1", "2147483648", "9" * 18):
            check_failure(await api.ask("DELETE", f"{DEVICES}/delete?id={number}"), 404, "unknown_device")
            check_failure(await api.ask("DELETE", f"{BLACKLIST}/delete?id={number}"), 404, "unknown_blacklist_monitor")


async def test_a_duplicate_is_reported_after_all_other_errors(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        await create_asset(api, WEB)
        check_failure(await api.ask("POST", CREATE, {**WEB, "port": "443"}), 400, "invalid_port")
        check_failure(await api.ask("POST", CREATE, {**WEB, "location": "another note"}), 409, "duplicate_device")
        assert len(await list_assets(api)) == 1


async def test_a_body_that_is_too_large_is_refused(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance:
        body = json.dumps({**WEB, "more": "x" * BODY_BYTES_MAX}).encode()
        check_failure(await post_raw(instance, body), 413, "body_too_large")
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        head = f"POST {CREATE} HTTP/1.1\nTransfer-Encoding: chunked"
        check_failure(await send_raw(instance, head, chunks), 413, "body_too_large")
        fits = json.dumps({**WEB, "more": "x" * (BODY_BYTES_MAX - 200)}).encode()
        check_success(await post_raw(instance, fits), 201)


async def test_without_the_results_service_every_request_fails_fast_with_a_server_error(nats_url: str) -> None:
    settings = Settings(nats_url=nats_url, port=free_port(), health_port=0)
    async with running_services((gateway(),), settings), Api(settings.port, "vdt_any", timeout_s=5) as api:
        for method, path in (("GET", f"{V1}/me"), ("GET", DEVICES), ("POST", CREATE), ("DELETE", f"{DEVICES}/delete")):
            answer = await api.ask(method, path)
            check_failure(answer, 500, "server_error")
            assert answer.headers["retry-after"]


async def test_while_nats_is_away_it_is_an_error_of_the_server(
    start_gateway: StartGateway, nats_server: NatsServer
) -> None:
    async with start_gateway() as instance, instance.api() as api:
        check_success(await api.ask("GET", DEVICES))
        nats_server.kill()
        answer = await api.ask("POST", CREATE, WEB)
        check_failure(answer, 500, "server_error")
        assert answer.headers["retry-after"]
        nats_server.start()
        await _wait_until_served(api)
        assert await list_assets(api) == []  # what was refused is not done later


async def test_while_postgres_is_away_it_is_an_error_of_the_server(
    start_gateway: StartGateway, own_postgres_server: PostgresServer
) -> None:
    async with start_gateway(dsn=own_postgres_server.new_database()) as instance, instance.api() as api:
        check_success(await api.ask("GET", DEVICES))
        own_postgres_server.kill()
        check_failure(await api.ask("GET", DEVICES), 500, "server_error")
        own_postgres_server.start()
        await _wait_until_served(api)


async def _wait_until_served(api: Api) -> None:
    async def is_served() -> bool:
        return (await api.ask("GET", DEVICES)).status == 200

    await eventually(is_served, within_s=20, what="the API is back")


async def test_a_missing_table_has_its_own_code(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        check_success(await api.ask("GET", DEVICES))
        async with open_store(instance.context.settings.postgres_dsn) as store, store.transaction() as db:
            await db.run("DROP TABLE asset_parts, assets")
        check_failure(await api.ask("GET", DEVICES), 500, "missing_table")
        check_failure(await api.ask("POST", CREATE, WEB), 500, "missing_table")
        check_failure(await api.ask("DELETE", f"{BLACKLIST}/delete?id=1"), 500, "missing_table")
        check_success(await api.ask("GET", f"{V1}/me"))
