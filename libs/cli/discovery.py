"""Discovery of services and probes by folder: a folder under services/ with a __main__.py is a service."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from typing import Any, cast

from libs.kinds.registry import kinds
from libs.model.probe import Probe
from libs.model.spec import Spec
from libs.process.service import Service
from libs.process.settings import Settings


def service_names() -> list[str]:
    """Returns the names of all services."""
    root = importlib.import_module("services")
    folders = (module.name for module in pkgutil.iter_modules(root.__path__) if module.ispkg)
    return sorted(name for name in folders if importlib.util.find_spec(f"services.{name}.__main__"))


def load_service(name: str) -> Service:
    """Imports and returns the service of one folder, without importing the other services."""
    made = importlib.import_module(f"services.{name}.__main__").service()
    if not isinstance(made, Service) or made.name != name:
        raise TypeError(f"services/{name}/__main__.py: service() must return the Service named {name!r}")
    return made


def specs_by_scheme() -> dict[str, type[Spec]]:
    """Returns the spec class for each URL scheme of `vedette check`. TypeError if two kinds claim a scheme."""
    found: dict[str, type[Spec]] = {}
    for kind, spec in kinds().items():
        for scheme in spec.schemes:
            if scheme in found:
                other = found[scheme].__struct_config__.tag
                raise TypeError(
                    f"services/{kind}/spec.py: the scheme {scheme!r} belongs to kind {other!r}; take another one"
                )
            found[scheme] = spec
    return found


def create_probe(spec: Spec, settings: Settings) -> Probe[Spec]:
    """Returns the probe for `spec`, made by `probe(settings)` in the `__main__.py` of its kind."""
    kind = str(spec.__struct_config__.tag)
    make = cast("Callable[[Settings], Any]", importlib.import_module(f"services.{kind}.__main__").probe)
    return cast("Probe[Spec]", make(settings))
