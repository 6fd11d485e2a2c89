"""A real nginx on loopback: with HTTP/2 on one port, without it on another."""

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.targets.certificates import Authority

# In CI, which installs it, its absence fails.
NEEDED = "CI" in os.environ
PAGE = b"0123456789" * 300_000
_CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log info;
events {{}}
http {{
  access_log off; root {folder}/pages; default_type text/html; gzip on; gzip_types text/plain;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  ssl_certificate {certificate}; ssl_certificate_key {certificate};
  server {{
    listen 127.0.0.1:{both} ssl http2;
    location /said {{ return 200 "$request_method $http_host $http_x_a $server_protocol"; }}
    location /moved {{ return 302 /said; }}
    location /last {{ keepalive_requests 1; }}
  }}
  server {{ listen 127.0.0.1:{old} ssl; }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """Where it listens: with HTTP/2 and without. `errors` is what it has complained about."""

    both: int
    old: int
    ca_file: Path
    log: Path

    @property
    def errors(self) -> str:
        return self.log.read_text()


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """Runs one; skips the test where there is none, except in CI."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None and not NEEDED:
        pytest.skip("no nginx on this machine: apt-get install nginx-light")
    assert program is not None, "CI must install nginx"
    authority = Authority(folder)
    (folder / "pages").mkdir()
    (folder / "pages" / "index.html").write_bytes(PAGE)
    (folder / "pages" / "last").write_bytes(b"Hello, world")
    given = {"folder": folder, "certificate": authority.server_file("127.0.0.1")}
    served = Nginx(free_port(), free_port(), authority.ca_file, folder / "error.log")
    (folder / "nginx.conf").write_text(_CONFIG.format(**given, both=served.both, old=served.old))
    process = Process("nginx", [program, "-p", str(folder), "-c", str(folder / "nginx.conf")], log=folder / "log")
    process.start()
    try:
        process.wait_until(lambda: _listens(served.both) and _listens(served.old))
        yield served
    finally:
        process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
