from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kinds.registry import decode_spec
from services.port.expect_script import SENT_BYTES_MAX, ExpectScript, ScriptStep
from services.port.protocol_api import CloseSequence, UnexpectedAnswer
from services.port.spec import PortSpec
from tests.support.spoken import call, converse

IRC = (
    ScriptStep(send="NICK v\r\n"),
    ScriptStep(expect=r"^PING :?(?P<token>\S+)"),
    ScriptStep(send="PONG ${token}\r\n"),
    ScriptStep(expect=r"^:\S+ 001 (\S+)"),
    ScriptStep(send="BYE ${1}\r\n"),
)


def test_lines_that_do_not_match_are_passed_over():
    spoken = converse(ExpectScript((ScriptStep(expect="^220 "),))(call()), b"hello\r\n220 hi\r\n")
    assert spoken.ended == CloseSequence()


def test_what_was_captured_is_said_later():
    asked = call()
    spoken = converse(ExpectScript(IRC)(asked), b"PING :a1b2\r\n", b":host 001 you :welcome\r\n")
    assert spoken.said == [b"NICK v\r\n", b"PONG a1b2\r\n", b"BYE you\r\n"]
    assert (spoken.ended, asked.facts["captured_token"]) == (CloseSequence(), "a1b2")


def test_a_script_waits_as_long_as_nothing_matches():
    asked = call()
    assert converse(ExpectScript((ScriptStep(expect="^never"),))(asked), b"one\r\ntwo\r\n").ended is None
    assert asked.facts["last_line"] == "two"


def test_a_script_goes_over_to_tls():
    steps = (
        ScriptStep(expect="^220"),
        ScriptStep(send="STARTTLS\r\n"),
        ScriptStep(expect="^220"),
        ScriptStep(starttls=True),
        ScriptStep(expect="hi"),
    )
    spoken = converse(ExpectScript(steps)(call()), b"220\r\n", b"220\r\nhi\r\n", b"hi\r\n")
    assert (spoken.tls, spoken.ended) == (1, CloseSequence())


def test_a_datagram_needs_no_line_end():
    asked = call(over_udp=True)
    assert (
        converse(ExpectScript((ScriptStep(send="x"), ScriptStep(expect="^y")))(asked), b"yes").ended == CloseSequence()
    )


@given(st.binary(max_size=64))
def test_captures_are_sent_as_they_came(value: bytes):
    value = value.replace(b"\n", b"").replace(b"\r", b"")
    steps = (ScriptStep(expect=r"^A (?P<all>(?s:.*))$"), ScriptStep(send="B ${all}!"))
    spoken = converse(ExpectScript(steps)(call()), b"A " + value + b"\r\n")
    assert spoken.said in ([b"B " + value + b"!"], [])  # RE2 reads UTF-8, and passes over lines that are none


def test_ascii_captures_are_always_sent():
    spoken = converse(
        ExpectScript((ScriptStep(expect=r"^A (.*)$"), ScriptStep(send="B ${1}!")))(call()), b"A \x01~\r\n"
    )
    assert spoken.said == [b"B \x01~!"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no port": ({}, "port must be given"),
    "port 0": ({"port": 0}, "port must be from 1"),
    "no such service": ({"service": "gopher"}, "service must be one of ssh"),
    "a host with a port": ({"host": "a:1", "port": 1}, "host"),
    "a host with a blank": ({"host": "a b", "port": 1}, "host must"),
    "udp without an answer": ({"port": 1, "transport": "udp"}, "steps must begin with a send"),
    "udp with tls": (
        {"port": 1, "transport": "udp", "tls": True, "steps": [{"send": "a"}, {"expect": "b"}]},
        "tls is not supported over udp",
    ),
    "steps beside a service": ({"service": "ssh", "steps": [{"send": "a"}]}, "steps cannot"),
    "tls of ssh": ({"service": "ssh", "tls": True}, "tls is not supported by ssh"),
    "ssh over udp": ({"service": "ssh", "transport": "udp"}, "transport of ssh must be tcp"),
    "an empty step": ({"port": 1, "steps": [{}]}, "one of send, expect and starttls, not 0"),
    "a full step": ({"port": 1, "steps": [{"send": "a", "expect": "b"}]}, "not 2"),
    "a bad pattern": ({"port": 1, "steps": [{"expect": "("}]}, "steps.0..expect must be a pattern of RE2"),
    "a huge pattern": ({"port": 1, "steps": [{"expect": "(x{100}){9}"}]}, "simpler pattern"),
    "an unknown capture": ({"port": 1, "steps": [{"send": "${a}"}]}, "steps.0..send names 'a'"),
    "tls twice": ({"port": 1, "steps": [{"expect": "a"}, *[{"starttls": True}] * 2]}, "steps must have starttls once"),
    "a bad query": ({"service": "dns", "query_name": "a..b"}, "query_name must be"),
    "a bad type": ({"service": "dns", "query_type": "ANY"}, "query_type must be one of A,"),
    "both of an address": ({"host": "127.0.0.1", "port": 1, "family": "both"}, "family both needs a host name"),
    "a question beside a service": (
        {"service": "ssh", "query_name": "a.example"},
        "query_name must be left out unless",
    ),
    "a type without a service": ({"port": 1, "query_type": "MX"}, "query_type must be left out unless service is dns"),
    "64 KiB of letters": (
        {"port": 1, "steps": [{"send": "\u20ac" * 1024}] * 22},
        "steps must send at most 65536 bytes",
    ),
    "an expiry of all": ({"port": 1, "tls_expiry_fraction": 1.0}, "tls_expiry_fraction must be"),
    "a bad server name": ({"port": 1, "server_name": "a b"}, "server_name must"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)
def test_what_can_never_hold_is_refused_with_its_field(options: dict[str, Any], words: str):
    with pytest.raises(msgspec.ValidationError, match=words):
        decode_spec(msgspec.json.encode({"kind": "port", "host": "example.org"} | options))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("tcp://example.org:25", "tcp://example.org:25"),
        ("tls://[2001:DB8::1]:443", "tls://[2001:db8::1]:443"),
        ("ssh://EXAMPLE.org", "ssh://example.org:22"),
        ("smtps://mail.example.org:4650", "smtps://mail.example.org:4650"),
        ("imap://bücher.example", "imap://xn--bcher-kva.example:143"),
    ],
)
def test_a_url_names_a_target(url: str, target: str):
    assert PortSpec.from_url(url).target == target


