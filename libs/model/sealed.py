"""The forms that a secret takes in a spec as JSON, outside of the rooms that use it. Pure: nothing is opened here.

`{"sealed": TEXT, "for": RECIPIENT}` is what lies on the bus and in tables, and `{"sealed": true}` what a client sees,
and sends to keep what is stored.
"""

from typing import Any

import msgspec

from libs.model.spec import SecretPath

# Is in the bytes of every spec with a sealed value, so that all others need not be decoded to know.
MARK = b'"sealed"'
KEPT = {"sealed": True}


class Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret that can be opened only with a key, and only for this recipient (`Spec.recipient`)."""

    sealed: str
    recipient: str = msgspec.field(name="for")


class NotStoredError(Exception):
    """A secret was to be kept that is not stored, or not for this recipient. The message is for people."""

    def __init__(self, path: SecretPath, detail: str) -> None:
        super().__init__(detail)
        self.path = path


def context(tenant_id: str, kind: str, path: SecretPath, recipient: str) -> str:
    """Returns what a secret is sealed for: it opens for this tenant, kind, option and recipient, and no other."""
    return msgspec.json.encode([tenant_id, kind, *path, recipient]).decode()


def as_sealed(value: Any) -> Sealed | None:
    """Returns the sealed value that this JSON is, or None for any other JSON."""
    try:
        return msgspec.convert(value, Sealed)
    except msgspec.ValidationError:
        return None


def claims_sealed(value: Any) -> bool:
    """Tells whether this JSON is meant as a sealed value or a kept one, well-formed or not."""
    return isinstance(value, dict) and "sealed" in value


def is_kept(value: Any) -> bool:
    """Tells whether this JSON is exactly `{"sealed": true}`; 1 is not true."""
    return isinstance(value, dict) and value.keys() == KEPT.keys() and value["sealed"] is True


def at(spec: Any, path: SecretPath) -> Any:
    """Returns what stands at `path`; None if nothing does."""
    for name in path:
        spec = spec.get(name) if isinstance(spec, dict) else None
    return spec


def placed(spec: dict[str, Any], path: SecretPath, value: Any) -> dict[str, Any]:
    """Returns `spec` with `value` at `path`, where something stands already; `spec` itself stays as it is."""
    head, rest = path[0], path[1:]
    return {**spec, head: placed(spec[head], rest, value) if rest else value}


def shown(spec: msgspec.Raw) -> msgspec.Raw:
    """Returns the spec as a client may see it. Found by form and not by kind, so that none can be forgotten."""
    if MARK not in bytes(spec):
        return spec
    return msgspec.Raw(msgspec.json.encode(_shown(msgspec.json.decode(spec))))


def with_kept(new: msgspec.Raw, old: msgspec.Raw, paths: list[SecretPath], recipient: str) -> msgspec.Raw:
    """Returns `new` with the sealed values of `old` at `paths`; NotStoredError if one is not there to be kept."""
    plain, stored = msgspec.json.decode(new), msgspec.json.decode(old)
    for path in paths:
        value = at(stored, path)
        sealed = as_sealed(value)
        if sealed is None:
            raise NotStoredError(path, "nothing is stored here that could be kept: give the value")
        if sealed.recipient != recipient:
            detail = f"was given for {sealed.recipient}, and is not shown to {recipient}: give it again"
            raise NotStoredError(path, detail)
        plain = placed(plain, path, value)
    return msgspec.Raw(msgspec.json.encode(plain))


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return KEPT if as_sealed(value) else {name: _shown(item) for name, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value
