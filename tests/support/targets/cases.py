"""Every broken or hostile target, with the status and the reason that it must get."""

import ssl

from cryptography.x509.oid import ExtendedKeyUsageOID

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Reason
from services.http.spec import HttpReason
from tests.support.targets import web
from tests.support.targets.case import Case
from tests.support.targets.certificates import Authority
from tests.support.targets.http2_cases import HTTP2
from tests.support.targets.ruled import CODED, RULED
from tests.support.targets.web import moved, page, routes, says

HEAD = b"HTTP/1.1 200 OK\r\n"
# Names of servers by what they agree to, in the order of their preference.
OFFERS = (("h2",), ("http/1.1",), ("h2", "1.1"), ("1.1", "h2"))
OPEN_END = HEAD + b"\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def servers(authority: Authority, stranger: Authority) -> dict[str, ssl.SSLContext]:
    """Returns the TLS servers by name."""
    old = authority.server("127.0.0.1")
    old.set_ciphers("ECDHE-ECDSA-AES128-SHA")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    return {
        "good": authority.server("127.0.0.1", "localhost"),
        "expired": authority.server("127.0.0.1", days=(-30, -1)),
        "future": authority.server("127.0.0.1", days=(1, 30)),
        "other name": authority.server("elsewhere.example"),
        "other address": authority.server("127.0.0.2"),
        "self-signed": authority.server("127.0.0.1", self_signed=True),
        "stranger": stranger.server("127.0.0.1"),
        "not for servers": authority.server("127.0.0.1", usage=ExtendedKeyUsageOID.CLIENT_AUTH),
        "tls 1.2": old,
        **{" or ".join(offer): speaking(authority, *offer) for offer in OFFERS},
    }


def speaking(authority: Authority, *protocols: str) -> ssl.SSLContext:
    """Returns a server that agrees to these by ALPN, and to nothing else."""
    context = authority.server("127.0.0.1")
    context.set_alpn_protocols([name if name == "h2" else "http/1.1" for name in protocols])
    return context


