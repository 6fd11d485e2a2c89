"""Who did what: one entry for each thing changed, none for what was not, and no value of anything."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import pytest

from libs.model.ids import new_id
from libs.model.monitor import MonitorChange
from libs.model.requests import messages
from libs.model.requests.base import Idempotency, Page, TenantCommand
from libs.model.requests.errors import ErrorCode
from libs.model.requests.messages import (
    Bootstrap,
    ChangeMonitor,
    ChangeTenant,
    CreateKey,
    CreateMonitor,
    CreateTenant,
    DeleteKey,
    DeleteMonitor,
    ListAudit,
)
from libs.model.tenancy import Actor, AuditAction, AuditEntry, Rate, Scope, api_key_digest
from tests.support.room import Room, draft, spec

ACTOR = Actor(key_id=new_id(), key_name="Anna's", address="192.0.2.7", via="native")

Asked = tuple[TenantCommand[object], AuditAction, str, str, list[str]]


async def page(room: Room, tenant_id: str = "", **fields: object) -> Page[AuditEntry]:
    return await room.ask(ListAudit(**({"tenant_id": tenant_id or room.tenant_id, "limit": 50} | fields)))  # type: ignore[arg-type]


async def entries(room: Room, tenant_id: str = "") -> list[AuditEntry]:
    return (await page(room, tenant_id)).items


async def create_monitor(room: Room) -> Asked:
    request = CreateMonitor(tenant_id=room.tenant_id, actor=ACTOR, draft=draft(name="shop"))
    return request, AuditAction.MONITOR_CREATED, "shop", "", []


async def change_monitor(room: Room) -> Asked:
    view = await room.create(name="shop")
    change = MonitorChange(name="blog", interval_s=120, enabled=True)
    request = ChangeMonitor(tenant_id=room.tenant_id, actor=ACTOR, monitor_id=view.id, change=change)
    return request, AuditAction.MONITOR_CHANGED, "blog", view.id, ["name", "interval_s"]


async def delete_monitor(room: Room) -> Asked:
    view = await room.create(name="shop")
    request = DeleteMonitor(tenant_id=room.tenant_id, actor=ACTOR, monitor_id=view.id)
    return request, AuditAction.MONITOR_DELETED, "shop", view.id, []


async def create_key(room: Room) -> Asked:
    request = CreateKey(tenant_id=room.tenant_id, actor=ACTOR, name="ci", scopes=[Scope.READ])
    return request, AuditAction.KEY_CREATED, "ci", "", []


async def delete_key(room: Room) -> Asked:
    made = await room.ask(CreateKey(tenant_id=room.tenant_id, name="ci", scopes=[Scope.READ]))
    request = DeleteKey(tenant_id=room.tenant_id, actor=ACTOR, key_id=made.id)
    return request, AuditAction.KEY_REVOKED, "ci", made.id, []


async def change_tenant(room: Room) -> Asked:
    request = ChangeTenant(
        tenant_id=room.tenant_id, actor=ACTOR, name="new", rate=Rate(per_s=1, burst=1), monitors_max=None
    )
    return request, AuditAction.TENANT_CHANGED, "new", room.tenant_id, ["name", "rate"]


COMMANDS: dict[type[TenantCommand[object]], Callable[[Room], Awaitable[Asked]]] = {
    CreateMonitor: create_monitor,
    ChangeMonitor: change_monitor,
    DeleteMonitor: delete_monitor,
    CreateKey: create_key,
    DeleteKey: delete_key,
    ChangeTenant: change_tenant,
}


def test_every_command_is_looked_at_here() -> None:
    there = {each for each in vars(messages).values() if isinstance(each, type) and issubclass(each, TenantCommand)}
    assert there - {TenantCommand} == COMMANDS.keys() | {CreateTenant}


@pytest.mark.parametrize("prepare", COMMANDS.values(), ids=[each.__name__ for each in COMMANDS])
async def test_a_command_leaves_one_entry(room: Room, prepare: Callable[[Room], Awaitable[Asked]]) -> None:
    request, action, name, object_id, changed = await prepare(room)
    before = await entries(room)
    room.clock.move(seconds=3)
    reply = await room.ask(request)
    entry, *rest = await entries(room)
    assert rest == before
    assert (entry.at, entry.action, entry.object_name, entry.changed) == (room.clock.now, action, name, changed)
    assert entry.object_id == (object_id or reply.id)
    assert (entry.key_id, entry.key_name, entry.address, entry.via) == (
        ACTOR.key_id,
        "Anna's",
        "192.0.2.7",
        "native",
    )


async def test_a_new_tenant_begins_with_who_made_it(room: Room) -> None:
    made = await room.ask(CreateTenant(tenant_id=room.tenant_id, actor=ACTOR, name="new"))
    (entry,) = await entries(room, made.id)
    assert (entry.action, entry.object_id, entry.object_name, entry.key_id) == (
        AuditAction.TENANT_CREATED,
        made.id,
        "new",
        ACTOR.key_id,
    )
    assert await entries(room) == []


async def test_the_first_tenant_begins_with_itself_and_its_key(room: Room) -> None:
    await room.rows("DELETE FROM tenants")
    for _ in range(2):
        assert await room.ask(Bootstrap(tenant_name="main", key_sha256=api_key_digest("x")))
    rows = await room.rows("SELECT action, object_name, key_id, via FROM audit ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        ("tenant.created", "main", None, "cli"),
        ("key.created", "admin", None, "cli"),
    ]


async def test_what_changes_nothing_leaves_no_entry(room: Room) -> None:
    view = await room.create()
    before = await entries(room)
    await room.change(view.id, name=view.name, interval_s=60, labels={}, enabled=True)
    await room.ask(ChangeTenant(tenant_id=room.tenant_id, monitors_max=None))
    assert await entries(room) == before


async def test_what_is_refused_leaves_no_entry(room: Room) -> None:
    view, made = await room.create(), await room.ask(CreateTenant(name="b"))
    last = await room.ask(CreateKey(tenant_id=room.tenant_id, name="k", scopes=[Scope.ADMIN]))
    before, others = await entries(room), await entries(room, made.id)
    refused: list[TenantCommand[object]] = [
        CreateMonitor(tenant_id=room.tenant_id, draft=draft(timeout_s=90.0)),
        ChangeMonitor(tenant_id=room.tenant_id, monitor_id=view.id, change=MonitorChange(timeout_s=90.0)),
        ChangeMonitor(tenant_id=made.id, monitor_id=view.id, change=MonitorChange(name="mine")),
        DeleteMonitor(tenant_id=made.id, monitor_id=view.id),
        DeleteKey(tenant_id=room.tenant_id, key_id=last.id),
        DeleteKey(tenant_id=made.id, key_id=last.id),
        ChangeTenant(tenant_id=room.tenant_id, name="b"),
        CreateTenant(name="b"),
    ]
    for request in refused:
        await room.refused(request)
    assert (await entries(room), await entries(room, made.id)) == (before, others)


async def test_a_repeated_create_leaves_one_entry(room: Room) -> None:
    monitor = Idempotency(key="m", fingerprint="f")
    same = CreateMonitor(tenant_id=room.tenant_id, draft=draft(), idempotency=monitor)
    for _ in range(3):
        await room.ask(same)
    key = Idempotency(key="k", fingerprint="f")
    key_request = CreateKey(tenant_id=room.tenant_id, name="k", scopes=[Scope.READ], idempotency=key)
    await room.ask(key_request)
    await room.refused(key_request)
    assert [entry.action for entry in await entries(room)] == [AuditAction.KEY_CREATED, AuditAction.MONITOR_CREATED]


async def test_neither_values_nor_secrets_stand_in_it(room: Room) -> None:
    view = await room.create(spec=spec(url="http://a/", password={"sealed": "c2VhbGVk"}), target="http://a/")
    new = spec(url="http://hunter2/", password={"sealed": "aHVudGVyMg"})
    await room.change(view.id, spec=new, kind="http", target="http://hunter2/", labels={"hunter2": "hunter2"})
    made = await room.ask(CreateKey(tenant_id=room.tenant_id, name="k", scopes=[Scope.READ], cidrs=["192.0.2.0/24"]))
    found = await entries(room)
    assert found[1].changed == ["target", "spec", "labels"]
    text = msgspec.json.encode(found).decode() + str(await room.rows("SELECT * FROM audit"))
    for secret in ("hunter2", "c2VhbGVk", "aHVudGVyMg", made.key, api_key_digest(made.key), "192.0.2.0"):
        assert secret not in text


async def test_the_audit_is_newest_first_in_pages_and_of_one_tenant_only(room: Room) -> None:
    names = [(await room.create()).name for _ in range(5)]
    other = Room(room.bus, room.store, room.clock, await room.add_tenant())
    await other.create()
    first = await page(room, limit=3)
    await room.create()
    second = await page(room, limit=3, cursor=first.next_cursor)
    assert [entry.object_name for entry in (*first.items, *second.items)] == names[::-1]
    assert second.next_cursor is None
    assert len(await entries(other)) == 1
    theirs = await page(other, cursor=first.next_cursor)
    assert {entry.object_name for entry in theirs.items} & set(names) == set()


@pytest.mark.parametrize("cursor", ["x", "eyJpZCI6InQifQ", "eyJpZCI6OTk5OTk5OTk5OTk5OTk5OTk5OTl9"])
async def test_a_cursor_that_is_not_of_the_audit_is_refused(room: Room, cursor: str) -> None:
    refusal = await room.refused(ListAudit(tenant_id=room.tenant_id, limit=1, cursor=cursor))
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID, "cursor")


async def test_entries_are_kept_as_they_were_when_their_thing_is_gone(room: Room) -> None:
    view = await room.create(name="gone")
    await room.remove(view.id)
    room.clock.move(days=30)
    assert [(entry.object_name, room.clock.now - entry.at) for entry in await entries(room)] == [
        ("gone", timedelta(days=30)),
        ("gone", timedelta(days=30)),
    ]
