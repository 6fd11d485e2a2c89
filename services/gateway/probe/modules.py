"""Modules: named options with which Prometheus has a target probed. The kinds bring some, a file may add more."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from libs.bus.subjects import is_token
from libs.model.kinds import kinds, presets
from libs.model.monitor import DEFAULT_LOCATION
from libs.model.refusal import RefusalCode, RefusedError
from services.gateway.body import decode_spec
from services.gateway.native.shapes import TIMEOUT_S_MAX, TIMEOUT_S_MIN

_OWN = frozenset({"kind", "timeout_s", "location"})


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """One module. `options` are those of its kind, as JSON has them; without `timeout_s` a scrape has its whole time."""

    name: str
    kind: str
    options: Mapping[str, Any]
    timeout_s: float | None = None
    location: str = DEFAULT_LOCATION

    def spec(self, target: str, hostname: str | None = None) -> msgspec.Raw:
        """Returns what to probe, as a client would send it, or refuses what cannot be aimed at."""
        try:
            fields = kinds()[self.kind].aimed(self.options, target, hostname)
        except ValueError as error:
            raise RefusedError(RefusalCode.INVALID, str(error), self.name) from error
        return msgspec.Raw(msgspec.json.encode({**fields, "kind": self.kind}))


def modules(file: str = "", *, seals: bool = True) -> dict[str, Module]:
    """Returns all modules by name: the kinds' own, and over them those of `file` (TOML) if there is one.

    A ValueError names the file, the module and the field that is wrong. Without a key that `seals`, a secret is.
    """
    brought = {name: Module(name=name, kind=kind, options=options) for name, (kind, options) in presets().items()}
    if not file:
        return brought
    try:
        own = {name: _module(name, table, brought.get(name)) for name, table in _read(file).items()}
        if not seals:
            _check_open(own.values())
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return brought | own


def _check_open(found: Iterable[Module]) -> None:
    for module in found:
        for path in kinds()[module.kind].secret_paths(dict(module.options)):
            place = ".".join((module.name, *path))
            raise ValueError(f"{place}: is a secret, and this gateway has no key to seal it with: VEDETTE_SEALING_KEYS")


def _read(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"is not TOML: {error}") from error


def _module(name: str, table: Any, brought: Module | None) -> Module:
    if not isinstance(table, dict):
        raise ValueError(f"{name}: must be a table, [{name}], of the options of a kind")  # noqa: TRY004 - of the file
    kind = table.get("kind", brought.kind if brought else None)
    if kind not in _aimable():
        raise ValueError(f"{name}.kind: must be one of {', '.join(_aimable())}")
    base = brought.options if brought and brought.kind == kind else {}
    own = {key: value for key, value in table.items() if key not in _OWN}
    made = Module(
        name=name,
        kind=kind,
        options={**base, **own},
        timeout_s=_timeout_s(name, table.get("timeout_s")),
        location=_location(name, table.get("location", DEFAULT_LOCATION)),
    )
    _try(made, own)
    return made


def _aimable() -> list[str]:
    return [kind for kind, spec in kinds().items() if spec.sample_target]


def _try(module: Module, own: Mapping[str, Any]) -> None:
    """Makes a spec, so that what is wrong with the options is found before anybody asks."""
    shape = kinds()[module.kind]
    for option in shape.aimed({}, shape.sample_target):
        if option in own:
            raise ValueError(f"{module.name}.{option}: is what the parameter target says, and cannot stand in a module")
    try:
        decode_spec(module.spec(shape.sample_target), shape, module.name)
    except RefusedError as error:
        raise ValueError(f"{error.refusal.field}: {error.refusal.detail}") from error


def _timeout_s(name: str, value: Any) -> float | None:
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not TIMEOUT_S_MIN <= value <= TIMEOUT_S_MAX:
        raise ValueError(f"{name}.timeout_s: must be a number from {TIMEOUT_S_MIN:g} to {TIMEOUT_S_MAX:g}")
    return float(value)


def _location(name: str, value: Any) -> str:
    if not isinstance(value, str) or not is_token(value):
        raise ValueError(f"{name}.location: must be 1 to 64 letters, digits, dashes or underscores")
    return value