@pytest.mark.parametrize("url", ["tcp://example.org", "ssh://", "ssh://host/path", "ssh://user@host", "tcp://host:0"])
def test_a_bad_url_is_told(url: str):
    with pytest.raises(ValueError, match=r"port|url"):
        PortSpec.from_url(url)


QUERIES = {
    "ssh://host?x=1": "url of ssh must have no query, not .x=1: only dns takes one",
    "tcp://host:1?type=MX": "url of tcp must have no query",
    "dns://host?x=1": "url of dns must have no other query than .type=MX",
    "dns://host?type=A&type=MX": "once",
    "dns://host?type=": "query_type must be one of A,",
    "dns://host?type": "query_type must be one of A,",
    "ssh://host#x": "url must look like ssh://host",
}


@pytest.mark.parametrize(("url", "words"), QUERIES.items())
def test_a_query_that_means_nothing_is_refused(url: str, words: str):
    with pytest.raises(ValueError, match=words):
        PortSpec.from_url(url)


@pytest.mark.parametrize("kind", ["mx", "Mx", "MX"])
def test_the_type_of_a_question_is_known_in_any_letters(kind: str):
    spec = PortSpec.from_url(f"dns://192.0.2.1/example.org?type={kind}")
    assert (spec.query_name, spec.query_type) == ("example.org", "MX")


def test_what_is_captured_multiplies_what_is_sent_only_so_far():
    steps = (ScriptStep(expect="^(.*)$"), *[ScriptStep(send="${0}" * 16)] * 4)
    most = converse(ExpectScript(steps)(call()), b"x" * 1024 + b"\r\n")
    assert (sum(map(len, most.said)), most.ended) == (SENT_BYTES_MAX, CloseSequence())
    more = converse(ExpectScript(steps)(call()), b"x" * 1025 + b"\r\n")
    assert (len(more.said), type(more.ended)) == (3, UnexpectedAnswer)
    assert "more than 64 KiB" in str(more.ended)


def test_tls_is_a_bonus_only_where_it_comes_by_itself():
    forgiven = {
        name: PortSpec(host="a", service=name).degrades_on_tls_findings for name in ("smtp", "submission", "smtps")
    }
    assert forgiven == {"smtp": True, "submission": False, "smtps": False}
    assert not PortSpec(host="a", service="smtp", tls_findings="down").degrades_on_tls_findings


def test_the_whole_match_can_be_said_again():
    spoken = converse(ExpectScript((ScriptStep(expect="a.c"), ScriptStep(send="${0}!")))(call()), b"xabcx\r\n")
    assert (spoken.said, spoken.ended) == ([b"abc!"], CloseSequence())


@pytest.mark.parametrize(
    "options",
    [
        {"steps": (ScriptStep(starttls=True), ScriptStep(expect="hi"))},
        {"steps": (ScriptStep(send="STARTTLS\r\n"), ScriptStep(starttls=True), ScriptStep(send="secret"))},
        {"steps": (ScriptStep(expect="hi"), ScriptStep(starttls=True)), "tls": True},
    ],
)
def test_tls_starts_once_and_at_the_peers_consent(options: dict[str, Any]):
    with pytest.raises(ValueError, match="starttls"):
        PortSpec(host="example.org", port=1, **options)


@pytest.mark.parametrize(
    ("name", "asked"),
    [(None, "example.org"), ("straße.example.", "xn--strae-oqa.example"), ("2001:DB8::1", "2001:db8::1")],
)
def test_the_name_for_tls_is_asked_for_as_a_host_is(name: str | None, asked: str):
    assert PortSpec(host="example.org.", port=1, server_name=name).tls_name == asked
