"""Prosody and ngIRCd."""

import contextlib
from collections.abc import Iterator

from tests.support.daemons.daemon import Daemon, binary, place, running

_PROSODY = """\
pidfile = "{folder}/pid"
data_path = "{folder}/data"
daemonize = false
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {tls_port} }}
s2s_ports = {{ }}
modules_enabled = {{ "saslauth", "tls", "disco" }}
modules_disabled = {{ "s2s", "offline" }}
log = {{ info = "*console" }}
ssl = {{ certificate = "{certificate}", key = "{certificate}" }}
c2s_direct_tls_ssl = {{ certificate = "{certificate}", key = "{certificate}" }}
VirtualHost "localhost"
"""
_NGIRCD = """\
[Global]
Name = irc.vedette.test
Info = a test
Listen = 127.0.0.1
Ports = {port}
[Limits]
MaxConnectionsIP = 0
[Options]
DNS = no
Ident = no
PAM = no
[SSL]
Ports = {tls_port}
CertFile = {certificate}
KeyFile = {certificate}
"""


@contextlib.contextmanager
def prosody() -> Iterator[Daemon]:
    """Prosody, which serves the domain localhost and wants TLS."""
    server = binary("prosody", "prosody")
    with place("prosody") as own:
        own.make("data")
        config = own.write("prosody.cfg.lua", _filled(_PROSODY, own))
        with running(
            "prosody", own, [server, "-F", "--config", str(config)], ready="Activated service 'c2s_direct_tls'"
        ) as daemon:
            yield daemon


@contextlib.contextmanager
def ngircd() -> Iterator[Daemon]:
    server = binary("ngircd", "ngircd")
    with place("ngircd") as own:
        config = own.write("ngircd.conf", _filled(_NGIRCD, own))
        with running("ngircd", own, [server, "-n", "-f", str(config)], ready="Now listening on [127.0.0.1]") as daemon:
            yield daemon


def _filled(text: str, own: object) -> str:
    names = ("folder", "port", "tls_port", "certificate")
    return text.format(**{name: getattr(own, name) for name in names})
