"""Registry of kinds, found by folder: services/KIND/spec.py with a class tagged KIND."""

import functools
import importlib
import importlib.util
import inspect
import operator
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import msgspec

import services
from libs.model.spec import Spec


@functools.cache
def kinds() -> dict[str, type[Spec]]:
    """Returns every kind's spec class by its name, which is the name of its folder."""
    folders = (module.name for module in pkgutil.iter_modules(services.__path__) if module.ispkg)
    found = {name: _spec_class(module) for name in sorted(folders) if (module := _spec_module(name))}
    for name, spec in found.items():
        tag = spec.__struct_config__.tag
        if tag != name:
            raise TypeError(f"services/{name}/spec.py: the tag is {tag!r} and must be the folder's name, {name!r}")
    return found


@functools.cache
def prometheus_modules() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Returns the kind and the options of every preset by its name, which belongs to one kind alone."""
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for kind, spec in kinds().items():
        for name, options in spec.prometheus_modules.items():
            if name in found:
                raise TypeError(
                    f"services/{kind}/spec.py: the preset {name!r} is one of kind {found[name][0]!r} already"
                )
            found[name] = (kind, options)
    return found


@functools.cache
def spec_union() -> Any:
    """Returns the tagged union of all specs, for decoders and for OpenAPI."""
    return functools.reduce(operator.or_, kinds().values())


@functools.cache
def _spec_decoder() -> msgspec.json.Decoder[Spec]:
    return msgspec.json.Decoder(spec_union(), strict=True)


def decode_spec(raw: bytes | msgspec.Raw) -> Spec:
    """Returns the spec that `raw` (JSON with its `kind`) describes, or raises msgspec.ValidationError."""
    return _spec_decoder().decode(raw)


def _spec_module(name: str) -> ModuleType | None:
    path = f"services.{name}.spec"
    return importlib.import_module(path) if importlib.util.find_spec(path) else None


def _spec_class(module: ModuleType) -> type[Spec]:
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Spec) and value.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise TypeError(f"{module.__name__} must define exactly one Spec class, not {len(own)}")
    return own[0]
