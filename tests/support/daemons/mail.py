"""OpenSSH, Exim, Dovecot and vsftpd: they are started as root, and give that up themselves."""

import contextlib
import dataclasses
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons.daemon import Daemon, Place, binary, place, running
from tests.support.ports import free_port

_SSHD = """\
ListenAddress 127.0.0.1:{port}
HostKey {key}
PidFile none
UsePAM no
MaxStartups {startups}
"""
_EXIM = """\
primary_hostname = mail.vedette.test
daemon_smtp_ports = {port} : {tls_port}
local_interfaces = 127.0.0.1
tls_on_connect_ports = {tls_port}
tls_advertise_hosts = {offered}
tls_certificate = {certificate}
tls_privatekey = {certificate}
spool_directory = {spool}
log_file_path = {spool}/%slog
log_selector = +smtp_connection +smtp_protocol_error +smtp_syntax_error +lost_incoming_connection
pid_file_path = {spool}/pid
acl_smtp_connect = connect
host_lookup =
disable_ipv6 = true
helo_lookup_domains =
rfc1413_query_timeout = 0s
begin acl
connect:
  {verdict}
"""
_DOVECOT = """\
protocols = imap pop3 sieve
listen = 127.0.0.1
base_dir = {folder}/run
log_path = /dev/stderr
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{certificate}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
  }}
}}
service managesieve-login {{
  inet_listener sieve {{
    port = {sieve}
  }}
}}
"""
_VSFTPD = """\
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
anon_root={folder}
local_enable=NO
secure_chroot_dir={folder}
ssl_enable=YES
allow_anon_ssl=YES
rsa_cert_file={certificate}
implicit_ssl={implicit}
max_clients={clients}
vsftpd_log_file={folder}/daemon.log
xferlog_enable=YES
xferlog_std_format=NO
log_ftp_protocol=YES
ftpd_banner=Vedette's test
"""


class Dovecot(Daemon):
    """A Dovecot with a port for each protocol."""

    ports: dict[str, int]


@contextlib.contextmanager
def _as_root(name: str) -> Iterator[Place]:
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} must be started as root")
        pytest.skip(f"{name} must be started as root")
    with place(name) as own:
        # Whoever reads the certificate is root, too.
        os.chown(own.certificate, 0, 0)
        os.chown(own.folder, 0, 0)
        yield dataclasses.replace(own, account=None)


@contextlib.contextmanager
def sshd(startups: str = "10:30:100") -> Iterator[Daemon]:
    server, keygen = binary("sshd", "openssh-server"), binary("ssh-keygen", "openssh-client")
    with _as_root("sshd") as own:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where its unprivileged half is locked in
        key = own.folder / "key"
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, timeout=20)
        config = own.write("sshd_config", _SSHD.format(port=own.port, key=key, startups=startups))
        with running("sshd", own, [server, "-D", "-e", "-f", str(config)], ready="listening on") as daemon:
            yield daemon


@contextlib.contextmanager
def exim(*, tls: bool = True, verdict: str = "accept") -> Iterator[Daemon]:
    server = binary("exim4", "exim4-daemon-light")
    with _as_root("exim") as own:
        spool = own.folder / "spool"
        spool.mkdir(mode=0o777)
        spool.chmod(0o777)
        own.certificate.chmod(0o644)
        ports = {"port": own.port, "tls_port": own.tls_port}
        offered = "*" if tls else ""
        text = _EXIM.format(**ports, certificate=own.certificate, spool=spool, offered=offered, verdict=verdict)
        config = own.write("exim.conf", text)
        with running("exim", own, [server, "-bdf", "-q1h", "-C", str(config)]) as daemon:
            yield Logged(own, daemon.process, log=spool / "mainlog")


@dataclasses.dataclass
class Logged(Daemon):
    """A daemon that writes into a file of its own."""

    log: Path = Path("/dev/null")

    def _text(self) -> str:
        own = self.log.read_text(errors="replace") if self.log.exists() else ""
        return super()._text() + own


@contextlib.contextmanager
def dovecot() -> Iterator[tuple[Daemon, dict[str, int]]]:
    server = binary("dovecot", "dovecot-imapd")
    with _as_root("dovecot") as own:
        ports = {name: free_port() for name in ("imaps", "pop3", "pop3s", "sieve")} | {"imap": own.port}
        config = own.write("dovecot.conf", _DOVECOT.format(folder=own.folder, certificate=own.certificate, **ports))
        with running("dovecot", own, [server, "-F", "-c", str(config)], ready="starting up") as daemon:
            yield daemon, ports


@contextlib.contextmanager
def vsftpd(*, implicit: bool = False, clients: int = 0) -> Iterator[Daemon]:
    server = binary("vsftpd", "vsftpd")
    with _as_root("vsftpd") as own:
        given = {"port": own.port, "folder": own.folder, "certificate": own.certificate, "clients": clients}
        config = own.write("vsftpd.conf", _VSFTPD.format(**given, implicit="YES" if implicit else "NO"))
        with running("vsftpd", own, [server, str(config)]) as daemon:
            yield daemon
