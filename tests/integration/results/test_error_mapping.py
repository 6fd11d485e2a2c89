"""What Postgres undoes for the sake of another transaction, and what a database that is not whole says."""

import pytest

from libs.model.monitor import MonitorChange
from libs.model.requests.errors import ErrorCode
from libs.model.requests.messages import (
    ChangeMonitor,
    CreateKey,
    CreateMonitor,
    CreateTenant,
    GetMonitor,
    ListAudit,
    ListKeys,
    ListTenants,
)
from libs.model.tenancy import Scope
from tests.support.room import Room, draft

# A sequence is all that outlives a transaction that is undone.
_UNDO = """
CREATE SEQUENCE undone;
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('undone') <= {times} THEN RAISE EXCEPTION 'undone' USING ERRCODE = '{sqlstate}'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER undo BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION undo();
"""


async def script(room: Room, sql: str) -> None:
    async with room.store.connection() as db:
        await db.script(sql)


async def undo(room: Room, times: int, sqlstate: str = "40P01") -> None:
    """Has Postgres undo so many transactions that change something, as it does one of a deadlock."""
    await script(room, _UNDO.format(times=times, sqlstate=sqlstate))


@pytest.mark.parametrize("sqlstate", ["40P01", "40001"])
async def test_what_is_undone_twice_is_done_once(room: Room, sqlstate: str) -> None:
    view = await room.create(locations=["a", "b"])
    await undo(room, 2, sqlstate)
    changed = await room.change(view.id, interval_s=120)
    assert (changed.revision, changed.interval_s) == (2, 120)
    assert len(await room.rows("SELECT FROM audit")) == 2
    assert [row["version"] for row in await room.rows("SELECT version FROM schedules")] == [2, 2]


async def test_a_create_that_was_undone_makes_one_thing(room: Room) -> None:
    await undo(room, 1)
    await room.create()
    assert len(await room.rows("SELECT FROM monitors")) == 1
    await room.ask(CreateKey(tenant_id=room.tenant_id, name="k", scopes=[Scope.READ]))
    assert len(await room.ask(ListKeys(tenant_id=room.tenant_id))) == 1


async def test_what_is_always_undone_is_unavailable_in_the_end(room: Room) -> None:
    view = await room.create()
    await undo(room, 3)
    change = ChangeMonitor(tenant_id=room.tenant_id, monitor_id=view.id, change=MonitorChange(name="new"))
    assert (await room.refused(change)).code is ErrorCode.UNAVAILABLE
    assert await room.get(view.id) == view


@pytest.mark.parametrize("sql", ["DROP TABLE audit", "ALTER TABLE audit DROP COLUMN changed"])
async def test_a_database_without_a_table_or_column_says_so_and_nothing_of_its_inside(room: Room, sql: str) -> None:
    await script(room, sql)
    for request in (
        ListAudit(tenant_id=room.tenant_id, limit=1),
        CreateMonitor(tenant_id=room.tenant_id, draft=draft()),
    ):
        refusal = await room.refused(request)
        assert refusal.code is ErrorCode.SCHEMA_OUTDATED
        assert "Restart the results service" in refusal.detail
        assert not any(word in refusal.detail for word in ("audit", "changed", "relation", "SELECT", "Error"))
    assert await room.rows("SELECT FROM monitors") == []


async def test_a_database_from_before_tenancy_says_so(room: Room) -> None:
    view = await room.create()
    await script(room, "ALTER TABLE tenants DROP COLUMN monitors_max")
    for request in (CreateTenant(name="x"), ListTenants(limit=1)):
        assert (await room.refused(request)).code is ErrorCode.SCHEMA_OUTDATED
    assert await room.ask(GetMonitor(tenant_id=room.tenant_id, monitor_id=view.id)) == view


async def test_that_is_logged_as_an_error_with_what_lacks(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    await script(room, "DROP TABLE audit")
    await room.refused(ListAudit(tenant_id=room.tenant_id, limit=1))
    logged = capsys.readouterr().out
    assert "results.unprepared" in logged
    assert 'relation "audit" does not exist' in logged
