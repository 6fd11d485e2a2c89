"""Probe modules: named check options. The kinds define presets; a TOML file may add and change modules."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from libs.bus.subjects import is_token
from libs.kinds.registry import kinds, prometheus_modules
from libs.model.monitor import DEFAULT_LOCATION
from libs.model.requests.errors import ErrorCode, RequestError
from services.gateway.dialects.native.schemas import TIMEOUT_S_MAX, TIMEOUT_S_MIN
from services.gateway.web.strict_body import decode_spec

_RESERVED = frozenset({"kind", "timeout_s", "location"})


class ProbeModule(msgspec.Struct, frozen=True, kw_only=True):
    """One module. `options` are JSON options of its kind. Without `timeout_s` the scrape timeout applies."""

    name: str
    kind: str
    options: Mapping[str, Any]
    timeout_s: float | None = None
    location: str = DEFAULT_LOCATION

    def spec(self, target: str, hostname: str | None = None) -> msgspec.Raw:
        """Returns the spec for a target as JSON, or refuses a target that the kind does not accept."""
        try:
            fields = kinds()[self.kind].with_target(self.options, target, hostname)
        except ValueError as error:
            raise RequestError(ErrorCode.INVALID, str(error), self.name) from error
        return msgspec.Raw(msgspec.json.encode({**fields, "kind": self.kind}))


def load_modules(file: str = "", *, seals: bool = True) -> dict[str, ProbeModule]:
    """Returns all modules by name: the presets of the kinds, overridden by those of `file` (TOML).

    ValueError contains the file, the module and the invalid field. Secrets are refused unless this gateway `seals`.
    """
    brought = {
        name: ProbeModule(name=name, kind=kind, options=options)
        for name, (kind, options) in prometheus_modules().items()
    }
    if not file:
        return brought
    try:
        own = {name: _parse_module(name, table, brought.get(name)) for name, table in _read_file(file).items()}
        if not seals:
            _check_no_secrets(own.values())
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return brought | own


def _check_no_secrets(found: Iterable[ProbeModule]) -> None:
    for module in found:
        for path in kinds()[module.kind].secret_paths(dict(module.options)):
            place = ".".join((module.name, *path))
            raise ValueError(f"{place}: is a secret, and this gateway has no key to seal it with: VEDETTE_SEALING_KEYS")


def _read_file(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"is not TOML: {error}") from error


def _parse_module(name: str, table: Any, brought: ProbeModule | None) -> ProbeModule:
    if not isinstance(table, dict):
        raise ValueError(f"{name}: must be a table, [{name}], of the options of a kind")  # noqa: TRY004 - of the file
    kind = table.get("kind", brought.kind if brought else None)
    if kind not in _kinds_with_target():
        raise ValueError(f"{name}.kind: must be one of {', '.join(_kinds_with_target())}")
    base = brought.options if brought and brought.kind == kind else {}
    own = {key: value for key, value in table.items() if key not in _RESERVED}
    made = ProbeModule(
        name=name,
        kind=kind,
        options={**base, **own},
        timeout_s=_parse_timeout(name, table.get("timeout_s")),
        location=_parse_location(name, table.get("location", DEFAULT_LOCATION)),
    )
    _validate(made, own)
    return made


def _kinds_with_target() -> list[str]:
    return [kind for kind, spec in kinds().items() if spec.sample_target]


def _validate(module: ProbeModule, own: Mapping[str, Any]) -> None:
    """Builds a sample spec, so that invalid options are found at startup."""
    shape = kinds()[module.kind]
    for option in shape.with_target({}, shape.sample_target):
        if option in own:
            raise ValueError(f"{module.name}.{option}: is set by the parameter target and not allowed in a module")
    try:
        decode_spec(module.spec(shape.sample_target), shape, module.name)
    except RequestError as error:
        raise ValueError(f"{error.info.field}: {error.info.detail}") from error


def _parse_timeout(name: str, value: Any) -> float | None:
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not TIMEOUT_S_MIN <= value <= TIMEOUT_S_MAX:
        raise ValueError(f"{name}.timeout_s: must be a number from {TIMEOUT_S_MIN:g} to {TIMEOUT_S_MAX:g}")
    return float(value)


def _parse_location(name: str, value: Any) -> str:
    if not isinstance(value, str) or not is_token(value):
        raise ValueError(f"{name}.location: must be 1 to 64 letters, digits, dashes or underscores")
    return value
