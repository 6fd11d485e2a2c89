"""Accepted and rejected http specs; messages start with the field's name."""

import inspect
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kinds.registry import decode_spec, kinds
from libs.model.fields.tls import TlsReason
from services.http.rules.statuses import status_ranges
from services.http.spec import HttpReason, HttpSpec

URL = "https://example.org/a?token=secret"


def json_rules(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"json_assertions": [{"path": "a.b"} | rule for rule in rules]}


def header_rules(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"header_assertions": [{"name": "Via"} | rule for rule in rules]}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a pattern that is none": ({"body_matches": ["("]}, "body_matches must hold patterns of RE2"),
    "a pattern that looks ahead": ({"body_lacks_match": ["(?=a)"]}, "body_lacks_match must hold patterns of RE2"),
    "a pattern that looks back": ({"body_matches": [r"(a)\1"]}, "body_matches must hold patterns of RE2"),
    "a pattern of half a character": ({"body_matches": ["a" * 513]}, "body_matches must hold patterns of 1 to"),
    "an empty pattern": ({"body_matches": [""]}, "body_matches must hold patterns of 1 to"),
    "a pattern that grows": ({"body_matches": ["(.{0,30}){0,30}"]}, "body_matches must hold simpler patterns"),
    "too many patterns": ({"body_matches": ["a"] * 9}, "body_matches must hold at most 8"),
    "patterns of HEAD": ({"method": "HEAD", "body_matches": ["a"]}, "body_matches needs a body"),
    "JSON of HEAD": ({"method": "HEAD"} | json_rules({}), "json_assertions needs a body"),
    "bytes of HEAD": ({"method": "HEAD", "body_bytes_min": 1}, "body_bytes_min needs a body"),
    "less than more": ({"body_bytes_min": 9, "body_bytes_max": 8}, "body_bytes_min must be from 0 to 8"),
    "no time": ({"time_s_max": 0}, "time_s_max must be above 0"),
    "an old TLS": ({"tls_version_min": "1.1"}, "Invalid enum value"),
    "TLS of plain HTTP": (
        {"url": "http://a.example/", "redirects_max": 0, "tls_version_min": "1.2"},
        "tls_version_min can never hold",
    ),
    "HTTP/2 of plain HTTP": (
        {"url": "http://a.example/", "redirects_max": 0, "http_version": "2"},
        "http_version can never hold",
    ),
    "HTTP/3": ({"http_version": "3"}, "Invalid enum value"),
    "a header rule without a name": (header_rules({"name": ""}), "header_assertions must have names"),
    "a header that equals nothing": (header_rules({"op": "equals"}), "header_assertions: equals needs a value"),
    "a header present with a value": (header_rules({"value": "x"}), "header_assertions: present takes no value"),
    "a header that can never match": (
        header_rules({"op": "matches", "value": "*"}),
        "header_assertions must hold patterns of RE2",
    ),
    "a header of two lines": (header_rules({"op": "equals", "value": "a\nb"}), "header_assertions must have values of"),
    "a header that is there and not": (
        header_rules({"op": "absent"}, {"name": "VIA"}),
        "header_assertions can never hold",
    ),
    "too many header rules": (header_rules(*({} for _ in range(17))), "header_assertions must be at most"),
    "a path that is none": (json_rules({"path": "a..b"}), "json_assertions must have paths"),
    "no path": (json_rules({"path": ""}), "json_assertions must have paths"),
    "a path too long": (json_rules({"path": "a" * 257}), "json_assertions must have paths of at most"),
    "JSON without a value": (json_rules({"op": "=="}), "json_assertions: == needs a value"),
    "a text that is less": (json_rules({"op": "<", "value": "3"}), "json_assertions can never hold"),
    "null that is less": (json_rules({"op": ">=", "value": None}), "json_assertions can never hold"),
    "true that is less": (json_rules({"op": "<=", "value": True}), "json_assertions can never hold"),
    "a list as a value": (json_rules({"op": "==", "value": [1]}), "Expected"),
    "an unknown comparison": (json_rules({"op": "=~", "value": "x"}), "Invalid enum value"),
    "existing in numbers": (json_rules({"op": "exists", "value": 1}), "json_assertions: exists takes"),
    "two values at once": (
        json_rules({"op": "==", "value": 1}, {"op": "==", "value": "1"}),
        "json_assertions can never hold together",
    ),
    "a value and none": (
        json_rules({"op": "exists", "value": False}, {"path": "$.a.b", "op": "!=", "value": 1}),
        "json_assertions can never hold together",
    ),
    "a value outside its range": (
        json_rules({"op": "==", "value": 5}, {"op": "<", "value": 5}),
        "json_assertions can never hold together",
    ),
    "an empty range": (
        json_rules({"op": ">", "value": 5}, {"op": "<=", "value": 5}),
        "json_assertions can never hold together",
    ),
    "too many JSON rules": (json_rules(*({} for _ in range(17))), "json_assertions must be at most"),
    "a url with credentials": ({"url": "http://a:b@c.example/"}, "url must not hold credentials"),
    "a url as a number": ({"url": 5}, "Expected `str`"),
    "an unknown field": ({"urll": "x"}, "unknown field"),
    "a method of two words": ({"method": "GET /"}, "method must be a word"),
    "an empty method": ({"method": ""}, "method must be a word"),
    "a method in lower case": ({"method": "post"}, "method must be POST"),
    "a tunnel": ({"method": "CONNECT"}, "method must not be CONNECT"),
    "a header of no values": ({"headers": {"X-A": []}}, "headers must give 'X-A' a value"),
    "two hosts": ({"headers": {"host": ["a.example", "b.example"]}}, "headers must give 'host' one value"),
    "a line end in one of the values": ({"headers": {"X-A": ["1", "2\n3"]}}, "headers must not have control"),
    "two kinds of credentials": (
        {"bearer_token": "x", "basic_auth": {"username": "a", "password": "b"}},
        "bearer_token, basic_auth and a header Authorization exclude",
    ),
    "credentials beside their header": (
        {"bearer_token": "x", "headers": {"AUTHORIZATION": "y"}},
        "bearer_token, basic_auth and a header Authorization exclude",
    ),
    "a token with a line end": ({"bearer_token": "x\r\nX-A: 1"}, "bearer_token must be"),
    "a username with a colon": ({"basic_auth": {"username": "a:b", "password": ""}}, "basic_auth must not have"),
    "a password with a line end": ({"basic_auth": {"username": "a", "password": "\n"}}, "basic_auth must not have"),
    "credentials with more": ({"basic_auth": {"username": "a", "password": "b", "c": ""}}, "unknown field"),
    "a name for TLS with a port": ({"server_name": "a.example:443"}, "server_name must not have a port"),
    "a name for TLS that is none": ({"server_name": "a b"}, "server_name must name a host"),
    "a header twice": ({"headers": {"X-A": "1", "x-a": "2"}}, "headers must name each header once"),
    "a line end in a value": ({"headers": {"X-A": "1\r\nX-B: 2"}}, "headers must not have control"),
    "a line end in a name": ({"headers": {"X-A\r\nX-B": "1"}}, "headers must have names"),
    "a colon in a name": ({"headers": {"X-A:": "1"}}, "headers must have names"),
    "an empty name": ({"headers": {"": "1"}}, "headers must have names"),
    "outer blanks": ({"headers": {"X-A": " 1"}}, "headers must not have control characters or outer blanks"),
    "a length of one's own": ({"headers": {"content-length": "3"}}, "headers must not name content-length"),
    "a coding of one's own": ({"headers": {"Transfer-Encoding": "chunked"}}, "headers must not name Transfer"),
    "a connection of one's own": ({"headers": {"CONNECTION": "keep-alive"}}, "headers must not name CONNECTION"),
    "a Host that is none": ({"headers": {"Host": "a b"}}, "headers: the value of Host must"),
    "too many headers": ({"headers": {f"x-{n}": "" for n in range(65)}}, "headers must be at most"),
    "headers too long": ({"headers": {"x": "y" * 16384}}, "headers must be at most"),
    "a body with GET": ({"body": "x"}, "body is not sent with GET"),
    "a body too long": ({"method": "POST", "body": "x" * 65537}, "body must be at most"),
    "no status": ({"expect_status": []}, "expect_status must have"),
    "a status that is none": ({"expect_status": [99]}, "expect_status must hold statuses"),
    "a status above all": ({"expect_status": ["200-600"]}, "expect_status must hold statuses"),
    "true as a status": ({"expect_status": [True]}, "Expected `int | str`"),
    "a range backwards": ({"expect_status": ["399-200"]}, "expect_status must hold ranges"),
    "a class of statuses": ({"expect_status": ["2xx"]}, "expect_status must hold statuses"),
    "redirects that are followed": ({"expect_status": [301, "307-308"]}, "expect_status names redirects only"),
    "texts of HEAD": ({"method": "HEAD", "body_contains": ["x"]}, "body_contains needs a body"),
    "an empty text": ({"body_lacks": [""]}, "body_lacks must hold"),
    "too many texts": ({"body_contains": ["x"] * 17}, "body_contains must hold"),
    "redirects below zero": ({"redirects_max": -1}, "redirects_max must be from 0 to 20"),
    "a bound of nothing": ({"body_bytes_max": 0}, "body_bytes_max must be from 1"),
    "a bound of everything": ({"body_bytes_max": 1 << 40}, "body_bytes_max must be from 1"),
    "a number in words": ({"redirects_max": "3"}, "Expected `int`"),
}


