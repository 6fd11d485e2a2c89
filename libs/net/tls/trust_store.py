"""The root certificates in the folder of this machine: a context tells only those that it has used."""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

_ROOT_FILE = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def root_files() -> Iterator[Path]:
    folder = ssl.get_default_verify_paths().capath
    return (path for path in Path(folder).iterdir() if _ROOT_FILE.fullmatch(path.name)) if folder else iter(())


def read_root_folder() -> Iterator[bytes]:
    """Yields the certificates of the folder of roots, of which a context tells only those that it has used."""
    for path in root_files():
        try:
            yield ssl.PEM_cert_to_DER_cert(path.read_text())
        except (OSError, ValueError):
            continue
