import re

import msgspec

from libs.cli.waterfall import render
from libs.model.outcome import Hop, Outcome, Status

OUTCOME = Outcome(
    status=Status.DOWN,
    reason="status_unexpected",
    detail="The server answered 500.",
    samples={"connect_s": 0.01, "body_bytes": 12},
    hops=[
        Hop(target="http://a/", address="192.0.2.1", phases={"resolve_s": 0.01, "connect_s": 0.01}),
        Hop(target="http://b/", begun_s=0.02, phases={"first_byte_s": 0.02}, facts={"status_code": 500}),
    ],
)


def test_all_phases_stand_on_one_scale_of_time():
    lines = render("http://a/", OUTCOME, colored=False).splitlines()
    assert lines[0] == "down  status_unexpected  http://a/  40.0 ms"
    bars = [line for line in lines if "\N{FULL BLOCK}" in line]
    assert [line.count("\N{FULL BLOCK}") for line in bars] == [10, 10, 20]
    starts = [line.index("\N{FULL BLOCK}") for line in bars]
    assert [start - starts[0] for start in starts] == [0, 10, 20]
    assert lines[-1] == "    body bytes  12"


def test_chains_that_ran_at_the_same_time_are_drawn_so():
    hops = [Hop(target=name, phases={"connect_s": 0.01 * scale}) for name, scale in (("four", 1), ("six", 4))]
    lines = render("both", msgspec.structs.replace(OUTCOME, hops=hops), colored=False).splitlines()
    bars = [line for line in lines if "\N{FULL BLOCK}" in line]
    assert [line.count("\N{FULL BLOCK}") for line in bars] == [10, 40]
    assert len({line.index("\N{FULL BLOCK}") for line in bars}) == 1


def test_the_first_words_stand_line_by_line():
    hop = Hop(target="http://a/", said="HTTP/1.1 500 No\nServer: a\n\nsorry\x1b[2J")
    lines = render("t", msgspec.structs.replace(OUTCOME, hops=[hop]), colored=False).splitlines()
    at = lines.index("    first words")
    rest = lines[at + 1 : at + 5]
    assert rest == [
        "      | HTTP/1.1 500 No",
        "      | Server: a",
        "      |",
        "      | sorry\N{REPLACEMENT CHARACTER}[2J",
    ]


def test_numbers_are_told_in_units_of_people():
    samples = {
        "tls_expires_in_s": 5.5e6,
        "body_bytes": 123456.0,
        "ipv4_connect_s": 0.01,
        "ratio": 0.25,
        "x_s": 1.5,
        "y_s": 0.00003,
    }
    hop = Hop(target="http://a/", phases={"connect_s": 0.01})
    text = render("t", msgspec.structs.replace(OUTCOME, hops=[hop], samples=samples), colored=False)
    told = [line.split() for line in text.partition("  samples\n")[2].splitlines()]
    assert told == [
        ["body", "bytes", "123,456"],
        ["ratio", "0.25"],
        ["tls", "expires", "in", "63.7", "days"],
        ["x", "1.500", "s"],
        ["y", "0.030", "ms"],
    ]


def test_what_a_target_says_cannot_steer_the_terminal():
    outcome = Outcome(status=Status.UP, reason="ok", detail="a\x1b[2Jb\rc", hops=[Hop(target="\x1b]0;x\x07")])
    assert "\x1b" not in render("t\x1b", outcome, colored=False)


def test_colors_only_when_asked():
    assert render("t", OUTCOME, colored=True).startswith("\x1b[1;31mdown\x1b[0m")
    assert "\x1b" not in render("t", OUTCOME, colored=False)


def test_colors_change_no_word():
    colored = render("t", OUTCOME, colored=True)
    assert re.sub(r"\x1b\[[0-9;]+m", "", colored) == render("t", OUTCOME, colored=False)


def test_an_outcome_without_any_time_has_no_bars():
    assert render("t", Outcome(status=Status.UNKNOWN, reason="no_route"), colored=False) == "unknown  no_route  t"


def test_the_chain_and_the_findings_stand_under_the_phases():
    facts = {
        "tls_chain_1": "a by b",
        "tls_chain_2": "b by c",
        "tls_chain_sent": 2,
        "tls_findings": "tls_untrusted",
        "tls_finding_1": "Not\x1b trusted.",
    }
    outcome = Outcome(status=Status.DOWN, reason="tls_untrusted", hops=[Hop(target="https://a/", facts=facts)])
    lines = render("https://a/", outcome, colored=False).splitlines()
    assert lines[-5:] == [
        "    chain",
        "      1 a by b",
        "      2 b by c",
        "    findings",
        "      1 Not\N{REPLACEMENT CHARACTER} trusted.",
    ]
    assert "    tls chain sent  2" in lines
    assert "\x1b[33m      1 Not" in render("https://a/", outcome, colored=True)