def decode(**fields: Any) -> HttpSpec:
    spec = decode_spec(msgspec.json.encode({"kind": "http", "url": URL} | fields))
    assert isinstance(spec, HttpSpec)
    return spec


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_spec_is_refused_with_its_field(name: str) -> None:
    fields, words = REFUSED[name]
    with pytest.raises(msgspec.ValidationError) as refusal:
        decode(**fields)
    assert words in str(refusal.value)


def test_a_full_spec_is_accepted_and_round_trips() -> None:
    spec = decode(
        method="PURGE",
        headers={"X-A": ["ä", "b"], "Host": "other.example:81"},
        basic_auth={"username": "ä", "password": "p:q"},
        server_name="tls.example",
        redirects_same_host=True,
        body="{}",
        expect_status=[201, "300-399"],
        redirects_max=0,
        body_contains=["ok"],
        body_lacks=["error"],
        body_matches=["^a"],
        body_lacks_match=["b$"],
        header_assertions=[{"name": "Via", "op": "matches", "value": "^1"}, {"name": "X-A"}],
        json_assertions=[{"path": "a", "op": "!=", "value": None}, {"path": "b", "op": "exists", "value": False}],
        body_bytes_min=10,
        time_s_max=2.5,
        http_version="2",
        tls_version_min="1.3",
        body_bytes_max=1000,
        tls_verify=False,
    )
    assert decode_spec(msgspec.json.encode(spec)) == spec


