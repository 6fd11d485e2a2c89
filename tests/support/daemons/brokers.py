"""Mosquitto and RabbitMQ."""

import contextlib
from collections.abc import Iterator

from tests.support.daemons.daemon import Daemon, binary, place, running
from tests.support.ports import free_port, listens
from tests.support.processes import Process


@contextlib.contextmanager
def mosquitto(*, anonymous: bool = True) -> Iterator[Daemon]:
    server = binary("mosquitto", "mosquitto")
    with place("mosquitto") as own:
        lines = (
            f"allow_anonymous {'true' if anonymous else 'false'}",
            "log_dest stderr",
            "log_type all",
            f"listener {own.port} 127.0.0.1",
            f"listener {own.tls_port} 127.0.0.1",
            f"certfile {own.certificate}",
            f"keyfile {own.certificate}",
        )
        config = own.write("mosquitto.conf", "\n".join(lines) + "\n")
        with running("mosquitto", own, [server, "-c", str(config)], ready=" running\n") as daemon:
            yield daemon


@contextlib.contextmanager
def rabbitmq() -> Iterator[Daemon]:
    """RabbitMQ, which takes ten seconds and more to start, and its port mapper."""
    server, mapper = binary("rabbitmq-server", "rabbitmq-server"), binary("epmd", "rabbitmq-server")
    with place("rabbitmq") as own:
        map_port = free_port()
        at = {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(map_port)}
        epmd = Process("epmd", [mapper], log=own.folder / "epmd.log", env=at, account=own.account)
        epmd.start()
        try:
            epmd.wait_until(lambda: listens(map_port))
            lines = (f"listeners.tcp.1 = 127.0.0.1:{own.port}", "log.console = true", "log.file = false")
            env = at | {
                "HOME": str(own.make("home")),
                "RABBITMQ_NODENAME": f"vedette{own.port}@localhost",
                "RABBITMQ_DIST_PORT": str(free_port()),
                "RABBITMQ_MNESIA_BASE": str(own.make("mnesia")),
                "RABBITMQ_LOG_BASE": str(own.make("log")),
                "RABBITMQ_CONFIG_FILE": str(own.write("rabbitmq.conf", "\n".join(lines) + "\n")),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(own.folder / "plugins"),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none -start_epmd false",
            }
            with running("rabbitmq-server", own, [server], env=env, ready="Server startup complete") as daemon:
                yield daemon
        finally:
            epmd.kill()
