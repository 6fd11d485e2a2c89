"""Sealed values in the results room: hidden, kept when a spec is replaced, and sealed anew without being opened."""

import hashlib
from typing import Any

import msgspec

from libs.cli.reseal import _fetch_page, _run_pass
from libs.model.fields import sealed_secrets
from libs.model.monitor import MonitorChange, MonitorView
from libs.model.requests.base import Idempotency
from libs.model.requests.errors import ErrorCode
from libs.model.requests.messages import (
    ChangeMonitor,
    CreateMonitor,
    GetMonitor,
    ListMonitors,
    ListSealedSpecs,
    ReplaceSealedSpec,
)
from libs.sealing.keys import new_key
from libs.sealing.sealer import Sealer
from tests.support.room import Room, draft, spec

KEPT = {"sealed": True}
URL = "http://a.example"


def secret(text: str = "CIPHERTEXT", recipient: str = URL) -> dict[str, str]:
    return {"sealed": text, "for": recipient}


def decoded(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)


async def stored(room: Room, view: MonitorView) -> Any:
    found = await room.ask(GetMonitor(tenant_id=room.tenant_id, monitor_id=view.id, sealed=True))
    return decoded(found.spec)


async def keep(room: Room, view: MonitorView, new: msgspec.Raw, *path: str, recipient: str = URL) -> MonitorView:
    changed = {"spec": new, "kind": "http", "target": f"{URL}/", "kept": [path], "recipient": recipient}
    return await room.change(view.id, **changed)


async def test_no_view_shows_a_sealed_text_unless_it_is_asked_for(room: Room) -> None:
    made = draft(spec=spec(url=URL, bearer_token=secret()))
    request = CreateMonitor(tenant_id=room.tenant_id, draft=made, idempotency=Idempotency(key="k", fingerprint="f"))
    created, again = await room.ask(request), await room.ask(request)
    listed = await room.ask(ListMonitors(tenant_id=room.tenant_id, limit=5))
    renamed = await room.change(created.id, name="new")
    for view in (created, again, await room.get(created.id), *listed.items, renamed):
        assert decoded(view.spec) == {"kind": "http", "url": URL, "bearer_token": KEPT}
    assert await stored(room, created) == {"kind": "http", "url": URL, "bearer_token": secret()}
    (row,) = await room.rows("SELECT reply::text AS reply FROM idempotency")
    assert "CIPHERTEXT" not in row["reply"]


async def test_a_new_spec_keeps_what_is_sealed(room: Room) -> None:
    view = await room.create(spec=spec(url=URL, headers={"X-Key": secret()}))
    changed = await keep(room, view, spec(url=URL, headers={"X-Key": KEPT}, method="HEAD"), "headers", "X-Key")
    assert changed.revision == 2
    assert decoded(changed.spec) == {"kind": "http", "url": URL, "headers": {"X-Key": KEPT}, "method": "HEAD"}
    assert (await stored(room, view))["headers"] == {"X-Key": secret()}


async def test_the_same_spec_with_its_secrets_kept_is_no_change(room: Room) -> None:
    view = await room.create(spec=spec(url=URL, bearer_token=secret()))
    assert (await keep(room, view, spec(url=URL, bearer_token=KEPT), "bearer_token")).revision == 1


async def test_what_is_not_stored_or_not_for_this_recipient_is_not_kept(room: Room) -> None:
    view = await room.create(spec=spec(url=URL, bearer_token=secret()))
    for path, recipient, words in (
        (("basic_auth",), URL, "nothing is stored here"),
        (("bearer_token",), "http://evil.example", "not shown to http://evil.example"),
    ):
        new = spec(url=recipient, **{path[0]: KEPT})
        with_kept = {"spec": new, "kind": "http", "target": URL, "kept": [path], "recipient": recipient}
        refusal = await room.refused(_changing(room, view, **with_kept))
        assert (refusal.code, refusal.field) == (ErrorCode.INVALID, f"spec.{path[0]}")
        assert words in refusal.detail
        assert "CIPHERTEXT" not in refusal.detail
    assert (await room.get(view.id)).revision == 1


def _changing(room: Room, view: MonitorView, **fields: Any) -> Any:
    return ChangeMonitor(tenant_id=room.tenant_id, monitor_id=view.id, change=MonitorChange(**fields))


async def test_a_spec_is_replaced_by_the_same_one_sealed_anew_and_its_schedules_are_published(room: Room) -> None:
    view = await room.create(spec=(old := spec(url=URL, bearer_token=secret())))
    new = spec(url=URL, bearer_token=secret("NEW"))
    request = ReplaceSealedSpec(
        tenant_id=room.tenant_id, monitor_id=view.id, old_sha256=hashlib.sha256(old).hexdigest(), new=new
    )
    assert await room.ask(request) is True
    assert (await stored(room, view))["bearer_token"] == secret("NEW")
    assert (await room.get(view.id)).revision == 1
    assert [row["version"] for row in await room.rows("SELECT version FROM schedules")] == [2]
    assert await room.ask(request) is False  # it is another spec by now
    assert await room.ask(msgspec.structs.replace(request, tenant_id=await room.add_tenant())) is False


async def test_nothing_but_sealed_texts_is_replaced(room: Room) -> None:
    view = await room.create(spec=(old := spec(url=URL, bearer_token=secret())))
    digest = hashlib.sha256(old).hexdigest()
    for new in (spec(url="http://evil.example", bearer_token=secret()), spec(url=URL, bearer_token="x"), spec(url=URL)):
        request = ReplaceSealedSpec(tenant_id=room.tenant_id, monitor_id=view.id, old_sha256=digest, new=new)
        assert (await room.refused(request)).field == "new"
    assert (await stored(room, view))["bearer_token"] == secret()


async def test_sealed_specs_come_in_pages_and_nothing_else_does(room: Room) -> None:
    made = [(await room.create(spec=spec(url=URL, bearer_token=secret()))).id for _ in range(3)]
    await room.create()
    first = await room.ask(ListSealedSpecs(limit=2))
    second = await room.ask(ListSealedSpecs(limit=2, cursor=first.next_cursor))
    assert [each.monitor_id for each in (*first.items, *second.items)] == made
    assert second.next_cursor is None
    assert (await room.refused(ListSealedSpecs(limit=2, cursor="x"))).field == "cursor"


async def test_everything_is_sealed_anew_also_when_answers_are_too_large_for_a_page(room: Room) -> None:
    old, new = new_key(), new_key()
    text = Sealer.from_texts([old]).seal(
        msgspec.json.encode("x" * 60_000),
        sealed_secrets.sealing_context(room.tenant_id, "http", ("bearer_token",), URL),
    )
    for _ in range(15):
        await room.create(spec=spec(url=URL, bearer_token=secret(text)))
    assert len((await _fetch_page(room.bus, None)).items) == 10
    tally = await _run_pass(room.bus, Sealer.from_texts([new, old]))
    assert (tally.resealed, tally.changed, tally.unreadable) == (15, 0, [])
    again = await _run_pass(room.bus, Sealer.from_texts([new]))
    assert (again.resealed, again.unreadable) == (0, [])
    assert len((await _run_pass(room.bus, Sealer.from_texts([old]))).unreadable) == 15
