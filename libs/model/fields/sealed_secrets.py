"""JSON forms of a secret in a spec: plain, sealed, and kept. Pure: nothing is decrypted here.

`{"sealed": TEXT, "for": RECIPIENT}` is what lies on the bus and in tables, and `{"sealed": true}` what a client sees,
and sends to keep what is stored.
"""

from typing import Any

import msgspec

from libs.model.spec import SecretPath

# Is in the bytes of every spec with a sealed value, so that all others need not be decoded to know.
SEALED_MARKER = b'"sealed"'
REDACTED = {"sealed": True}


class SealedSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret that can be opened only with a key, and only for this recipient (`Spec.recipient`)."""

    sealed: str
    recipient: str = msgspec.field(name="for")


class SecretNotStoredError(Exception):
    """A secret was to be kept that is not stored, or not for this recipient. The message is for people."""

    def __init__(self, path: SecretPath, detail: str) -> None:
        super().__init__(detail)
        self.path = path


def sealing_context(tenant_id: str, kind: str, path: SecretPath, recipient: str) -> str:
    """Returns what a secret is sealed for: it opens for this tenant, kind, option and recipient, and no other."""
    return msgspec.json.encode([tenant_id, kind, *path, recipient]).decode()


def parse_sealed(value: Any) -> SealedSecret | None:
    """Returns the sealed value that this JSON is, or None for any other JSON."""
    try:
        return msgspec.convert(value, SealedSecret)
    except msgspec.ValidationError:
        return None


def looks_sealed(value: Any) -> bool:
    """Tells whether this JSON is meant as a sealed value or a kept one, well-formed or not."""
    return isinstance(value, dict) and "sealed" in value


def is_redacted(value: Any) -> bool:
    """Tells whether this JSON is exactly `{"sealed": true}`; 1 is not true."""
    return isinstance(value, dict) and value.keys() == REDACTED.keys() and value["sealed"] is True


def value_at(spec: Any, path: SecretPath) -> Any:
    """Returns what stands at `path`; None if nothing does."""
    for name in path:
        spec = spec.get(name) if isinstance(spec, dict) else None
    return spec


def with_value(spec: dict[str, Any], path: SecretPath, value: Any) -> dict[str, Any]:
    """Returns `spec` with `value` at `path`, where something stands already; `spec` itself stays as it is."""
    head, rest = path[0], path[1:]
    return {**spec, head: with_value(spec[head], rest, value) if rest else value}


def redact_spec(spec: msgspec.Raw) -> msgspec.Raw:
    """Returns the spec as a client may see it. Found by form and not by kind, so that none can be forgotten."""
    if SEALED_MARKER not in bytes(spec):
        return spec
    return msgspec.Raw(msgspec.json.encode(_redact_value(msgspec.json.decode(spec))))


def with_stored_secrets(new: msgspec.Raw, old: msgspec.Raw, paths: list[SecretPath], recipient: str) -> msgspec.Raw:
    """Returns `new` with the sealed values of `old` at `paths`; NotStoredError if one is not there to be kept."""
    plain, stored = msgspec.json.decode(new), msgspec.json.decode(old)
    for path in paths:
        value = value_at(stored, path)
        sealed = parse_sealed(value)
        if sealed is None:
            raise SecretNotStoredError(path, "nothing is stored here that could be kept: give the value")
        if sealed.recipient != recipient:
            detail = f"was given for {sealed.recipient}, and is not shown to {recipient}: give it again"
            raise SecretNotStoredError(path, detail)
        plain = with_value(plain, path, value)
    return msgspec.Raw(msgspec.json.encode(plain))


def _redact_value(value: Any) -> Any:
    if isinstance(value, dict):
        return REDACTED if parse_sealed(value) else {name: _redact_value(item) for name, item in value.items()}
    return [_redact_value(item) for item in value] if isinstance(value, list) else value
