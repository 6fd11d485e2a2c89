"""Services and probes, found by folder: a folder under services/ with a __main__.py is a service."""

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
    """Returns the service of this folder, importing nothing of the others."""
    made = importlib.import_module(f"services.{name}.__main__").service()
    if not isinstance(made, Service) or made.name != name:
        raise TypeError(f"services/{name}/__main__.py: service() must return the Service named {name!r}")
    return made


def specs_by_scheme() -> dict[str, type[Spec]]:
    """Returns which kind looks at which kind of URL."""
    return {scheme: spec for spec in kinds().values() for scheme in spec.schemes}


def create_probe(spec: Spec, settings: Settings) -> Probe[Spec]:
    """Returns the probe for this spec: what `probe(settings)` of its service makes."""
    kind = str(spec.__struct_config__.tag)
    make = cast("Callable[[Settings], Any]", importlib.import_module(f"services.{kind}.__main__").probe)
    return cast("Probe[Spec]", make(settings))
