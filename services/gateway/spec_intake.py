"""Specs from clients: checked in plain, and passed on with their secrets sealed."""

from dataclasses import dataclass
from typing import Any

import msgspec

from libs.model.fields import sealed_secrets
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.spec import SecretPath, Spec
from libs.sealing.sealer import Sealer
from services.gateway.web.strict_body import decode, decode_spec, spec_class

_NO_SEALING_KEY = (
    "is a secret, and this gateway has no key to seal it with: set VEDETTE_SEALING_KEYS here and for the probers, "
    "or leave it out"
)
_NOTHING_STORED = 'must be the value itself: {"sealed": true} keeps one that is stored, and nothing is stored yet'
_VALUE_OR_KEEP = 'must be the value itself, or exactly {"sealed": true} to keep the one that is stored'


@dataclass(frozen=True)
class AcceptedSpec:
    """A spec that was taken: in plain, for a look at its other options, and `raw` as it leaves this process.

    Where `kept` leads, the plain spec has stand-ins, and `raw` waits for what is stored.
    """

    spec: Spec
    raw: msgspec.Raw
    kept_secrets: list[SecretPath]

    @property
    def kind(self) -> str:
        return str(self.spec.__struct_config__.tag)


@dataclass(frozen=True)
class SpecIntake:
    """Takes specs from clients of one tenant. What is not as described is refused with the name of the field."""

    sealer: Sealer
    tenant_id: str

    def accept(self, raw: msgspec.Raw, at: str = "spec") -> AcceptedSpec:
        """Takes a spec with everything in it."""
        return self._accept(raw, at, keeps=False)

    def accept_change(self, raw: msgspec.Raw, at: str = "spec") -> AcceptedSpec:
        """Takes a spec that replaces another one, whose secrets it may keep."""
        return self._accept(raw, at, keeps=True)

    def fingerprint(self, raw: msgspec.Raw) -> msgspec.Raw:
        """Returns a spec that was taken before with digests for its secrets: equal ones for equal secrets."""
        shape, plain = spec_class(raw, ""), msgspec.json.decode(raw)
        for path in shape.secret_paths(plain):
            value = msgspec.json.encode(sealed_secrets.value_at(plain, path), order="sorted")
            digest = self.sealer.digest(
                value, sealed_secrets.sealing_context(self.tenant_id, str(shape.__struct_config__.tag), path, "")
            )
            plain = sealed_secrets.with_value(plain, path, digest)
        return msgspec.Raw(msgspec.json.encode(plain))

    def _accept(self, raw: msgspec.Raw, at: str, *, keeps: bool) -> AcceptedSpec:
        shape = spec_class(raw, at)
        plain: dict[str, Any] = decode(raw, dict[str, Any], at)
        kept = [path for path in shape.secret_paths(plain) if _keeps_stored(plain, path, at, keeps=keeps)]
        for path in kept:
            plain = sealed_secrets.with_value(plain, path, shape.placeholder(path))
        spec = decode_spec(msgspec.Raw(msgspec.json.encode(plain)) if kept else raw, shape, at)
        return AcceptedSpec(spec, self._encode_sealed(spec, kept, at), kept)

    def _encode_sealed(self, spec: Spec, kept: list[SecretPath], at: str) -> msgspec.Raw:
        """Returns the spec as it is stored: secrets sealed, what has its default left out."""
        raw = msgspec.json.encode(spec)
        plain = msgspec.json.decode(raw)
        paths = spec.secret_paths(plain)
        for path in paths:
            value = (
                sealed_secrets.REDACTED
                if path in kept
                else self._seal(spec, path, sealed_secrets.value_at(plain, path), at)
            )
            plain = sealed_secrets.with_value(plain, path, value)
        return msgspec.Raw(msgspec.json.encode(plain) if paths else raw)

    def _seal(self, spec: Spec, path: SecretPath, value: Any, at: str) -> dict[str, str]:
        if self.sealer.newest_key_id is None:
            raise RequestError(ErrorCode.INVALID, _NO_SEALING_KEY, _field_path(at, path))
        context = sealed_secrets.sealing_context(self.tenant_id, str(spec.__struct_config__.tag), path, spec.recipient)
        return {"sealed": self.sealer.seal(msgspec.json.encode(value), context), "for": spec.recipient}


def _keeps_stored(plain: dict[str, Any], path: SecretPath, at: str, *, keeps: bool) -> bool:
    """Tells whether the stored value is to stay; refuses every other form of a sealed one: clients cannot seal."""
    value = sealed_secrets.value_at(plain, path)
    if not sealed_secrets.looks_sealed(value):
        return False
    if keeps and sealed_secrets.is_redacted(value):
        return True
    raise RequestError(ErrorCode.INVALID, _VALUE_OR_KEEP if keeps else _NOTHING_STORED, _field_path(at, path))


def _field_path(at: str, path: SecretPath) -> str:
    return ".".join((at, *path))
