"""`vedette reseal`: what is stored is sealed again with the newest key, so that older ones can be thrown away."""

import asyncio
import hashlib
from dataclasses import dataclass, field

import msgspec

from libs.bus.bus import Bus
from libs.bus.errors import BusError
from libs.model import sealed
from libs.model.kinds import kinds
from libs.model.refusal import RefusedError
from libs.model.request import Page
from libs.model.requests import ListSealed, Reseal, SealedSpec
from libs.model.sealed import Sealed
from libs.model.spec import SecretPath
from libs.process.errors import StartError
from libs.process.settings import Settings, variable
from libs.process.signals import Stop
from libs.sealing.sealer import Sealer, UnreadableError, key_id_of

# Specs with certificates are large, and an answer must fit into one message.
PAGES = (100, 10, 1)
# A monitor that is changed just then is met again in the next pass.
PASSES_MAX = 10
_PAUSE_S = 0.5


@dataclass
class Tally:
    """What came of one pass: how many monitors were sealed anew, which were changed meanwhile, and which stay shut."""

    resealed: int = 0
    missed: int = 0
    unreadable: list[str] = field(default_factory=list)


async def reseal(settings: Settings, _stop: Stop) -> None:
    """Seals everything anew and says how much that was; StartError when something still needs an older key."""
    sealer = Sealer.of(settings.sealing_keys)
    if sealer.newest is None:
        raise StartError(f"there is no key to seal with: set {variable('sealing_keys')}, the newest key first")
    try:
        async with Bus.open(settings.nats_url, name="vedette:reseal") as bus:
            total, last = await _passes(bus, sealer)
    except (BusError, RefusedError) as error:
        raise StartError(f"not everything was sealed anew, ask again: {error}") from error
    if last.unreadable:
        raise StartError("these cannot be opened with any key that was given:\n" + "\n".join(last.unreadable))
    if last.missed:
        raise StartError(f"{last.missed} monitors were changed meanwhile: ask again")
    print(f"{total} monitors were sealed anew; all secrets open with the key {sealer.newest}", flush=True)  # noqa: T201 - the answer


async def _passes(bus: Bus, sealer: Sealer) -> tuple[int, Tally]:
    """Returns how many monitors were sealed anew in all passes, and what came of the last one."""
    tally = await _pass(bus, sealer)
    total = tally.resealed
    for _ in range(PASSES_MAX):
        if not tally.missed:
            break
        await asyncio.sleep(_PAUSE_S)
        tally = await _pass(bus, sealer)
        total += tally.resealed
    return total, tally


async def _pass(bus: Bus, sealer: Sealer) -> Tally:
    tally, cursor = Tally(), None
    while True:
        page = await _page(bus, cursor)
        for each in page.items:
            await _one(bus, sealer, each, tally)
        cursor = page.next_cursor
        if cursor is None:
            return tally


async def _page(bus: Bus, cursor: str | None) -> Page[SealedSpec]:
    for limit in PAGES[:-1]:
        try:
            return await bus.ask(ListSealed(limit=limit, cursor=cursor))
        except RefusedError as error:
            if error.refusal.field != "limit":
                raise
    return await bus.ask(ListSealed(limit=PAGES[-1], cursor=cursor))


async def _one(bus: Bus, sealer: Sealer, stored: SealedSpec, tally: Tally) -> None:
    try:
        new = resealed(sealer, stored)
    except UnreadableError as error:
        tally.unreadable.append(f"monitor {stored.monitor_id}: {error}")
        return
    if new is None:
        return
    old_sha256 = hashlib.sha256(stored.spec).hexdigest()
    request = Reseal(tenant_id=stored.tenant_id, monitor_id=stored.monitor_id, old_sha256=old_sha256, new=new)
    if await bus.ask(request):
        tally.resealed += 1
    else:
        tally.missed += 1


def resealed(sealer: Sealer, stored: SealedSpec) -> msgspec.Raw | None:
    """Returns the spec with everything sealed by the newest key, None if it is so; UnreadableError names the option."""
    kind = kinds().get(stored.kind)
    if kind is None:
        raise UnreadableError(f"kind {stored.kind} is not known here")
    plain, is_new = msgspec.json.decode(stored.spec), False
    for path in kind.secret_paths(plain):
        value = sealed.as_sealed(sealed.at(plain, path))
        if value is not None and (text := _renewed(sealer, stored, path, value)) is not None:
            plain, is_new = sealed.placed(plain, path, {"sealed": text, "for": value.recipient}), True
    return msgspec.Raw(msgspec.json.encode(plain)) if is_new else None


def _renewed(sealer: Sealer, stored: SealedSpec, path: SecretPath, value: Sealed) -> str | None:
    context = sealed.context(stored.tenant_id, stored.kind, path, value.recipient)
    try:
        secret = sealer.open(value.sealed, context)
        return None if key_id_of(value.sealed) == sealer.newest else sealer.seal(secret, context)
    except UnreadableError as error:
        raise UnreadableError(f"{'.'.join(path)}: {error}") from None
