"""Permissions of a compromised service: those it needs for its work, and no others."""

import msgspec
import pytest

from libs.bus import provisioning, stream_configs
from libs.bus.client.message import Message
from libs.bus.connection import Bus
from libs.bus.errors import BusError
from tests.support.guarded_nats import GuardedNats, guest, is_let_in

API = "$JS.API"

REFUSED_PUBLISHING = {
    "gateway": [
        *(
            "results.t.local.http.m",
            "live.results.t.local.http.m",
            "events.t.http.m",
            "sched.0.local.m",
            "dead_letters.RESULTS",
        ),
        *("due.0.local.http.m.recheck", "due.>", "check_reply.x", "_INBOX_results.x", "_INBOX_gateway.x", "x"),
        *(f"{API}.STREAM.{verb}" for verb in ("CREATE.X", "DELETE.RESULTS", "PURGE.CHECKS", "UPDATE.EVENTS", "NAMES")),
        *(f"{API}.STREAM.MSG.GET.RESULTS", f"{API}.STREAM.INFO.CHECKS", f"{API}.INFO", f"{API}.DIRECT.GET.RESULTS"),
        *(
            f"{API}.CONSUMER.{verb}.RESULTS.ingest"
            for verb in ("MSG.NEXT", "DELETE", "INFO", "DURABLE.CREATE", "PAUSE")
        ),
        *(
            f"{API}.CONSUMER.CREATE.RESULTS.ingest.results.>",
            f"{API}.CONSUMER.CREATE.RESULTS.ingest",
            f"{API}.CONSUMER.CREATE.RESULTS",
        ),
        *(f"{API}.CONSUMER.CREATE.RESULTS.ingest.results.a.b.c.d", f"{API}.CONSUMER.CREATE.RESULTS.x.results.>"),
        *(f"{API}.CONSUMER.CREATE.CHECKS", f"{API}.CONSUMER.MSG.NEXT.CHECKS.local-http"),
        *("$JS.ACK.RESULTS.ingest.1.1.1.1.0", "$JS.ACK.CHECKS.local-http.1.1.1.1.0", "$SYS.REQ.USER.AUTH"),
    ],
    "results": [
        *(
            "results.t.local.http.m",
            "live.results.t.x",
            "live.events.t.x",
            "check_reply.x",
            "rpc.tenants.bootstrap",
            "x",
        ),
        *("_INBOX_prober_local.x", "$JS.ACK.CHECKS.local-http.1.1.1.1.0", "$SYS.REQ.USER.AUTH", "$SYS.REQ.SERVER.PING"),
    ],
    "prober_local": [
        *(
            "results.t.eu.http.m",
            "results.t.local.dns.m",
            "results.t.local.http",
            "results.>",
            "live.results.t.local.http.m",
        ),
        *("events.t.http.m", "sched.0.local.m", "due.0.local.http.m", "rpc.monitors.get", "rpc.keys.authenticate"),
        *("control.keys.revoked", "dead_letters.RESULTS", "_INBOX_gateway.x", "_INBOX_prober_eu.x", "x"),
        *(f"{API}.CONSUMER.{verb}.CHECKS.eu-http" for verb in ("MSG.NEXT", "INFO", "DELETE")),
        *(f"{API}.CONSUMER.CREATE.CHECKS.local-http.due.*.eu.http.>", f"{API}.CONSUMER.CREATE.CHECKS.local-http"),
        *(f"{API}.CONSUMER.CREATE.CHECKS", f"{API}.CONSUMER.CREATE.CHECKS.local-http.sched.>"),
        *(f"{API}.CONSUMER.DELETE.CHECKS.local-http", f"{API}.CONSUMER.MSG.NEXT.RESULTS.ingest"),
        *(f"{API}.STREAM.{verb}" for verb in ("CREATE.CHECKS", "DELETE.CHECKS", "PURGE.CHECKS", "MSG.GET.CHECKS")),
        *(f"{API}.STREAM.INFO.RESULTS", f"{API}.CONSUMER.LIST.CHECKS"),
        *("$JS.ACK.CHECKS.eu-http.1.1.1.1.0", "$JS.ACK.RESULTS.ingest.1.1.1.1.0", "$SYS.REQ.USER.AUTH"),
    ],
    "system": [
        *("results.t.local.http.m", "rpc.tenants.bootstrap", f"{API}.INFO", "$SYS.REQ.SERVER.PING", "x"),
        *("$SYS.REQ.SERVER.X.RELOAD", "$SYS.REQ.SERVER.X.LDM", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.USER.AUTH"),
    ],
}

REFUSED_SUBSCRIBING = {
    "gateway": [
        *(">", "results.>", "events.>", "sched.>", "due.>", "rpc.>", "_INBOX.>", "_INBOX_results.>", "$JS.>", "$SYS.>"),
        *("$SYS.REQ.USER.AUTH", "live.>", "*.results.>"),
    ],
    "results": [
        ">",
        "results.>",
        "live.results.>",
        "check_reply.*",
        "_INBOX_gateway.>",
        "_INBOX_prober_local.>",
        "$SYS.>",
    ],
    "prober_local": [
        *(">", "results.>", "results.*.local.>", "live.results.>", "events.>", "live.events.>", "sched.>", "rpc.>"),
        *("due.>", "due.*.local.>", "due.*.eu.>", "control.>", "check_reply.>", "_INBOX.>", "_INBOX_gateway.>"),
        *("_INBOX_results.>", "_INBOX_prober_eu.>", "$JS.>", "$SYS.>", "$SYS.REQ.USER.AUTH"),
    ],
    "system": [">", "$SYS.>", "$SYS.ACCOUNT.>", "results.>", "$SYS.REQ.USER.AUTH", "_INBOX.>"],
}


@pytest.mark.parametrize("user", REFUSED_PUBLISHING)
async def test_a_service_cannot_publish_to_subjects_of_others(guarded: GuardedNats, user: str) -> None:
    async with guest(guarded.url(user)) as client:
        for subject in REFUSED_PUBLISHING[user]:
            assert "permissions violation for publish" in await client.refusal_of_publishing(subject), subject


@pytest.mark.parametrize("user", REFUSED_SUBSCRIBING)
async def test_a_service_cannot_subscribe_to_subjects_of_others(guarded: GuardedNats, user: str) -> None:
    async with guest(guarded.url(user)) as client:
        for subject in REFUSED_SUBSCRIBING[user]:
            assert "permissions violation for subscription" in await client.refusal_of_subscribing(subject), subject


async def test_a_prober_can_create_the_consumer_of_its_own_location(
    guarded: GuardedNats,
) -> None:
    async with (
        Bus.open(guarded.url("results"), name="r") as results,
        Bus.open(guarded.url("prober_eu"), name="p") as prober,
    ):
        await provisioning.provision(results, results_bytes_max=1 << 24)
        await provisioning.provision_prober(prober, "eu", "http")
        assert await provisioning.consumer_exists(prober, "CHECKS", "eu-http")
        await prober.publish(Message("results.t.eu.http.m", b"{}"))
        with pytest.raises(BusError):
            await prober.publish(Message("results.t.local.http.m", b"{}"), timeout_s=0.5)


async def test_a_consumer_for_another_location_cannot_be_created_under_an_own_name(guarded: GuardedNats) -> None:
    """The request subject contains the filter of the consumer, and the server requires the same in the body."""
    async with (
        Bus.open(guarded.url("results"), name="r") as results,
        Bus.open(guarded.url("prober_eu"), name="p") as prober,
    ):
        await provisioning.provision(results, results_bytes_max=1 << 24)
        subject = f"{API}.CONSUMER.CREATE.CHECKS.eu-http.due.*.eu.http.>"
        for filters in ({"filter_subject": "due.*.local.http.>"}, {"filter_subjects": ["due.>", "sched.>"]}, {}):
            config = {"name": "eu-http", "durable_name": "eu-http", "ack_policy": "explicit", **filters}
            body = msgspec.json.encode({"stream_name": "CHECKS", "config": config})
            answer = await prober.client.request(subject, body, timeout=5)
            assert b'"error"' in answer.data, filters
        assert not await provisioning.consumer_exists(results, "CHECKS", "eu-http")


async def test_the_gateway_cannot_change_the_ingest(guarded: GuardedNats) -> None:
    """The server rejects a request whose name or filter differ from its subject."""
    async with (
        Bus.open(guarded.url("results"), name="r") as results,
        Bus.open(guarded.url("gateway"), name="g") as gateway,
    ):
        await provisioning.provision(results, results_bytes_max=1 << 24)
        subject = f"{API}.CONSUMER.CREATE.RESULTS.replay-1.results.t.l.k.m"
        for name in ({"durable_name": "ingest"}, {"name": "ingest"}, {"name": "ingest", "durable_name": "ingest"}):
            config = {**name, "ack_policy": "explicit", "filter_subject": "results.t.l.k.m", "max_ack_pending": 1}
            body = msgspec.json.encode({"stream_name": "RESULTS", "config": config})
            await gateway.client.request(subject, body, timeout=5)
        kept = await results.jetstream.consumer_info("RESULTS", stream_configs.INGEST_CONSUMER)
        assert (kept.config.filter_subject, kept.config.max_ack_pending) == ("results.>", 20_000)


async def test_a_service_with_a_wrong_password_is_rejected(guarded: GuardedNats) -> None:
    for user in (*REFUSED_PUBLISHING, "nobody", "vedette"):
        assert not await is_let_in(guarded.tenant_url("wrong", user)), user
