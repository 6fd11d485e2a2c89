"""`vedette reseal`: encrypts stored secrets again with the newest key, so that older keys can be removed."""

import asyncio
import hashlib
from dataclasses import dataclass, field

import msgspec

from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.kinds.registry import kinds
from libs.model.fields import sealed_secrets
from libs.model.fields.sealed_secrets import SealedSecret
from libs.model.requests.base import Page
from libs.model.requests.errors import RequestError
from libs.model.requests.messages import ListSealedSpecs, ReplaceSealedSpec, SealedSpec
from libs.model.spec import SecretPath
from libs.process.errors import StartError
from libs.process.settings import Settings, env_name
from libs.process.signals import StopSignal
from libs.sealing.sealer import Sealer, UnsealError, key_id_of

# Specs with certificates are large, and an answer must fit into one message.
PAGE_SIZES = (100, 10, 1)
# A monitor that is changed just then is met again in the next pass.
PASSES_MAX = 10
_PASS_DELAY_S = 0.5


@dataclass
class PassSummary:
    """What came of one pass: how many monitors were sealed anew, which were changed meanwhile, and which stay shut."""

    resealed: int = 0
    changed: int = 0
    unreadable: list[str] = field(default_factory=list)


async def reseal(settings: Settings, _stop: StopSignal) -> None:
    """Seals everything anew and says how much that was; StartError when something still needs an older key."""
    sealer = Sealer.from_texts(settings.sealing_keys)
    if sealer.newest_key_id is None:
        raise StartError(f"there is no key to seal with: set {env_name('sealing_keys')}, the newest key first")
    try:
        async with Bus.open(settings.nats_url, name="vedette:reseal") as bus:
            total, last = await _run_passes(bus, sealer)
    except (BusError, RequestError) as error:
        raise StartError(f"not everything was sealed anew, ask again: {error}") from error
    if last.unreadable:
        raise StartError("these cannot be opened with any key that was given:\n" + "\n".join(last.unreadable))
    if last.changed:
        raise StartError(f"{last.changed} monitors were changed meanwhile: ask again")
    print(f"{total} monitors were sealed anew; all secrets open with the key {sealer.newest_key_id}", flush=True)  # noqa: T201 - the answer


async def _run_passes(bus: Bus, sealer: Sealer) -> tuple[int, PassSummary]:
    """Returns how many monitors were sealed anew in all passes, and what came of the last one."""
    tally = await _run_pass(bus, sealer)
    total = tally.resealed
    for _ in range(PASSES_MAX):
        if not tally.changed:
            break
        await asyncio.sleep(_PASS_DELAY_S)
        tally = await _run_pass(bus, sealer)
        total += tally.resealed
    return total, tally


async def _run_pass(bus: Bus, sealer: Sealer) -> PassSummary:
    tally, cursor = PassSummary(), None
    while True:
        page = await _fetch_page(bus, cursor)
        for each in page.items:
            await _reseal_stored(bus, sealer, each, tally)
        cursor = page.next_cursor
        if cursor is None:
            return tally


async def _fetch_page(bus: Bus, cursor: str | None) -> Page[SealedSpec]:
    for limit in PAGE_SIZES[:-1]:
        try:
            return await bus.request(ListSealedSpecs(limit=limit, cursor=cursor))
        except RequestError as error:
            if error.info.field != "limit":
                raise
    return await bus.request(ListSealedSpecs(limit=PAGE_SIZES[-1], cursor=cursor))


async def _reseal_stored(bus: Bus, sealer: Sealer, stored: SealedSpec, tally: PassSummary) -> None:
    try:
        new = resealed_spec(sealer, stored)
    except UnsealError as error:
        tally.unreadable.append(f"monitor {stored.monitor_id}: {error}")
        return
    if new is None:
        return
    old_sha256 = hashlib.sha256(stored.spec).hexdigest()
    request = ReplaceSealedSpec(
        tenant_id=stored.tenant_id, monitor_id=stored.monitor_id, old_sha256=old_sha256, new=new
    )
    if await bus.request(request):
        tally.resealed += 1
    else:
        tally.changed += 1


def resealed_spec(sealer: Sealer, stored: SealedSpec) -> msgspec.Raw | None:
    """Returns the spec with everything sealed by the newest key, None if it is so; UnreadableError names the option."""
    kind = kinds().get(stored.kind)
    if kind is None:
        raise UnsealError(f"kind {stored.kind} is not known here")
    plain, is_new = msgspec.json.decode(stored.spec), False
    for path in kind.secret_paths(plain):
        value = sealed_secrets.parse_sealed(sealed_secrets.value_at(plain, path))
        if value is not None and (text := _resealed_text(sealer, stored, path, value)) is not None:
            plain, is_new = sealed_secrets.with_value(plain, path, {"sealed": text, "for": value.recipient}), True
    return msgspec.Raw(msgspec.json.encode(plain)) if is_new else None


def _resealed_text(sealer: Sealer, stored: SealedSpec, path: SecretPath, value: SealedSecret) -> str | None:
    context = sealed_secrets.sealing_context(stored.tenant_id, stored.kind, path, value.recipient)
    try:
        secret = sealer.open(value.sealed, context)
        return None if key_id_of(value.sealed) == sealer.newest_key_id else sealer.seal(secret, context)
    except UnsealError as error:
        raise UnsealError(f"{'.'.join(path)}: {error}") from None
