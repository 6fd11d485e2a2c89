"""Targets whose answers break or keep the rules of a spec, and answers in content codings."""

import gzip
import json
import sys
import zlib

import brotli

from services.http.spec import HttpReason
from tests.support.targets import web
from tests.support.targets.case import Case
from tests.support.targets.web import moved, page, routes, says

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DOCUMENT = {"status": "ok", "count": 3, "token": "hunter2", "items": [{"up": True}, {"up": None}], "a.b": 0.5}
JSON = says(page(json.dumps(DOCUMENT).encode(), headers="Content-Type: application/json\r\nVia: a\r\nVIA: b\r\n"))
BIG = b"0123456789" * 50_000


def json_rules(*rules: tuple[str, str, object]) -> dict[str, object]:
    return {"json_assertions": [{"path": path, "op": op, "value": value} for path, op, value in rules]}


def header_rule(name: str, op: str, value: str | None = None) -> dict[str, object]:
    return {"header_assertions": [{"name": name, "op": op, "value": value}]}


def coded(coding: str, body: bytes) -> web.Handler:
    return says(page(body, headers=f"Content-Encoding: {coding}\r\n"))


def raw_deflate(data: bytes) -> bytes:
    tool = zlib.compressobj(9, zlib.DEFLATED, -15)
    return tool.compress(data) + tool.flush()


KEPT = (
    json_rules(("status", "==", "ok"), ("$.items[0].up", "==", True), ('["a.b"]', ">=", 0.5), ("count", "<", 3.5)),
    json_rules(
        ("items[-1].up", "==", None), ("gone", "exists", False), ("status", "contains", "k"), ("$", "contains", "count")
    ),
    header_rule("via", "equals", "b"),
    header_rule("content-type", "matches", "(?i)^APPLICATION/json$"),
    header_rule("server", "absent"),
    {"body_matches": ['"count":\\s*[0-9]+', "^\\{"], "body_lacks_match": ["(?i)error"]},
    {"body_bytes_min": 10, "time_s_max": 4.5},
)
BROKEN = (
    (HttpReason.JSON_MISMATCH, json_rules(("status", "==", "down"))),
    (HttpReason.JSON_MISMATCH, json_rules(("count", "==", "3"))),
    (HttpReason.JSON_MISMATCH, json_rules(("count", "==", True))),
    (HttpReason.JSON_MISMATCH, json_rules(("status", "<", 3))),
    (HttpReason.JSON_MISMATCH, json_rules(("gone", "!=", "x"))),
    (HttpReason.JSON_MISMATCH, json_rules(("token", "exists", False))),
    (HttpReason.HEADER_MISMATCH, header_rule("Server", "present")),
    (HttpReason.HEADER_MISMATCH, header_rule("Via", "absent")),
    (HttpReason.HEADER_MISMATCH, header_rule("Via", "equals", "c")),
    (HttpReason.HEADER_MISMATCH, header_rule("Via", "matches", "^ab$")),
    (HttpReason.BODY_MISMATCH, {"body_matches": ["count", "moon"]}),
    (HttpReason.BODY_MISMATCH, {"body_lacks_match": ["moon", "hunter[0-9]"]}),
    (HttpReason.BODY_TOO_SMALL, {"body_bytes_min": 1000}),
    (HttpReason.TLS_VERSION, {"tls_version_min": "1.2"}),
)
RULED = (
    *(Case(f"kept: {options}", JSON, options=options) for options in KEPT),
    *(Case(f"broken: {options}", JSON, reason, options) for reason, options in BROKEN),
    Case("no JSON", says(page(b"<html>")), HttpReason.JSON_MISMATCH, json_rules(("a", "exists", True))),
    Case("JSON without end", says(page(b"[" * 100_000)), HttpReason.JSON_MISMATCH, json_rules(("a", "exists", True))),
    Case("nothing instead of JSON", says(page(b"", "204 None")), HttpReason.JSON_MISMATCH, json_rules(("a", "==", 1))),
    Case("slow", web.dripping(web.page()[:-12], b"x", 0.03), HttpReason.TIME_EXCEEDED, {"time_s_max": 0.1}),
    Case(
        "rules hold at the end of redirects only",
        routes({"/": moved("/a"), "/a": page(headers="Via: a\r\n")}),
        options=header_rule("Via", "present") | {"body_matches": ["^Hello"]},
    ),
    Case(
        "the header is wrong, so an endless body is not read",
        web.endless(b"HTTP/1.1 200 OK\r\n" + b"\r\n", b"x" * 4096),
        HttpReason.HEADER_MISMATCH,
        header_rule("Via", "present"),
    ),
    Case("more than a pattern looks through", says(page(BIG * 3)), HttpReason.BODY_TOO_LARGE, {"body_matches": ["x"]}),
    Case(
        "TLS 1.2 where 1.3 is wanted",
        says(page()),
        HttpReason.TLS_VERSION,
        {"tls_version_min": "1.3"},
        server="tls 1.2",
    ),
    Case("TLS 1.3 where 1.3 is wanted", says(page()), options={"tls_version_min": "1.3"}, server="good"),
    Case("a method of one's own", routes({"/": page()}), options={"method": "PURGE", "body": "x"}),
)
CODED = (
    *(
        Case(
            f"{coding}{note}",
            coded(coding, body),
            options={"body_contains": ["90123"], "body_matches": ["^(?:[0-9]+)$"]},
        )
        for coding, note, body in (
            ("gzip", "", gzip.compress(BIG)),
            ("X-GZIP", " in two streams", gzip.compress(BIG[:999]) + gzip.compress(BIG[999:])),
            ("deflate", "", zlib.compress(BIG, 1)),
            ("deflate", " without its header", raw_deflate(BIG)),
            ("br", "", brotli.compress(BIG)),
            ("identity, zstd", "", zstd.compress(BIG)),
            ("identity", "", BIG),
        )
    ),
    Case("an unknown coding that nobody looks into", coded("snappy", b"x")),
    Case("an unknown coding", coded("snappy", b"x"), HttpReason.CODING_UNSUPPORTED, {"body_contains": ["x"]}),
    Case("two codings", coded("gzip, br", b"x"), HttpReason.CODING_UNSUPPORTED, {"body_contains": ["x"]}),
    Case("no gzip at all", coded("gzip", b"Hello, world"), HttpReason.CODING_INVALID, {"body_contains": ["x"]}),
    Case("half a gzip", coded("gzip", gzip.compress(BIG)[:-9]), HttpReason.CODING_INVALID, {"body_contains": ["x"]}),
    Case(
        "more after br", coded("br", brotli.compress(BIG) + b"x"), HttpReason.CODING_INVALID, {"body_contains": ["x"]}
    ),
    Case(
        "a thousand gzips", coded("gzip", gzip.compress(b"") * 999), HttpReason.CODING_INVALID, {"body_contains": ["x"]}
    ),
    Case(
        "a page that grows over its bound",
        coded("gzip", gzip.compress(BIG)),
        HttpReason.BODY_TOO_LARGE,
        {"body_contains": ["x"], "body_bytes_max": 400_000},
    ),
    *(
        Case(
            f"a bomb of {coding}",
            coded(coding, pack(bytes(1 << 26))),
            HttpReason.DECOMPRESSION_BOMB,
            {"body_contains": ["x"]},
        )
        for coding, pack in (
            ("gzip", gzip.compress),
            ("deflate", zlib.compress),
            ("br", lambda data: brotli.compress(data, quality=5)),
            ("zstd", zstd.compress),
        )
    ),
)
