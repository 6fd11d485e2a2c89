"""NATS access of tenants: an API key permits subscribing to the tenant's own subjects only."""

from datetime import timedelta

import nats
import pytest

from libs.model.requests.messages import ListKeys
from libs.model.tenancy import Scope, new_api_key
from libs.process.run import utc_now
from tests.integration.nats.conftest import OpenDeployment
from tests.support.guarded_nats import guest, is_let_in


async def test_a_tenant_receives_its_own_results_and_events(house: OpenDeployment) -> None:
    async with house() as home:
        tenant = await home.tenant()
        key = await tenant.key()
        async with guest(home.nats.tenant_url(key.key)) as own:
            for subject in (f"live.results.{tenant.id}.>", f"live.events.{tenant.id}.>", f"events.{tenant.id}.http.*"):
                await own.subscribe(subject)
            await home.publish_result(tenant.id, b'{"a": 1}')
            result = await own.next()
            await home.publish_event(tenant.id, b'{"b": 2}')
            events = {message.subject: message.data for message in (await own.next(), await own.next())}
        assert (result.subject, result.data) == (f"live.results.{tenant.id}.local.http.m1", b'{"a": 1}')
        event = f"events.{tenant.id}.http.m1"
        assert events == {event: b'{"b": 2}', f"live.{event}": b'{"b": 2}'}
        assert own.errors.empty()


def foreign_subjects(own: str, sibling: str) -> list[str]:
    """Returns subjects to which the tenant `own` must not subscribe."""
    return [
        *(
            f"live.results.{sibling}.>",
            f"live.events.{sibling}.>",
            f"events.{sibling}.>",
            f"live.results.{sibling}.*.>",
        ),
        *(">", "*", "live.>", "live.*.>", "live.results.>", "live.results.*.>", "live.*.*.>", "events.>", "events.*.>"),
        *(f"live.*.{own}.>", f"*.results.{own}.>", f"results.{own}.>", f"live.results.{own}", "results.>"),
        *("sched.>", "due.>", "rpc.>", "rpc.keys.authenticate", "control.>", "check_reply.>", "dead_letters.>"),
        *(
            "_INBOX.>",
            "_INBOX.x",
            "_INBOX_results.>",
            "_INBOX_gateway.>",
            "_INBOX_key.>",
            "$JS.API.>",
            "$JS.>",
            "$JS.ACK.>",
        ),
        *("$SYS.>", "$SYS.REQ.USER.AUTH", "$SYS._INBOX.>", "$KV.>", "$SRV.>"),
    ]


async def test_a_tenant_cannot_subscribe_to_any_other_subject(house: OpenDeployment) -> None:
    async with house() as home:
        own, sibling = await home.tenant(), await home.tenant()
        key = await own.key(Scope.ADMIN)
        async with guest(home.nats.tenant_url(key.key)) as client:
            for subject in foreign_subjects(own.id, sibling.id):
                refusal = await client.refusal_of_subscribing(subject)
                assert "permissions violation for subscription" in refusal, subject
            await client.subscribe(f"live.results.{own.id}.>")
            await home.publish_result(sibling.id)
            await home.publish_event(sibling.id)
            await home.publish_result(own.id)
            assert (await client.next()).subject == f"live.results.{own.id}.local.http.m1"
            assert client.messages.empty()


async def test_a_tenant_publishes_nothing(house: OpenDeployment) -> None:
    async with house() as home:
        tenant = await home.tenant()
        key = await tenant.key(Scope.ADMIN)
        subjects = [
            *(f"results.{tenant.id}.local.http.m1", f"live.results.{tenant.id}.x", f"events.{tenant.id}.http.m1"),
            *("rpc.tenants.bootstrap", "control.keys.revoked", "x", "_INBOX.x", "check_reply.x", "due.0.local.http.m1"),
            *("$JS.API.INFO", "$JS.API.STREAM.DELETE.RESULTS", "$JS.API.CONSUMER.CREATE.RESULTS", "$SYS.REQ.USER.AUTH"),
            *("$JS.ACK.RESULTS.ingest.1.1.1.1.0", "$SYS.REQ.SERVER.PING.CONNZ"),
        ]
        async with guest(home.nats.tenant_url(key.key)) as client:
            for subject in subjects:
                assert "permissions violation for publish" in await client.refusal_of_publishing(subject), subject
            assert client.client.is_connected


async def test_two_tenants_at_once_each_receive_their_own_messages(house: OpenDeployment) -> None:
    async with house() as home:
        both = [await home.tenant(), await home.tenant()]
        keys = [await tenant.key() for tenant in both]
        urls = [home.nats.tenant_url(key.key) for key in keys]
        async with guest(urls[0]) as first, guest(urls[1]) as second:
            for tenant, client in zip(both, (first, second), strict=True):
                await client.subscribe(f"live.results.{tenant.id}.>")
            for number in range(20):
                await home.publish_result(both[number % 2].id, str(number).encode())
            assert [(await first.next()).data for _ in range(10)] == [str(n).encode() for n in range(0, 20, 2)]
            assert [(await second.next()).data for _ in range(10)] == [str(n).encode() for n in range(1, 20, 2)]
            assert first.messages.empty()


async def test_only_a_valid_key_from_an_allowed_address_can_connect(house: OpenDeployment) -> None:
    async with house() as home:
        tenant = await home.tenant()
        soon = await tenant.key(expires_at=utc_now() + timedelta(hours=1))
        inside, outside = await tenant.key(cidrs=["127.0.0.0/8"]), await tenant.key(cidrs=["10.0.0.0/8", "::1/128"])
        revoked = await tenant.key()
        await tenant.revoke(revoked)
        expired = await tenant.key(expires_at=utc_now() + timedelta(milliseconds=1))
        good = [soon.key, inside.key]
        bad = [
            outside.key,
            revoked.key,
            expired.key,
            new_api_key(),
            "",
            "x",
            "vdt_",
            soon.key + "x",
            "x" * 5000,
            "ключ",
        ]
        for key in good:
            assert await is_let_in(home.nats.tenant_url(key))
        for key in bad:
            assert not await is_let_in(home.nats.tenant_url(key)), key


async def test_a_rejection_contains_no_reason(house: OpenDeployment) -> None:
    async with house() as home:
        tenant = await home.tenant()
        outside = await tenant.key(cidrs=["10.0.0.0/8"])
        for key in (outside.key, new_api_key(), "x"):
            with pytest.raises(nats.errors.Error) as caught:
                async with guest(home.nats.tenant_url(key)):
                    pass
            assert str(caught.value).lower() in ("nats: 'authorization violation'", "nats: authorization failed")


async def test_no_key_and_no_user_name_gives_the_permissions_of_a_service(house: OpenDeployment) -> None:
    async with house() as home:
        tenant = await home.tenant()
        key = await tenant.key(Scope.ADMIN)
        for user in ("gateway", "results", "prober_local", "system"):
            assert not await is_let_in(home.nats.tenant_url(key.key, user)), user
        for user in ("anybody", f"key.{new_api_key()}", "$G"):
            async with guest(home.nats.tenant_url(key.key, user)) as client:
                assert "violation" in await client.refusal_of_subscribing(">")


async def test_the_last_use_of_a_key_is_recorded(house: OpenDeployment) -> None:
    async with house() as home:
        tenant = await home.tenant()
        key = await tenant.key()
        assert await is_let_in(home.nats.tenant_url(key.key))
        listed = {each.id: each for each in await home.gateway.request(ListKeys(tenant_id=tenant.id))}
        assert listed[key.id].last_used_at is not None
