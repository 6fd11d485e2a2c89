"""Installation that an operator command works on: from the environment, else the local `vedette up`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libs.cli.up import SEALING_FILE
from libs.process.embedded.nats import URL_FILE
from libs.process.settings import Settings, env_name, load


def local_installation(settings: Settings, environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns the settings that `vedette up` left in its data directory, unless the environment names a NATS.

    A user who can read that directory operates the installation anyway.
    """
    folder = Path(settings.data_dir)
    url, seals = folder / "nats" / URL_FILE, folder / SEALING_FILE
    if not url.exists() or _is_set(environ, "nats_url"):
        return {}
    found: dict[str, Any] = {"nats_url": url.read_text(encoding="utf-8").strip()}
    if seals.exists() and not _is_set(environ, "sealing_keys"):
        found["sealing_keys"] = load({f"{env_name('sealing_keys')}_FILE": str(seals)}).sealing_keys
    return found


def _is_set(environ: Mapping[str, str], setting: str) -> bool:
    name = env_name(setting)
    return name in environ or f"{name}_FILE" in environ
