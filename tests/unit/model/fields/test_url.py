"""Web addresses: one reading of each, and no guesses."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.model.fields.url import Url, join_url, parse_authority, parse_host, parse_url

ACCEPTED = {
    "http://example.org": ("http", "example.org", 80, "/"),
    "HTTP://EXAMPLE.ORG/A": ("http", "example.org", 80, "/A"),
    "https://example.org:8443/a?b=c#d": ("https", "example.org", 8443, "/a?b=c"),
    "https://example.org?b": ("https", "example.org", 443, "/?b"),
    "http://example.org.:80/": ("http", "example.org.", 80, "/"),
    "http://under_score.example/": ("http", "under_score.example", 80, "/"),
    "http://localhost:/": ("http", "localhost", 80, "/"),
    "http://127.0.0.1/": ("http", "127.0.0.1", 80, "/"),
    "http://[::1]:8080/": ("http", "::1", 8080, "/"),
    "http://[2001:DB8:0::1]/": ("http", "2001:db8::1", 80, "/"),
    "http://bücher.example/ü?q=ü": ("http", "xn--bcher-kva.example", 80, "/%C3%BC?q=%C3%BC"),
    "http://straße.example/": ("http", "xn--strae-oqa.example", 80, "/"),
    "http://例え。テスト/": ("http", "xn--r8jz45g.xn--zckzah", 80, "/"),
    "http://example.org/%41%zz?a=\\": ("http", "example.org", 80, "/%41%zz?a=%5C"),
    "http://0x.example/": ("http", "0x.example", 80, "/"),
}

REFUSED = {
    "http://a:b@169.254.169.254/": "credentials",
    "http://user@example.org/": "credentials",
    "http://good.example\\@evil.example/": "credentials",
    "http://good.example\\.evil.example/": "name a host",
    "http://good.example/\\evil": "backslash",
    "http://good.example#@evil.example/": "between the host and a '#'",
    "http://good.example%2eevil.example/": "name a host",
    "http://good.example /": "blanks",
    " http://good.example/": "blanks",
    "http://good.example/\n": "blanks",
    "http://good.example/\r\nX: y": "blanks",
    "http://good\u200b.example/": "blanks",
    "http://good.example/\u2028": "blanks",
    "ftp://good.example/": "http://",
    "good.example": "http://",
    "//good.example": "http://",
    "http:good.example": "http://",
    "http:///path": "name a host",
    "http://:80/": "name a host",
    "http://?x": "name a host",
    "http://.example/": "name a host",
    "http://a..example/": "name a host",
    "http://-a.example/": "name a host",
    "http://a-.example/": "name a host",
    f"http://{'a' * 64}.example/": "name a host",
    f"http://{'a.' * 127}example/": "name a host",
    "http://a℀b.example/": "name a host",
    "http://a.example:0/": "port",
    "http://a.example:65536/": "port",
    "http://a.example:999999/": "name a host, or host:port",
    "http://a.example:-1/": "name a host, or host:port",
    "http://a.example:\uff18\uff10/": "name a host, or host:port",
    "http://a.example:80:80/": "name a host, or host:port",
    "http://::1/": "name a host, or host:port",
    "http://[::1/": "name a host, or host:port",
    "http://[::1]x/": "name a host, or host:port",
    "http://[127.0.0.1]/": "IPv6",
    "http://[fe80::1%25eth0]/": "network interface",
    "http://127.1/": "IPv4",
    "http://2130706433/": "IPv4",
    "http://0x7f000001/": "IPv4",
    "http://0x7f.1/": "IPv4",
    "http://017700000001/": "IPv4",
    "http://127.0.0.01/": "IPv4",
    "http://256.0.0.1/": "IPv4",
    "http://1.2.3.4.5/": "IPv4",
    "http://1.2.3.4./": "IPv4",
    f"http://a.example/{'x' * 9000}": "characters long",
}

JOINED = {
    "": "http://a.example/b/c/d?q",
    "#top": "http://a.example/b/c/d?q",
    "?y": "http://a.example/b/c/d?y",
    "g": "http://a.example/b/c/g",
    "./g/": "http://a.example/b/c/g/",
    "/g": "http://a.example/g",
    "g?y#s": "http://a.example/b/c/g?y",
    "..": "http://a.example/b/",
    "../..": "http://a.example/",
    "../../../../g": "http://a.example/g",
    "g..": "http://a.example/b/c/g..",
    "/./g/../h": "http://a.example/h",
    "//other.example:81/g": "http://other.example:81/g",
    "https://other.example": "https://other.example/",
    "g:80": None,
    "javascript:alert(1)": None,
    "http:g": None,
    "\\\\evil.example": None,
}

hosts = st.from_regex(r"[a-z][a-z0-9]{0,10}(\.[a-z][a-z0-9]{0,10}){0,3}", fullmatch=True)
paths = st.text(alphabet=string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/%", max_size=40)


@pytest.mark.parametrize("text", ACCEPTED)
def test_an_address_is_taken_apart(text: str) -> None:
    assert parse_url(text)[:4] == ACCEPTED[text]


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_with_two_readings_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[text]):
        parse_url(text)


@pytest.mark.parametrize("reference", JOINED)
def test_a_reference_leads_where_the_standard_says(reference: str) -> None:
    base, expected = parse_url("http://a.example/b/c/d?q"), JOINED[reference]
    if expected is None:
        with pytest.raises(ValueError, match="must"):
            join_url(base, reference)
    else:
        assert str(join_url(base, reference)) == expected


@given(st.sampled_from(["http", "https"]), hosts, st.integers(1, 65535), paths, st.text(string.printable, max_size=5))
def test_what_is_printed_is_read_the_same(scheme: str, host: str, port: int, path: str, query: str) -> None:
    assume(not any(char in string.whitespace for char in query))
    url = parse_url(f"{scheme}://{host}:{port}/{path}?{query}")
    assert (url.scheme, url.host, url.port, url.is_address) == (scheme, host, port, False)
    assert parse_url(str(url)) == url
    assert join_url(url, str(url)) == url


@given(st.text(max_size=60) | st.text(alphabet="ahtp:/\\@#?[]%.0x1:", max_size=30).map("http://".__add__))
def test_any_text_is_refused_or_safe_to_send(text: str) -> None:
    try:
        url = parse_url(text)
    except ValueError as error:
        assert str(error).startswith("must")  # noqa: PT017
        return
    assert_sendable(url)
    assert parse_url(str(url)) == url


@given(st.text(max_size=40) | st.text(alphabet="./ab?#:\\@%", max_size=20))
def test_any_reference_is_refused_or_safe_to_send(reference: str) -> None:
    try:
        url = join_url(parse_url("http://a.example/b/c"), reference)
    except ValueError:
        return
    assert_sendable(url)
    assert "/../" not in url.path.partition("?")[0]


def assert_sendable(url: Url) -> None:
    for part in (url.host, url.path):
        assert part.isascii()
        assert part.isprintable()
        assert not set(part) & set(' "\\\r\n')
    assert url.path.startswith("/")
    assert 1 <= url.port <= 65535


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A.example", ("a.example", False)),
        ("192.0.2.1", ("192.0.2.1", True)),
        ("2001:DB8:0::1", ("2001:db8::1", True)),
        ("[2001:db8::1]", ("2001:db8::1", True)),
    ],
)
def test_a_host_option_is_a_name_or_an_address(text: str, expected: tuple[str, bool]) -> None:
    assert parse_host("host", text) == expected


@pytest.mark.parametrize(
    "text", ["a.example:123", "a.example:", "a.example:99999", "192.0.2.1:80", "[::1]:80", "[::1]:"]
)
def test_a_host_option_with_a_port_is_refused_with_that_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"^server_name must be .*; a port is not allowed here$"):
        parse_host("server_name", text)


@pytest.mark.parametrize(("text", "message"), [("fd00::1::2", "IPv6 address"), ("", "name a host"), ("a@b", "credent")])
def test_an_invalid_host_option_is_refused_with_its_field(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^host must .*{message}"):
        parse_host("host", text)


@pytest.mark.parametrize("text", ["a.example", "a.example:80", "[::1]:80"])
def test_an_authority_is_read_alone(text: str) -> None:
    assert parse_authority(text)[0] in text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("".join(chr(0x4E00 + n) for n in range(8000)), id="a label"),
        pytest.param("e\u0315\u0300" * 100_000, id="accents"),
        pytest.param("\u00fc." * 4000, id="labels"),
    ],
)
def test_a_name_much_too_long_for_punycode_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="name a host"):
        parse_authority(text)


@pytest.mark.parametrize("accented", ["\u00fc", "u\u0308"])
def test_a_name_of_full_length_is_not_too_long(accented: str) -> None:
    host, _, _ = parse_authority(".".join([accented * 57] * 3))
    assert [len(label) for label in host.split(".")] == [63] * 3
    with pytest.raises(ValueError, match="name a host"):
        parse_authority(accented * 58)
