"""What operators may type, and what they are told when they may not."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from libs.cli import tenancy, tenancy_parser
from libs.cli.tenancy import OperatorCommand
from libs.model.tenancy import Rate


def parsed(words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vedette", exit_on_error=False)
    tenancy_parser.add_commands(parser.add_subparsers(), lambda work: lambda _: RUN.append(work) or 0)
    return parser.parse_args(words.split())


RUN: list[OperatorCommand] = []


def refused(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises((SystemExit, argparse.ArgumentError)) as caught:
        parsed(words)
    return f"{caught.value}{capsys.readouterr().err}"


@pytest.mark.parametrize(
    ("words", "work"),
    [
        ("tenant add acme", tenancy.add_tenant),
        ("tenant set acme --rename umbrella", tenancy.set_tenant),
        ("tenant list", tenancy.list_tenants),
        ("key add --scope read", tenancy.add_key),
        ("key list", tenancy.list_keys),
        ("key revoke 019b76da-a800-7a10-8a34-0d9f6b1c7e52", tenancy.revoke_key),
        ("audit", tenancy.show_audit),
    ],
)
def test_each_verb_does_its_work(words: str, work: OperatorCommand):
    RUN.clear()
    options = parsed(words)
    options.command(options)
    assert [work] == RUN


def test_a_key_is_described_by_its_options():
    words = "key add --tenant acme --name site --scope read --scope write --cidr 192.0.2.0/24 --cidr ::1 --rate 2.5:10"
    options = parsed(f"{words} --expires 90d")
    assert (options.tenant, options.name, options.scope) == ("acme", "site", ["read", "write"])
    assert (options.cidr, options.rate) == (["192.0.2.0/24", "::1"], Rate(per_s=2.5, burst=10))
    assert timedelta(days=89) < options.expires - datetime.now(UTC) <= timedelta(days=90)


def test_a_change_tells_nothing_from_none():
    options = parsed("tenant set acme --monitors-max none --interval-min 60")
    assert (options.monitors_max, options.interval_min, options.rate, options.rename) == (None, 60, UNSET, UNSET)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("key add", "--scope"),
        ("key add --scope root", "read"),
        ("key add --scope read --cidr 10.0.0.1/8", "must be an address or a network such as 192.0.2.0/24"),
        ("key add --scope read --expires soon", "must be a length such as 12h or 90d"),
        ("key add --scope read --expires 2001-01-01T00:00Z", "future instant"),
        ("key add --scope read --expires 0h", "future instant"),
        ("key add --scope read --expires 9999-12-31T23:59-12:00", "years 1 to 9999"),
        ("key add --scope read --name \udcff", "is no text in UTF-8"),
        ("key list --tenant \udcff", "is no text in UTF-8"),
        ("key revoke \udcff", "is no text in UTF-8"),
        ("tenant add \udcff", "is no text in UTF-8"),
        ("tenant set \udcff", "is no text in UTF-8"),
        ("key add --scope read --rate 5", "PER_S:BURST"),
        ("key add --scope read --rate 5:0", "burst must be from 1"),
        ("tenant add acme --interval-min 7", "is none of 10, 12"),
        ("tenant add acme --monitors-max -1", "monitors-max"),
        ("audit --limit many", "is no count from 1 to 1000"),
        ("audit --limit 0", "is no count from 1"),
        ("audit --limit 1001", "is no count from 1"),
    ],
)
def test_what_cannot_be_is_told_with_what_can(words: str, told: str, capsys: pytest.CaptureFixture[str]):
    assert told in refused(words, capsys)


@given(st.text())
def test_a_reader_takes_a_text_or_says_what_it_must_be(text: str):
    for reader in (tenancy.parse_rate, tenancy.parse_expiry, tenancy.parse_name, tenancy.parse_cidr):
        assert read(reader, text) not in {"", None}


def read(reader: Callable[[str], object], text: str) -> object:
    """Returns what `reader` made of `text`, or what it said about it."""
    try:
        return reader(text)
    except ValueError as error:
        return str(error)