def test_the_target_shows_no_query() -> None:
    assert HttpSpec.from_url(URL).target == "https://example.org/a"


# Secrets are sealed for this text: it must never change for a stored spec.
@pytest.mark.parametrize(
    ("fields", "recipient"),
    [
        ({}, "https://example.org"),
        ({"url": "http://EXAMPLE.org:8080/b?c=d"}, "http://example.org:8080"),
        ({"method": "HEAD", "family": "4", "redirects_max": 0, "headers": {"Accept": "x"}}, "https://example.org"),
        ({"resolve_to": "192.0.2.1"}, "https://example.org resolve_to=192.0.2.1"),
        ({"tls_verify": False}, "https://example.org tls_verify=False"),
        ({"tls_findings": "degraded"}, "https://example.org tls_findings=degraded"),
        (
            {"server_name": "b.example", "headers": {"host": "c.example"}},
            "https://example.org server_name=b.example host=c.example",
        ),
    ],
)
def test_the_recipient_of_secrets_includes_the_route(fields: dict[str, Any], recipient: str) -> None:
    assert decode(**fields).recipient == recipient


def test_placeholders_of_secrets_are_valid() -> None:
    for name in HttpSpec.secret_options:
        proxy = {"proxy": "http://proxy.example:3128"} if name == "proxy_auth" else {}
        spec = decode(**{name: HttpSpec.placeholder((name,))}, **proxy)
        assert HttpSpec.secret_paths(msgspec.json.decode(msgspec.json.encode(spec))) == [(name,)]
    assert decode(headers={"Cookie": HttpSpec.placeholder(("headers", "Cookie"))})


@pytest.mark.parametrize(
    "spec", [None, [], "x", {}, {"headers": None}, {"headers": ["Cookie"]}, {"bearer_token": None}]
)
def test_a_spec_without_secrets_has_no_secret_paths(spec: object) -> None:
    assert HttpSpec.secret_paths(spec) == []


def test_a_spec_shows_no_secret() -> None:
    secret = decode(headers={"X-Api-Key": "SECRET"}, basic_auth={"username": "a", "password": "SECRET"})
    assert "SECRET" not in repr(secret) + str(secret) + secret.target + repr(secret.basic_auth)
    assert "SECRET" not in repr(decode(bearer_token="SECRET"))
    assert secret.secrets == {"SECRET", "Basic YTpTRUNSRVQ=", "YTpTRUNSRVQ="}


def test_a_bad_url_on_the_command_line_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="url must have a port"):
        HttpSpec.from_url("http://example.org:0/")


def test_the_kind_is_found_by_its_folder() -> None:
    assert kinds()["http"] is HttpSpec


def test_the_readme_lists_every_reason_and_option() -> None:
    readme = Path(inspect.getfile(HttpSpec)).with_name("README.md").read_text()
    untold = {word for word in (*HttpReason, *TlsReason, *HttpSpec.__struct_fields__) if f"`{word}`" not in readme}
    assert not untold


def test_reasons_are_unique_and_named_by_their_value() -> None:
    assert all(reason.value == reason.name.lower() for reason in HttpReason)


@given(st.lists(st.tuples(st.integers(100, 599), st.integers(0, 500)), min_size=1, max_size=32))
def test_a_status_is_expected_if_one_entry_contains_it(entries: list[tuple[int, int]]) -> None:
    spans = [(first, min(first + length, 599)) for first, length in entries]
    expected = tuple(first if first == last else f"{first}-{last}" for first, last in spans)
    ranges = status_ranges(expected)
    for status in (100, 199, 200, 302, 404, 599, *(edge for span in spans for edge in span)):
        assert any(status in each for each in ranges) == any(first <= status <= last for first, last in spans)
