"""Specs from clients: checked in plain, and passed on with their secrets sealed."""

from dataclasses import dataclass
from typing import Any

import msgspec

from libs.model import sealed
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.spec import SecretPath, Spec
from libs.sealing.sealer import Sealer
from services.gateway.body import decode, decode_spec, spec_type

_NO_KEY = (
    "is a secret, and this gateway has no key to seal it with: set VEDETTE_SEALING_KEYS here and for the probers, "
    "or leave it out"
)
_KEEPS_NOTHING = 'must be the value itself: {"sealed": true} keeps one that is stored, and nothing is stored yet'
_ONLY_KEPT = 'must be the value itself, or exactly {"sealed": true} to keep the one that is stored'


@dataclass(frozen=True)
class Taken:
    """A spec that was taken: in plain, for a look at its other options, and `raw` as it leaves this process.

    Where `kept` leads, the plain spec has stand-ins, and `raw` waits for what is stored.
    """

    spec: Spec
    raw: msgspec.Raw
    kept: list[SecretPath]

    @property
    def kind(self) -> str:
        return str(self.spec.__struct_config__.tag)


@dataclass(frozen=True)
class Specs:
    """Takes specs from clients of one tenant. What is not as described is refused with the name of the field."""

    sealer: Sealer
    tenant_id: str

    def new(self, raw: msgspec.Raw, at: str = "spec") -> Taken:
        """Takes a spec with everything in it."""
        return self._taken(raw, at, keeps=False)

    def changed(self, raw: msgspec.Raw, at: str = "spec") -> Taken:
        """Takes a spec that replaces another one, whose secrets it may keep."""
        return self._taken(raw, at, keeps=True)

    def digested(self, raw: msgspec.Raw) -> msgspec.Raw:
        """Returns a spec that was taken before with digests for its secrets: equal ones for equal secrets."""
        shape, plain = spec_type(raw, ""), msgspec.json.decode(raw)
        for path in shape.secret_paths(plain):
            value = msgspec.json.encode(sealed.at(plain, path), order="sorted")
            digest = self.sealer.digest(
                value, sealed.context(self.tenant_id, str(shape.__struct_config__.tag), path, "")
            )
            plain = sealed.placed(plain, path, digest)
        return msgspec.Raw(msgspec.json.encode(plain))

    def _taken(self, raw: msgspec.Raw, at: str, *, keeps: bool) -> Taken:
        shape = spec_type(raw, at)
        plain: dict[str, Any] = decode(raw, dict[str, Any], at)
        kept = [path for path in shape.secret_paths(plain) if _is_kept(plain, path, at, keeps=keeps)]
        for path in kept:
            plain = sealed.placed(plain, path, shape.stand_in(path))
        spec = decode_spec(msgspec.Raw(msgspec.json.encode(plain)) if kept else raw, shape, at)
        return Taken(spec, self._stored(spec, kept, at), kept)

    def _stored(self, spec: Spec, kept: list[SecretPath], at: str) -> msgspec.Raw:
        """Returns the spec as it is stored: secrets sealed, what has its default left out."""
        raw = msgspec.json.encode(spec)
        plain = msgspec.json.decode(raw)
        paths = spec.secret_paths(plain)
        for path in paths:
            value = sealed.KEPT if path in kept else self._sealed(spec, path, sealed.at(plain, path), at)
            plain = sealed.placed(plain, path, value)
        return msgspec.Raw(msgspec.json.encode(plain) if paths else raw)

    def _sealed(self, spec: Spec, path: SecretPath, value: Any, at: str) -> dict[str, str]:
        if self.sealer.newest is None:
            raise RefusedError(RefusalCode.INVALID, _NO_KEY, _field(at, path))
        context = sealed.context(self.tenant_id, str(spec.__struct_config__.tag), path, spec.recipient)
        return {"sealed": self.sealer.seal(msgspec.json.encode(value), context), "for": spec.recipient}


def _is_kept(plain: dict[str, Any], path: SecretPath, at: str, *, keeps: bool) -> bool:
    """Tells whether the stored value is to stay; refuses every other form of a sealed one: clients cannot seal."""
    value = sealed.at(plain, path)
    if not sealed.claims_sealed(value):
        return False
    if keeps and sealed.is_kept(value):
        return True
    raise RefusedError(RefusalCode.INVALID, _ONLY_KEPT if keeps else _KEEPS_NOTHING, _field(at, path))


def _field(at: str, path: SecretPath) -> str:
    return ".".join((at, *path))
