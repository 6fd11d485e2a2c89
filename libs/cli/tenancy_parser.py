"""Command line of `vedette tenant`, `vedette key` and `vedette audit`."""

import argparse
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import UNSET

from libs.cli import tenancy
from libs.cli.tenancy import OperatorCommand
from libs.model.interval import INTERVALS_S

T = TypeVar("T")

CommandRunner = Callable[[OperatorCommand], Callable[[argparse.Namespace], int]]

LIMIT_MAX = 1000

_NONE = "none"


def add_commands(commands: Any, run: CommandRunner) -> None:
    """Adds the three commands; `run` makes of a piece of work what the parser calls."""
    _add_tenant(_add_group(commands, "tenant", "make, list and change tenants"), run)
    _add_key(_add_group(commands, "key", "make, list and revoke keys"), run)
    audit = commands.add_parser("audit", help="show who changed what, newest first")
    _add_tenant_option(audit)
    audit.add_argument(
        "--limit", type=_parse_limit, default=50, metavar="N", help="how many at most (default: %(default)s)"
    )
    _add_json_option(audit)
    audit.set_defaults(command=run(tenancy.show_audit))


def _add_tenant(verbs: Any, run: CommandRunner) -> None:
    add = verbs.add_parser("add", help="make a tenant and print its id")
    add.add_argument("name", type=_argument_type(tenancy.parse_name), metavar="NAME")
    _add_quota_options(add, None)
    add.set_defaults(command=run(tenancy.add_tenant))
    change = verbs.add_parser("set", help="change what a tenant is called or may have")
    change.add_argument("name", type=_argument_type(tenancy.parse_text), metavar="NAME")
    change.add_argument(
        "--rename", type=_argument_type(tenancy.parse_name), default=UNSET, metavar="NAME", help="a new name"
    )
    _add_quota_options(change, UNSET)
    change.set_defaults(command=run(tenancy.set_tenant))
    shown = verbs.add_parser("list", help="list tenants, oldest first")
    _add_json_option(shown)
    shown.set_defaults(command=run(tenancy.list_tenants))


def _add_key(verbs: Any, run: CommandRunner) -> None:
    add = verbs.add_parser("add", help="make a key and print it, this once")
    _add_tenant_option(add)
    add.add_argument(
        "--name", type=_argument_type(tenancy.parse_name), default="key", help="what to call it (default: %(default)s)"
    )
    add.add_argument(
        "--scope", action="append", required=True, choices=tenancy.SCOPES, help="what it may do; repeatable"
    )
    network = _argument_type(tenancy.parse_cidr)
    add.add_argument(
        "--cidr",
        action="append",
        default=[],
        type=network,
        metavar="RANGE",
        help="where from; repeatable (default: anywhere)",
    )
    add.add_argument(
        "--expires",
        type=_argument_type(tenancy.parse_expiry),
        metavar="WHEN",
        help="when it ends: 12h, 90d, or an instant",
    )
    add.add_argument(
        "--rate", type=_argument_type(tenancy.parse_rate), metavar="PER_S:BURST", help="requests that it may make"
    )
    add.set_defaults(command=run(tenancy.add_key))
    shown = verbs.add_parser("list", help="list the keys that work, oldest first")
    _add_tenant_option(shown)
    _add_json_option(shown)
    shown.set_defaults(command=run(tenancy.list_keys))
    revoke = verbs.add_parser("revoke", help="revoke a key, at once and everywhere")
    revoke.add_argument("id", type=_argument_type(tenancy.parse_text), metavar="ID")
    _add_tenant_option(revoke)
    revoke.set_defaults(command=run(tenancy.revoke_key))


def _add_quota_options(parser: argparse.ArgumentParser, default: object) -> None:
    add = functools.partial(parser.add_argument, default=default)
    clears = f", or {_NONE} for what the settings say" if default is UNSET else ""
    add(
        "--rate",
        type=_optional_type(tenancy.parse_rate),
        metavar="PER_S:BURST",
        help=f"requests of all its keys together{clears}",
    )
    add("--monitors-max", type=_optional_type(_parse_count), metavar="N", help=f"monitors that it may have{clears}")
    add(
        "--interval-min",
        type=_optional_type(_parse_interval),
        metavar="S",
        help=f"the shortest interval that it may choose, in seconds{clears}",
    )


def _add_group(commands: Any, name: str, help_text: str) -> Any:
    return commands.add_parser(name, help=help_text).add_subparsers(required=True, metavar="VERB")


def _add_tenant_option(parser: argparse.ArgumentParser) -> None:
    help_text = "whose (default: the only tenant there is)"
    parser.add_argument("--tenant", type=_argument_type(tenancy.parse_text), metavar="NAME", help=help_text)


def _add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print a list for a program")


def _argument_type(reader: Callable[[str], T]) -> Callable[[str], T]:
    """Returns `reader` as argparse wants it: what it says about a bad value is what a person sees."""

    def read(text: str) -> T:
        try:
            return reader(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def _optional_type(reader: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda text: None if text == _NONE else _argument_type(reader)(text)


def _parse_count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def _parse_limit(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= LIMIT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no count from 1 to {LIMIT_MAX}")
    return int(text)


def _parse_interval(text: str) -> int:
    if not text.isdecimal() or int(text) not in INTERVALS_S:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(map(str, INTERVALS_S))}")
    return int(text)