GOOD = (
    Case("a page", says(page())),
    Case("a page in chunks", says(CHUNKED + b"5\r\nHello\r\n7;x=y\r\n, world\r\n0\r\nTrailer: x\r\n\r\n")),
    Case("a page until the close", says(OPEN_END + b"Hello, world")),
    Case("an empty page", says(page(b""))),
    Case("a page after interim answers", says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + page())),
    Case("lines that end in LF alone", says(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")),
    Case("a length beside chunks", says(HEAD + b"Content-Length: 3\r\n" + CHUNKED[17:] + b"2\r\nok\r\n0\r\n\r\n")),
    Case("HTTP/1.0", says(b"HTTP/1.0 200 OK\r\n\r\nok")),
    Case("no reason phrase", says(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")),
    Case("more than it said, after the end", says(page() + b"and then some")),
    Case("an offer to upgrade", says(page(headers="Connection: Upgrade\r\nUpgrade: h2,h2c\r\n"))),
    Case("204 with a stray body", says(b"HTTP/1.1 204 No Content\r\n\r\nstray")),
    Case("304 with the length of the page", says(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n")),
    Case("HEAD, with the length of the page", says(HEAD + b"Content-Length: 99\r\n\r\n"), options={"method": "HEAD"}),
    Case("a slow page", web.dripping(HEAD + b"Content-Length: 20\r\n\r\n", b"x")),
    Case("a redirect", routes({"/": moved("/there"), "/there": page()})),
    Case("a redirect that is asked for", says(moved("/there")), options={"redirects_max": 0, "expect_status": [302]}),
    Case("a page that looks for its cookie", web.wants_cookie),
    Case("a redirect with half a body", routes({"/": moved("/b")[:-10] + b"x" * 9, "/b": page()})),
    Case("300 with a choice", says(page(b"choose", "300 Multiple Choices", "Location: /a\r\n"))),
    Case("302 that leads nowhere by itself", says(page(b"", "302 Found"))),
    Case("TLS", says(page()), server="good"),
    Case("TLS to a name", says(page()), server="good", path="//localhost/"),
    Case("TLS 1.2", says(page()), server="tls 1.2"),
    Case("an expired certificate, told not to mind", says(page()), server="expired", options={"tls_verify": False}),
)

SILENT = (
    Case("says nothing", web.then_silence(b""), HttpReason.FIRST_BYTE_TIMEOUT, timeout_s=0.3),
    Case("stops inside the headers", web.then_silence(HEAD), HttpReason.TRANSFER_TIMEOUT, timeout_s=0.3),
    Case("drips headers", web.dripping(HEAD, b"a: b\r\n"), HttpReason.TRANSFER_TIMEOUT, timeout_s=0.3),
    Case("drips a body", web.dripping(OPEN_END, b"x"), HttpReason.TRANSFER_TIMEOUT, timeout_s=0.3),
    Case(
        "hangs after the body that it announced as longer",
        web.then_silence(HEAD + b"Content-Length: 9\r\n\r\nfour"),
        HttpReason.TRANSFER_TIMEOUT,
        timeout_s=0.3,
    ),
    Case("says nothing to a TLS client", web.then_silence(b""), TlsReason.TLS_TIMEOUT, scheme="https", timeout_s=0.3),
    Case("stops after TLS", web.then_silence(b""), HttpReason.FIRST_BYTE_TIMEOUT, server="good", timeout_s=0.3),
    Case("hangs up after a redirect", routes({"/": moved("/a"), "/a": b""}), HttpReason.EMPTY_ANSWER),
)

BROKEN = (
    Case("resets before the answer", web.then_reset(b""), HttpReason.FIRST_BYTE_RESET),
    Case("resets inside the headers", web.then_reset(HEAD), HttpReason.TRANSFER_RESET),
    Case("resets inside the body", web.then_reset(OPEN_END + b"x"), HttpReason.TRANSFER_RESET),
    Case("resets a TLS client", web.then_reset(b""), TlsReason.TLS_RESET, scheme="https"),
    Case("hangs up on a TLS client", web.hangs_up_at_once, TlsReason.TLS_RESET, scheme="https"),
    Case("hangs up", web.hangs_up, HttpReason.EMPTY_ANSWER),
    Case("hangs up after TLS", web.hangs_up, HttpReason.EMPTY_ANSWER, server="good"),
    Case("hangs up inside the headers", says(HEAD + b"Content-"), HttpReason.INCOMPLETE_HEADERS),
    Case("hangs up after an interim answer", says(b"HTTP/1.1 100 Continue\r\n\r\n"), HttpReason.INCOMPLETE_HEADERS),
    Case("hangs up inside the body", says(HEAD + b"Content-Length: 9\r\n\r\nfour"), HttpReason.INCOMPLETE_BODY),
    Case("hangs up inside a chunk", says(CHUNKED + b"9\r\nfour"), HttpReason.INCOMPLETE_BODY),
    Case("hangs up before the last chunk", says(CHUNKED + b"4\r\nfour\r\n"), HttpReason.INCOMPLETE_BODY),
)

HOSTILE = (
    Case("garbage", says(bytes(range(256)) * 16), HttpReason.PROTOCOL_ERROR),
    Case("the greeting of a mail server", says(b"220 mail.example ESMTP\r\n"), HttpReason.PROTOCOL_ERROR),
    Case("a version of HTTP that is none", says(b"HTTP/9 200 OK\r\n\r\n"), HttpReason.PROTOCOL_ERROR),
    Case("a status that is none", says(b"HTTP/1.1 2x0 OK\r\n\r\n"), HttpReason.PROTOCOL_ERROR),
    Case("status 007", says(b"HTTP/1.1 007 Bond\r\n\r\n"), HttpReason.PROTOCOL_ERROR),
    Case("a switch that nobody asked for", says(b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n"), HttpReason.PROTOCOL_ERROR),
    Case(
        "two lengths",
        says(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
        HttpReason.PROTOCOL_ERROR,
    ),
    Case("a length below zero", says(HEAD + b"Content-Length: -2\r\n\r\nok"), HttpReason.PROTOCOL_ERROR),
    Case("a chunk of no size", says(CHUNKED + b"zz\r\nok\r\n"), HttpReason.PROTOCOL_ERROR),
    Case("a chunk of more than memory", says(CHUNKED + b"f" * 17 + b"\r\nok\r\n"), HttpReason.PROTOCOL_ERROR),
    Case("an endless chunk extension", web.endless(CHUNKED + b"1;", b"x" * 4096), HttpReason.PROTOCOL_ERROR),
    Case("endless trailers", web.endless(CHUNKED + b"0\r\n", b"a: b\r\n" * 512), HttpReason.PROTOCOL_ERROR),
    Case("endless interim answers", web.endless(b"", b"HTTP/1.1 100 Go on\r\n\r\n" * 99), HttpReason.HEADERS_TOO_LARGE),
    Case("endless header lines", web.endless(HEAD, b"a: b\r\n" * 99), HttpReason.HEADERS_TOO_LARGE),
    Case("an endless header line", web.endless(HEAD + b"a: ", b"b" * 4096), HttpReason.HEADERS_TOO_LARGE),
    Case("an endless status line", web.endless(b"HTTP/1.1 200 ", b"b" * 4096), HttpReason.HEADERS_TOO_LARGE),
    Case("an endless body", web.endless(OPEN_END, b"x" * 65536), HttpReason.BODY_TOO_LARGE),
    Case("an endless body in chunks", web.endless(CHUNKED, b"4\r\nfour\r\n" * 512), HttpReason.BODY_TOO_LARGE),
    Case(
        "a body that is announced as too long",
        says(HEAD + b"Content-Length: 9999999999999\r\n\r\n"),
        HttpReason.BODY_TOO_LARGE,
    ),
    Case("a page over a small bound", says(page()), HttpReason.BODY_TOO_LARGE, {"body_bytes_max": 11}),
)

UNWANTED = (
    Case(
        "the bad text lies across two pieces",
        web.dripping(OPEN_END, b"needle"),
        HttpReason.BODY_MISMATCH,
        {"body_lacks": ["en"]},
    ),
    Case("a server error", says(page(b"no", "503 Service Unavailable")), HttpReason.STATUS_UNEXPECTED),
    Case("a page instead of nothing", says(page()), HttpReason.STATUS_UNEXPECTED, {"expect_status": [204, "400-499"]}),
    Case("the text is there", says(page()), options={"body_contains": ["Hello", "world"]}),
    Case("the text is not there", says(page()), HttpReason.BODY_MISMATCH, {"body_contains": ["Hello", "moon"]}),
    Case("the bad text is there", says(page()), HttpReason.BODY_MISMATCH, {"body_lacks": ["moon", "world"]}),
    Case(
        "the bad text is in an endless body",
        web.endless(OPEN_END, b"error " * 999),
        HttpReason.BODY_MISMATCH,
        {"body_lacks": ["error"]},
    ),
    Case(
        "the text goes on in the next chunk",
        says(CHUNKED + b"3\r\nHel\r\n2\r\nlo\r\n0\r\n\r\n"),
        options={"body_contains": ["Hello"]},
    ),
)

REDIRECTED = (
    Case("to itself", says(moved("/")), HttpReason.REDIRECT_LOOP),
    Case("in a circle", routes({"/": moved("/a"), "/a": moved("/b"), "/b": moved("/a")}), HttpReason.REDIRECT_LOOP),
    Case(
        "once more than allowed",
        routes({"/": moved("/a"), "/a": moved("/b"), "/b": moved("/c"), "/c": page()}),
        HttpReason.REDIRECTS_EXCEEDED,
        {"redirects_max": 2},
    ),
    Case(
        "as often as allowed",
        routes({"/": moved("/a"), "/a": moved("/b"), "/b": page()}),
        options={"redirects_max": 2},
    ),
    Case("to another protocol", says(moved("ftp://files.example/")), HttpReason.REDIRECT_INVALID),
    Case("to credentials", says(moved("http://a:b@127.0.0.1/")), HttpReason.REDIRECT_INVALID),
    Case("to a port that is none", says(moved("http://127.0.0.1:99999/")), HttpReason.REDIRECT_INVALID),
    Case(
        "to another host, which is not wanted",
        says(moved("http://localhost:1/")),
        HttpReason.REDIRECT_OTHER_HOST,
        {"redirects_same_host": True},
    ),
    Case(
        "to the same host, which is wanted",
        routes({"/": moved("/a"), "/a": page()}),
        options={"redirects_same_host": True},
    ),
    Case(
        "with the body to another origin",
        says(moved("http://localhost:1/", "307 Temporary Redirect")),
        HttpReason.REDIRECT_WITH_BODY,
        {"method": "POST", "body": "x"},
    ),
    Case(
        "to another origin, without the body",
        says(moved("http://localhost:1/", "303 See Other")),
        Reason.REFUSED,
        {"method": "POST", "body": "x"},
    ),
    Case("to an error", routes({"/": moved("/gone")}), HttpReason.STATUS_UNEXPECTED),
)

TLS = (
    Case("expired", says(page()), TlsReason.TLS_CERTIFICATE_EXPIRED, server="expired"),
    Case("not yet valid", says(page()), TlsReason.TLS_CERTIFICATE_NOT_YET_VALID, server="future"),
    Case("for another name", says(page()), TlsReason.TLS_HOSTNAME_MISMATCH, server="other name"),
    Case("for another address", says(page()), TlsReason.TLS_HOSTNAME_MISMATCH, server="other address"),
    Case("self-signed", says(page()), TlsReason.TLS_SELF_SIGNED, server="self-signed"),
    Case("signed by a stranger", says(page()), TlsReason.TLS_UNTRUSTED, server="stranger"),
    Case("not meant for servers", says(page()), TlsReason.TLS_CERTIFICATE_INVALID, server="not for servers"),
    Case(
        "plain HTTP on a TLS port",
        web.blurts(page(status="400 Bad Request")),
        TlsReason.TLS_NOT_SPOKEN,
        scheme="https",
    ),
    Case("an alert", web.then_silence(b"\x15\x03\x01\x00\x02\x02\x28"), TlsReason.TLS_FAILED, scheme="https"),
)

CASES = (*GOOD, *SILENT, *BROKEN, *HOSTILE, *UNWANTED, *REDIRECTED, *TLS, *RULED, *CODED, *HTTP2)
