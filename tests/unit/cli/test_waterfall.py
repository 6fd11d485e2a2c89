from libs.cli.waterfall import render
from libs.model.outcome import Hop, Outcome, Status

OUTCOME = Outcome(
    status=Status.DOWN,
    reason="status_unexpected",
    detail="The server answered 500.",
    samples={"connect_s": 0.01, "body_bytes": 12},
    hops=[
        Hop(target="http://a/", address="192.0.2.1", phases={"resolve_s": 0.01, "connect_s": 0.01}),
        Hop(target="http://b/", phases={"first_byte_s": 0.02}, facts={"status_code": 500}),
    ],
)


def test_all_phases_stand_on_one_scale_of_time():
    lines = render("http://a/", OUTCOME, colored=False).splitlines()
    assert lines[0] == "down  status_unexpected  http://a/  40.0 ms"
    bars = [line for line in lines if "\N{FULL BLOCK}" in line]
    assert [line.count("\N{FULL BLOCK}") for line in bars] == [10, 10, 20]
    starts = [line.index("\N{FULL BLOCK}") for line in bars]
    assert [start - starts[0] for start in starts] == [0, 10, 20]
    assert "body_bytes" in lines[-1]


def test_what_a_target_says_cannot_steer_the_terminal():
    outcome = Outcome(status=Status.UP, reason="ok", detail="a\x1b[2Jb\rc", hops=[Hop(target="\x1b]0;x\x07")])
    assert "\x1b" not in render("t\x1b", outcome, colored=False)


def test_colors_only_when_asked():
    assert render("t", OUTCOME, colored=True).startswith("\x1b[1;31mdown\x1b[0m")


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
    assert "    tls chain sent 2" in lines
    assert "\x1b[33m      1 Not" in render("https://a/", outcome, colored=True)
