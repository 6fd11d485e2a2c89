"""Unbound and chrony."""

import contextlib
from collections.abc import Iterator

from tests.support.daemons.daemon import Daemon, binary, place, running

_ZONE = """\
server:
  interface: 127.0.0.1
  port: {port}
  access-control: 127.0.0.1 allow
  do-daemonize: no
  use-syslog: no
  logfile: ""
  log-queries: yes
  log-replies: yes
  verbosity: 1
  chroot: ""
  username: ""
  pidfile: ""
  directory: "{folder}"
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "test." nodefault
  local-zone: "vedette.test." static
  local-data: "vedette.test. SOA ns.vedette.test. host.vedette.test. 1 2 3 4 5"
  local-data: "www.vedette.test. A 192.0.2.1"
  local-data: "www.vedette.test. A 192.0.2.2"
  local-data: 'long.vedette.test. TXT "{long}" "{long}" "{long}" "{long}" "{long}" "{long}"'
  local-zone: "refused.test." refuse
auth-zone:
  name: "broken.test."
  zonefile: "{folder}/broken.zone"
  for-downstream: yes
  fallback-enabled: no
"""


@contextlib.contextmanager
def unbound() -> Iterator[Daemon]:
    """Unbound with the zone vedette.test, refused.test which it refuses, and broken.test which it has lost."""
    server = binary("unbound", "unbound")
    with place("unbound") as own:
        own.write("broken.zone", "; nothing\n")
        config = own.write("unbound.conf", _ZONE.format(port=own.port, folder=own.folder, long="x" * 240))
        with running("unbound", own, [server, "-d", "-c", str(config)], ready="start of service") as daemon:
            yield daemon


@contextlib.contextmanager
def chrony(*options: str) -> Iterator[Daemon]:
    """A chronyd that leaves the clock of this machine alone, and serves it. `options` are lines of its configuration."""
    server = binary("chronyd", "chrony")
    with place("chrony") as own:
        lines = ("bindaddress 127.0.0.1", f"port {own.port}", "cmdport 0", "bindcmdaddress /", "allow 127.0.0.1")
        more = (f"pidfile {own.folder / 'pid'}", f"driftfile {own.folder / 'drift'}", "clientloglimit 100000", *options)
        config = own.write("chrony.conf", "\n".join((*lines, *more)) + "\n")
        command = [server, "-d", "-x", "-U", "-f", str(config)]

        with running("chronyd", own, command, ready="chronyd version") as daemon:
            yield daemon
