"""nginx as the target and blackbox_exporter as the other prober, both as children on loopback with files of their own."""

import contextlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from socket import create_server, socket

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support.ports import free_port, listens
from tests.support.processes import Process
from tests.support.servers import scratch
from tests.support.targets.certificates import Authority, Key

PAGE = b"<!doctype html><title>bench</title>\n".ljust(1023, b".") + b"\n"
LATE_S = 1

_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; root {folder}/pages; ssl_protocols TLSv1.2 TLSv1.3;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  {servers}
}}
"""
_SERVER = "server {{ listen 127.0.0.1:{port} backlog=1024 {options}; {certificate} }}\n"

_BLACKBOX = """
modules:
  http: {module}
  http2: {http2}
  late: {late}
"""
_MODULE = (
    "{{prober: http, timeout: {timeout_s}s, http: {{preferred_ip_protocol: ip4, enable_http2: {http2}, "
    "tls_config: {{ca_file: {ca_file}}}}}}}"
)


@dataclass(frozen=True)
class Targets:
    """Where the targets are, and the file of the authority that signed them."""

    plain: str
    rsa: str
    ecdsa: str
    http2: str
    silent: str
    ca_file: Path


@dataclass(frozen=True)
class Blackbox:
    """A running blackbox_exporter."""

    port: int
    pid: int


@contextlib.contextmanager
def running() -> Iterator[tuple[Targets, Blackbox]]:
    """Runs everything that both probers need."""
    with scratch("blackbox") as folder, contextlib.ExitStack() as stack:
        targets = stack.enter_context(_targets(folder))
        yield targets, stack.enter_context(_blackbox(folder, targets.ca_file))


@contextlib.contextmanager
def _targets(folder: Path) -> Iterator[Targets]:
    keys: dict[str, Key] = {"rsa": _rsa(), "ecdsa": ec.generate_private_key(ec.SECP256R1())}
    # As in the world: authorities with RSA keys sign RSA keys, those with EC keys sign EC keys.
    authorities = {name: _authority(folder / name, key) for name, key in keys.items()}
    certificates = {name: _certificate(folder / name, authorities[name], key) for name, key in keys.items()}
    ca_file = folder / "authorities.pem"
    ca_file.write_bytes(b"".join(each.ca_file.read_bytes() for each in authorities.values()))
    ports = {name: free_port() for name in ("plain", "rsa", "ecdsa", "http2")}
    blocks = [_SERVER.format(port=ports["plain"], options="", certificate="")]
    blocks += [_SERVER.format(port=ports[name], options="ssl", certificate=certificates[name]) for name in keys]
    blocks.append(_SERVER.format(port=ports["http2"], options="ssl http2", certificate=certificates["ecdsa"]))
    with _nginx(folder, "  ".join(blocks), ports["http2"]), _silent() as silent:
        urls = {name: f"{'http' if name == 'plain' else 'https'}://127.0.0.1:{port}/" for name, port in ports.items()}
        yield Targets(**urls, silent=f"http://127.0.0.1:{silent}/", ca_file=ca_file)


def _authority(folder: Path, key: Key) -> Authority:
    """Returns an authority with a key of the same kind, in a folder of its own."""
    folder.mkdir()
    return Authority(folder, key=_rsa() if isinstance(key, rsa.RSAPrivateKey) else None)


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _certificate(folder: Path, authority: Authority, key: Key) -> str:
    """Returns nginx's lines for a certificate by this authority."""
    authority.server("127.0.0.1", key=key)
    file = next(path for path in folder.glob("*.pem") if path != authority.ca_file)
    return f"ssl_certificate {file}; ssl_certificate_key {file};"


@contextlib.contextmanager
def _nginx(folder: Path, servers: str, port: int) -> Iterator[None]:
    (folder / "pages").mkdir()
    (folder / "pages" / "index.html").write_bytes(PAGE)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, servers=servers))
    command = [_binary("nginx"), "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx.log")]
    with _process("nginx", command, folder, port):
        yield


@contextlib.contextmanager
def _blackbox(folder: Path, ca_file: Path) -> Iterator[Blackbox]:
    config = folder / "blackbox.yml"
    config.write_text(
        _BLACKBOX.format(
            module=_MODULE.format(timeout_s=10, http2="false", ca_file=ca_file),
            http2=_MODULE.format(timeout_s=10, http2="true", ca_file=ca_file),
            late=_MODULE.format(timeout_s=LATE_S, http2="false", ca_file=ca_file),
        )
    )
    port = free_port()
    command = [_binary("prometheus-blackbox-exporter", "blackbox_exporter"), f"--config.file={config}"]
    with _process("blackbox", [*command, f"--web.listen-address=127.0.0.1:{port}"], folder, port) as process:
        yield Blackbox(port, process.pid)


@contextlib.contextmanager
def _process(name: str, command: list[str], folder: Path, port: int) -> Iterator[Process]:
    process = Process(name, command, log=folder / f"{name}.out")
    process.start()
    try:
        process.wait_until(lambda: listens(port))
        yield process
    finally:
        process.kill()


def _binary(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise SystemExit(f"{names[0]} is not on the path: apt-get install prometheus-blackbox-exporter nginx-light")
    return found


@contextlib.contextmanager
def _silent() -> Iterator[int]:
    """Runs a target that takes every connection and never says a word; yields its port."""
    with create_server(("127.0.0.1", 0), backlog=1024) as server:
        threading.Thread(target=_swallow, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _swallow(server: socket) -> None:
    """Reads each connection to its end, one after the other: the kernel has taken the rest already."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection:
                while connection.recv(4096):
                    pass
