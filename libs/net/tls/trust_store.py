"""Root certificates in the system's CA directory, which SSLContext.get_ca_certs does not list until they are used."""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

_ROOT_FILE = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def root_files() -> Iterator[Path]:
    folder = ssl.get_default_verify_paths().capath
    return (path for path in Path(folder).iterdir() if _ROOT_FILE.fullmatch(path.name)) if folder else iter(())


def read_root_folder() -> Iterator[bytes]:
    """Yields the certificates in the system's CA directory, in DER."""
    for path in root_files():
        try:
            yield ssl.PEM_cert_to_DER_cert(path.read_text())
        except (OSError, ValueError):
            continue
