"""What a tenant may have, by its own values or those of the settings."""

import asyncio

import pytest

from libs.bus.connection import Bus
from libs.model.ids import new_id
from libs.model.monitor import MonitorChange
from libs.model.requests.base import Idempotency
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import Authenticate, ChangeMonitor, ChangeTenant, CreateKey, CreateMonitor
from libs.model.tenancy import Actor, AuditAction, Principal, Quota, Rate, Scope, api_key_digest
from libs.store.tenancy import audit, tenants
from libs.store.tenancy.audit import AuditEntryDraft
from tests.support.room import Room, draft, open_room


async def allow(room: Room, **fields: object) -> None:
    await room.ask(ChangeTenant(tenant_id=room.tenant_id, **fields))  # type: ignore[arg-type]


def creation(room: Room, **fields: object) -> CreateMonitor:
    return CreateMonitor(tenant_id=room.tenant_id, draft=draft(**fields))


def interval(room: Room, monitor_id: str, **fields: object) -> ChangeMonitor:
    return ChangeMonitor(tenant_id=room.tenant_id, monitor_id=monitor_id, change=MonitorChange(**fields))  # type: ignore[arg-type]


async def count(room: Room) -> int:
    return len(await room.rows("SELECT FROM monitors WHERE deleted_at IS NULL"))


async def principal(room: Room) -> Principal:
    made = await room.ask(
        CreateKey(tenant_id=room.tenant_id, name="k", scopes=[Scope.READ], rate=Rate(per_s=1, burst=9))
    )
    return await room.ask(Authenticate(key_sha256=api_key_digest(made.key)))


async def test_a_full_quota_is_refused_with_its_number_until_one_is_deleted(room: Room) -> None:
    await allow(room, monitors_max=2)
    view, _ = await room.create(), await room.create()
    refusal = await room.refused(creation(room))
    assert (refusal.code, refusal.field) == (ErrorCode.QUOTA, None)
    assert "at most 2 monitors" in refusal.detail
    assert await count(room) == 2
    await room.remove(view.id)
    await room.create()


async def test_a_refused_create_leaves_nothing(room: Room) -> None:
    await allow(room, monitors_max=1)
    await room.create()
    tables = ("monitors", "schedules", "confirmations", "states", "outbox", "audit", "idempotency")
    before = [len(await room.rows(f"SELECT FROM {table}")) for table in tables]
    key = Idempotency(key="k", fingerprint="f")
    await room.refused(CreateMonitor(tenant_id=room.tenant_id, draft=draft(), idempotency=key))
    assert [len(await room.rows(f"SELECT FROM {table}")) for table in tables] == before


async def test_many_creates_at_once_on_two_rooms_never_exceed_the_quota(
    room: Room, nats_url: str, postgres_dsn: str
) -> None:
    await allow(room, monitors_max=5)
    refused = []

    async def ask(bus: Bus) -> None:
        try:
            await bus.request(creation(room))
        except RequestError as error:
            refused.append(error.info.code)

    async with open_room(nats_url, postgres_dsn) as other, asyncio.TaskGroup() as group:
        for bus in (room.bus, other.bus) * 8:
            group.create_task(ask(bus))
    assert refused == [ErrorCode.QUOTA] * 11
    assert await count(room) == 5


async def test_who_has_no_quota_waits_for_nobody_who_holds_the_tenant(room: Room) -> None:
    async with room.store.transaction() as db:
        await db.value("SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE", room.tenant_id)
        await room.create()


async def test_a_renaming_does_not_wait_for_creates_that_may_wait_for_it(room: Room) -> None:
    """A create refers to its tenant before it counts: would a new name wait for that, they would wait for each other."""
    async with room.store.transaction() as db:
        await audit.add(
            db, room.tenant_id, Actor(), AuditEntryDraft(action=AuditAction.KEY_CREATED, object_id="x"), room.clock()
        )
        await allow(room, name="new name")
        await tenants.get_quota_for_update(db, room.tenant_id)


async def test_a_repeated_create_is_answered_also_when_the_quota_is_full(room: Room) -> None:
    await allow(room, monitors_max=1)
    same = CreateMonitor(tenant_id=room.tenant_id, draft=draft(), idempotency=Idempotency(key="k", fingerprint="f"))
    assert await room.ask(same) == await room.ask(same)


async def test_what_is_above_a_lowered_quota_stays_and_can_be_changed(room: Room) -> None:
    view, _ = await room.create(interval_s=10), await room.create()
    await allow(room, monitors_max=1, interval_s_min=60)
    changed = await room.change(view.id, name="new", enabled=False, timeout_s=3.0)
    assert (changed.name, changed.interval_s, changed.enabled) == ("new", 10, False)
    assert (await room.change(view.id, enabled=True, interval_s=10)).enabled
    assert (await room.refused(creation(room))).code is ErrorCode.QUOTA
    assert await count(room) == 2


@pytest.mark.parametrize(("least", "shown"), [(60, "60"), (45, "60"), (61, "120")])
async def test_an_interval_below_the_least_is_refused_with_the_least(room: Room, least: int, shown: str) -> None:
    view = await room.create(interval_s=300)
    await allow(room, interval_s_min=least)
    for request in (creation(room, interval_s=30), interval(room, view.id, interval_s=30)):
        refusal = await room.refused(request)
        assert (refusal.code, refusal.field) == (ErrorCode.INVALID, "interval_s")
        assert f"at least {shown}," in refusal.detail
    assert (await room.change(view.id, interval_s=int(shown))).interval_s == int(shown)


async def test_defaults_hold_for_tenants_without_their_own_values(nats_url: str, postgres_dsn: str) -> None:
    async with open_room(nats_url, postgres_dsn, quota=Quota(monitors_max=1, interval_s_min=60)) as room:
        assert (await room.refused(creation(room, interval_s=30))).field == "interval_s"
        await room.create()
        assert (await room.refused(creation(room))).code is ErrorCode.QUOTA
        await allow(room, monitors_max=0, interval_s_min=30)
        await room.create(interval_s=30)
        assert (await principal(room)).quota == Quota(monitors_max=None, interval_s_min=30)
        await allow(room, monitors_max=None, interval_s_min=None)
        assert (await principal(room)).quota == Quota(monitors_max=1, interval_s_min=60)


async def test_a_bearer_is_known_by_numbers_rates_and_quota(room: Room) -> None:
    await allow(room, rate=Rate(per_s=2.5, burst=10), monitors_max=3, interval_s_min=0)
    first, second = await principal(room), await principal(room)
    assert (first.rate, first.tenant_rate) == (Rate(per_s=1, burst=9), Rate(per_s=2.5, burst=10))
    assert first.quota == Quota(monitors_max=3, interval_s_min=None)
    assert first.tenant_number == second.tenant_number > 0
    assert 0 < first.key_number < second.key_number


async def test_a_monitor_of_a_tenant_that_is_not_there_is_not_found(room: Room) -> None:
    refusal = await room.refused(CreateMonitor(tenant_id=new_id(), draft=draft()))
    assert refusal.code is ErrorCode.NOT_FOUND
