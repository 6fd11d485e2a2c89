"""Command line entry point `vedette`: composes the services."""

import argparse
import asyncio
import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from libs.cli import discovery, tenancy_parser
from libs.cli.bootstrap import bootstrap
from libs.cli.check import CheckOptions, build_spec, check
from libs.cli.installation import local_installation
from libs.cli.reseal import reseal
from libs.cli.tenancy import OperatorCommand, run_command
from libs.cli.up import TENANT, up
from libs.process import logs
from libs.process.run import run
from libs.process.settings import Settings, env_name, load
from libs.process.signals import EXIT_FAILED, EXIT_USAGE, print_error, run_until_stopped
from libs.process.version import VERSION

INSECURE_FIELD = "tls_verify"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 well, 1 failed (or not up), 2 asked for wrongly."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except ValueError as error:
        print_error(error)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_FAILED


def _up(options: argparse.Namespace) -> int:
    given = {"data_dir": options.data_dir, "host": options.host, "port": options.port}
    given |= {"nats_url": options.nats, "postgres_dsn": options.postgres, "nats_listen": options.nats_listen}
    settings = _load_settings(**given, **_up_defaults())
    services = tuple(map(discovery.load_service, discovery.service_names()))
    embed = (options.nats is None, options.postgres is None)
    return run_until_stopped(lambda stop: up(services, settings, embed=embed, stop=stop))


def _run(options: argparse.Namespace) -> int:
    known = discovery.service_names()
    for name in options.names:
        if name not in known:
            raise ValueError(f"there is no service {name!r}; there are {', '.join(known)}")
    return run(*map(discovery.load_service, dict.fromkeys(options.names)))


def _check(options: argparse.Namespace) -> int:
    question = CheckOptions(options.url, options.timeout, _spec_fields(options), options.json, colored=_wants_color())
    spec = build_spec(question)
    settings = _load_settings(**_unset_defaults(log_level="warning"))
    return asyncio.run(check(spec, question, settings))


def _wants_color() -> bool:
    """Tells whether colors are wanted: on a terminal that has them, and not where NO_COLOR is set (no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"  # noqa: TID251 - not our settings
    return wanted and sys.stdout.isatty()


def _bootstrap(options: argparse.Namespace) -> int:
    return run_until_stopped(functools.partial(bootstrap, options.tenant, _operator_settings()))


def _reseal(_: argparse.Namespace) -> int:
    return run_until_stopped(functools.partial(reseal, _operator_settings()))


def _operator_command(command: OperatorCommand) -> Callable[[argparse.Namespace], int]:
    return lambda options: run_until_stopped(functools.partial(run_command, command, options, _operator_settings()))


def _load_settings(**options: Any) -> Settings:
    settings = load(os.environ, **options)  # noqa: TID251 - settings.py reads it, we hand it over
    logs.configure(settings.log_level, settings.log_format)
    return settings


def _operator_settings() -> Settings:
    """Returns the settings of a command about an installation: that of the environment, or the `vedette up` here."""
    settings = _load_settings(**_unset_defaults(log_level="warning"))
    return msgspec.structs.replace(settings, **local_installation(settings, os.environ))  # noqa: TID251 - we hand it over


def _up_defaults() -> dict[str, Any]:
    """Under `up` the gateway's port reports the health of the whole process, and the log format is for a terminal.

    Who is on this machine may start programs on it, and so may ask for a probe without a key.
    """
    return _unset_defaults(health_port=0, log_level="warning", probe_allow="127.0.0.0/8,::1")


def _unset_defaults(**defaults: Any) -> dict[str, Any]:
    """Returns those of other defaults that hold, because the environment says nothing else."""
    return {name: value for name, value in defaults.items() if env_name(name) not in os.environ}  # noqa: TID251


def _spec_fields(options: argparse.Namespace) -> dict[str, Any]:
    fields = dict(_parse_field(text) for text in options.set)
    return fields | ({INSECURE_FIELD: False} if options.insecure else {})


def _parse_field(text: str) -> tuple[str, Any]:
    name, found, value = text.partition("=")
    if not found:
        raise ValueError(f"--set takes FIELD=VALUE, not {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _parse_port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: from 1 to 65535")
    return int(text)


def _parse_timeout(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no timeout: from 0.1 to 60 seconds")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vedette", description="Self-hosted monitoring.")
    parser.add_argument("--version", action="version", version=f"vedette {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands)
    named = commands.add_parser("run", help="run services by name against an external NATS and PostgreSQL")
    named.add_argument("names", nargs="+", metavar="NAME", help="the folder's name under services/")
    named.set_defaults(command=_run)
    _add_check(commands)
    first = commands.add_parser("bootstrap", help="make the first tenant and print its admin key, once")
    first.add_argument("--tenant", default=TENANT, metavar="NAME", help="what to call it (default: %(default)s)")
    first.set_defaults(command=_bootstrap)
    again = commands.add_parser("reseal", help="seal all stored secrets with the newest key")
    again.set_defaults(command=_reseal)
    tenancy_parser.add_commands(commands, _operator_command)
    return parser


def _add_up(commands: Any) -> None:
    parser = commands.add_parser("up", help="start everything: servers, services, a tenant and its key")
    parser.add_argument("--data-dir", metavar="DIR", help="where everything is kept (default: ./.vedette)")
    parser.add_argument("--host", help="address of the API (default: 127.0.0.1)")
    parser.add_argument("--port", type=_parse_port, help="port of the API (default: 8080)")
    parser.add_argument("--nats", metavar="URL", help="use this NATS instead of an own nats-server")
    parser.add_argument(
        "--nats-listen", metavar="HOST:PORT", help="address of the own nats-server (default: 127.0.0.1:0)"
    )
    parser.add_argument("--postgres", metavar="DSN", help="use this PostgreSQL instead of an own one")
    parser.set_defaults(command=_up)


def _add_check(commands: Any) -> None:
    parser = commands.add_parser("check", help="look at one target once, without any server")
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--json", action="store_true", help="print an object for a program")
    parser.add_argument(
        "--timeout", type=_parse_timeout, default=10.0, metavar="S", help="seconds (default: %(default)s)"
    )
    parser.add_argument("--insecure", action="store_true", help="accept any certificate")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="set an option of the kind")
    parser.set_defaults(command=_check)


if __name__ == "__main__":
    sys.exit(main())
