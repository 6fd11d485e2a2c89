"""Validation of specs from clients, and sealing of their secrets."""

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
    """A validated spec: decoded as `spec`, and with sealed secrets as `raw`.

    At the paths in `kept_secrets`, `spec` has placeholders and `raw` has the marker for the stored value.
    """

    spec: Spec
    raw: msgspec.Raw
    kept_secrets: list[SecretPath]

    @property
    def kind(self) -> str:
        return str(self.spec.__struct_config__.tag)


@dataclass(frozen=True)
class SpecIntake:
    """Validates specs of one tenant and seals their secrets. RequestError contains the invalid field."""

    sealer: Sealer
    tenant_id: str

    def accept(self, raw: msgspec.Raw, at: str = "spec") -> AcceptedSpec:
        """Validates a new spec, with all secrets in plain text."""
        return self._accept(raw, at, keeps=False)

    def accept_change(self, raw: msgspec.Raw, at: str = "spec") -> AcceptedSpec:
        """Validates a replacement of a stored spec; it may keep stored secrets."""
        return self._accept(raw, at, keeps=True)

    def fingerprint(self, raw: msgspec.Raw) -> msgspec.Raw:
        """Returns an accepted spec with digests in place of its secrets; equal secrets have equal digests."""
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
        """Returns the spec as it is stored: secrets sealed, default values omitted."""
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
    """Whether the value keeps the stored secret. Every other sealed form is refused: clients cannot seal."""
    value = sealed_secrets.value_at(plain, path)
    if not sealed_secrets.looks_sealed(value):
        return False
    if keeps and sealed_secrets.is_redacted(value):
        return True
    raise RequestError(ErrorCode.INVALID, _VALUE_OR_KEEP if keeps else _NOTHING_STORED, _field_path(at, path))


def _field_path(at: str, path: SecretPath) -> str:
    return ".".join((at, *path))
