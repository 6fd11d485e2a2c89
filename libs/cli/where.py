"""Which installation a command of an operator is about: the one in the environment, else the `vedette up` beside us."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libs.cli.up import SEALING_FILE
from libs.process.embedded.nats import URL_FILE
from libs.process.settings import Settings, load, variable


def beside(settings: Settings, environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns the settings that `vedette up` left in its data directory, unless the environment names a NATS.

    Whoever can read that directory operates the installation anyway.
    """
    folder = Path(settings.data_dir)
    url, seals = folder / "nats" / URL_FILE, folder / SEALING_FILE
    if not url.exists() or _names(environ, "nats_url"):
        return {}
    found: dict[str, Any] = {"nats_url": url.read_text(encoding="utf-8").strip()}
    if seals.exists() and not _names(environ, "sealing_keys"):
        found["sealing_keys"] = load({f"{variable('sealing_keys')}_FILE": str(seals)}).sealing_keys
    return found


def _names(environ: Mapping[str, str], setting: str) -> bool:
    name = variable(setting)
    return name in environ or f"{name}_FILE" in environ
