"""Slapd."""

import contextlib
from collections.abc import Iterator

from tests.support.daemons.daemon import Daemon, binary, place, running


@contextlib.contextmanager
def slapd(*options: str, tls: bool = True) -> Iterator[Daemon]:
    """A slapd without any data, but its root DSE. `options` are lines of its configuration."""
    server = binary("slapd", "slapd")
    with place("slapd") as own:
        files = (f"TLSCertificateFile {own.certificate}", f"TLSCertificateKeyFile {own.certificate}") if tls else ()
        lines = (f"pidfile {own.folder / 'pid'}", *files, *options)
        config = own.write("slapd.conf", "\n".join(lines) + "\n")
        urls = f"ldap://127.0.0.1:{own.port}/" + (f" ldaps://127.0.0.1:{own.tls_port}/" if tls else "")
        # 256 is the level of Debian: what is asked and answered.
        command = [server, "-h", urls, "-f", str(config), "-d", "256"]
        with running("slapd", own, command, ready="slapd starting") as daemon:
            yield daemon
