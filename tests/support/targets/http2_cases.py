"""Every good, broken or hostile HTTP/2 server, with the status and the reason that it must get."""

import gzip
from typing import Any

from services.http.client.http2 import FRAMES_MAX
from services.http.spec import HttpReason
from tests.support.targets import web
from tests.support.targets.case import Case
from tests.support.targets.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OK,
    PADDED,
    PING,
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    WINDOW,
    Exchange,
    coded,
    data,
    flood,
    frame,
    goaway,
    head,
    page,
    raw,
    rst,
    serves,
)

BIG = b"0123456789" * 1_000_000
LENGTH_9 = (*OK, ("content-length", "9"))
POST = {"method": "POST", "body": "ä" * 65536}
TWO = {"http_version": "2"}


def case(
    name: str, handler: web.Handler, reason: HttpReason | None = None, /, server: str = "h2", **options: Any
) -> Case:
    timeout_s = options.pop("timeout_s", 5.0)
    given: dict[str, Any] = {"reason": reason} if reason is not None else {}
    return Case(f"HTTP/2: {name}", handler, options=options, server=server, timeout_s=timeout_s, **given)


async def says_back(exchange: Exchange) -> None:
    await exchange.answer(OK, f"{len(exchange.body)} bytes".encode())


async def by_path(exchange: Exchange) -> None:
    path = dict(exchange.fields)[":path"]
    await exchange.answer([(":status", "302"), ("location", "/there")] if path == "/" else OK, path.encode())


GOOD = (
    case("a page", page()),
    case("a page that must be HTTP/2", page(), **TWO),
    case("a page from a server of both versions", page(), server="h2 or 1.1", **TWO),
    case("a page from a server of HTTP/1.1", web.says(web.page()), server="http/1.1"),
    case("a page over HTTP/1.1 only", web.says(web.page()), server="1.1 or h2", http_version="1.1"),
    case("an empty page", page(b"")),
    case("a page with trailers", page(b"Hello", trailers=(("x-sum", "1"),)), body_contains=["Hello"]),
    case("a page after interim answers", raw(*[head([(":status", "103")])] * 3, head(), data(b"x", END_STREAM))),
    case("a page in padded pieces", raw(head(), *[frame(DATA, b"\xffx" + bytes(255), PADDED)] * 99, data(b"", 1))),
    case(
        "a head in many frames",
        raw(frame(HEADERS, b"\x88"), *[frame(CONTINUATION)] * 9, frame(9, b"", 4), data(b"", 1)),
    ),
    case("a page beside other frames", raw(frame(PING, bytes(8), stream=0), frame(99, b"?"), head(flags=5))),
    case("more than it said, after the end", raw(head(), data(b"x", END_STREAM), data(b"y"))),
    case(
        "a large page", page(BIG, ("content-length", str(len(BIG)))), body_bytes_max=16 << 20, body_contains=["90123"]
    ),
    case("a long body of ours", serves(says_back), body_contains=["131072 bytes"], **POST),
    case("an answer before our body is all there", raw(head(flags=5)), **POST),
    case("HEAD, with the length of the page", raw(head(LENGTH_9, 5)), method="HEAD"),
    case("304 with the length of the page", raw(head([(":status", "304"), LENGTH_9[1]], 5))),
    case("gzip", page(gzip.compress(b"Hello" * 99), ("content-encoding", "gzip")), body_contains=["HelloHello"]),
    case("a goodbye before the answer", raw(goaway(0), head(), data(b"x", END_STREAM))),
    case("a goodbye long before the last answer", raw(goaway(0, 2**31 - 1), head(), data(b"x", END_STREAM))),
    case("a redirect", serves(by_path), body_contains=["/there"], **TWO),
    case("a header rule", page(b"", ("via", "a")), header_assertions=[{"name": "Via", "op": "equals", "value": "a"}]),
)
SILENT = (
    case("says nothing", raw(greeting=b""), HttpReason.FIRST_BYTE_TIMEOUT, timeout_s=0.3),
    case("stops after its settings", raw(), HttpReason.FIRST_BYTE_TIMEOUT, timeout_s=0.3),
    case("stops inside its head", raw(frame(HEADERS, b"\x88")), HttpReason.TRANSFER_TIMEOUT, timeout_s=0.3),
    case("stops after its head", raw(head()), HttpReason.TRANSFER_TIMEOUT, timeout_s=0.3),
    case("never makes room for our body", raw(), HttpReason.FIRST_BYTE_TIMEOUT, timeout_s=0.3, **POST),
)
BROKEN = (
    case("closes after its settings", raw(then="closes"), HttpReason.EMPTY_ANSWER),
    case("closes inside the head", raw(frame(HEADERS, b"\x88"), then="closes"), HttpReason.INCOMPLETE_HEADERS),
    case("closes inside the body", raw(head(), data(b"x"), then="closes"), HttpReason.INCOMPLETE_BODY),
    case("resets after its settings", raw(then="resets"), HttpReason.FIRST_BYTE_RESET),
    case("resets inside the body", raw(head(), data(b"x"), then="resets"), HttpReason.TRANSFER_RESET),
    case("refuses the stream", raw(rst(7)), HttpReason.FIRST_BYTE_RESET),
    case("resets the stream", raw(head(), data(b"x"), rst(2)), HttpReason.TRANSFER_RESET),
    case("resets the stream for no error that is known", raw(rst(99)), HttpReason.FIRST_BYTE_RESET),
    case("leaves without an answer", raw(goaway(0, 0)), HttpReason.FIRST_BYTE_RESET),
    case("leaves with an error", raw(goaway(11)), HttpReason.FIRST_BYTE_RESET),
    case("leaves inside the body", raw(head(), data(b"x"), goaway(2)), HttpReason.TRANSFER_RESET),
    case("wants HTTP/1.1, and that is not wanted", raw(rst(13)), HttpReason.FIRST_BYTE_RESET, **TWO),
    case("less body than announced", raw(head(LENGTH_9), data(b"four", END_STREAM)), HttpReason.INCOMPLETE_BODY),
    case(
        "less body than announced, by trailers",
        raw(head(LENGTH_9), data(b"four"), head((("a", "b"),), 5)),
        HttpReason.INCOMPLETE_BODY,
    ),
    case("no body where one was announced", raw(head(LENGTH_9, 5)), HttpReason.INCOMPLETE_BODY),
    case("an error", page(status="503"), HttpReason.STATUS_UNEXPECTED),
    case("does not speak it", web.says(web.page()), HttpReason.HTTP_VERSION, server="http/1.1", **TWO),
    case("agrees to nothing", web.says(web.page()), HttpReason.HTTP_VERSION, server="good", **TWO),
)
HOSTILE = (
    case("HTTP/1.1 instead", web.blurts(web.page()), HttpReason.PROTOCOL_ERROR),
    case("a frame before the settings", raw(greeting=frame(PING, bytes(8), stream=0)), HttpReason.PROTOCOL_ERROR),
    case("an acknowledgement before the settings", raw(greeting=frame(SETTINGS, b"", 1, 0)), HttpReason.PROTOCOL_ERROR),
    case("a frame that is too long", raw(head(), frame(DATA, bytes(16385))[:9]), HttpReason.PROTOCOL_ERROR),
    case("more body than announced", raw(head(LENGTH_9), data(bytes(10))), HttpReason.PROTOCOL_ERROR),
    case("a body without a head", raw(data(b"x", END_STREAM)), HttpReason.PROTOCOL_ERROR),
    case("a head without a status", raw(head((("a", "b"),), 5)), HttpReason.PROTOCOL_ERROR),
    case("a status that is none", raw(head(((":status", "2x0"),), 5)), HttpReason.PROTOCOL_ERROR),
    case("a switch that nobody asked for", raw(head(((":status", "101"),))), HttpReason.PROTOCOL_ERROR),
    case("a header of HTTP/1.1", raw(head((*OK, ("connection", "close")))), HttpReason.PROTOCOL_ERROR),
    case("a name in capitals", raw(frame(HEADERS, b"\x88\x00\x01A\x01b", 5)), HttpReason.PROTOCOL_ERROR),
    case("headers that cannot be decoded", raw(frame(HEADERS, b"\xff\xff\xff\xff", 5)), HttpReason.PROTOCOL_ERROR),
    case("another frame inside the headers", raw(frame(HEADERS, b"\x88"), data(b"")), HttpReason.PROTOCOL_ERROR),
    case("a push", raw(frame(PUSH, b"\0\0\0\x02" + coded(OK), END_HEADERS)), HttpReason.PROTOCOL_ERROR),
    case("a stream of its own", raw(frame(HEADERS, b"\x88", 5, 2)), HttpReason.PROTOCOL_ERROR),
    case("data for a stream that is not open", raw(frame(DATA, b"x", 0, 3)), HttpReason.PROTOCOL_ERROR),
    case("a goodbye that is cut short", raw(frame(7, b"1234", stream=0)), HttpReason.PROTOCOL_ERROR),
    case("more room than there is", raw(frame(WINDOW, b"\x7f\xff\xff\xff", stream=0) * 2), HttpReason.PROTOCOL_ERROR),
    case("settings of no sense", raw(frame(SETTINGS, b"\0\x02\0\0\0\x09", stream=0)), HttpReason.PROTOCOL_ERROR),
    case("too many settings", raw(frame(SETTINGS, bytes(6) * 65, stream=0)), HttpReason.PROTOCOL_ERROR),
    case("too many lines", raw(head((*OK, *[("a", "b")] * 257), 5)), HttpReason.HEADERS_TOO_LARGE),
    case("too large a line", page(b"", ("a", "~" * 70_000)), HttpReason.HEADERS_TOO_LARGE),
    # One line of 4000 bytes goes into the table; a byte for each more of it.
    case("a bomb of headers", raw(frame(HEADERS, b"\x88\x40\x01a\x7f\xa1\x1e" + b"b" * 4000 + b"\xbe" * 9999, 5)), HttpReason.HEADERS_TOO_LARGE),
    case("an endless head", flood(frame(CONTINUATION, bytes(4096)), frame(HEADERS, b"\x88")), HttpReason.HEADERS_TOO_LARGE),
    case("an endless head of nothing", flood(frame(CONTINUATION), frame(HEADERS, b"\x88")), HttpReason.PROTOCOL_ERROR),
    case("endless interim answers", flood(head(((":status", "100"),))), HttpReason.PROTOCOL_ERROR),
    case("endless pings", flood(frame(PING, bytes(8), stream=0)), HttpReason.PROTOCOL_ERROR),
    case("endless settings", flood(frame(SETTINGS, stream=0)), HttpReason.PROTOCOL_ERROR),
    case("endless acknowledgements", flood(frame(SETTINGS, b"", 1, 0)), HttpReason.PROTOCOL_ERROR),
    case("endless room", flood(frame(WINDOW, b"\0\0\0\x01")), HttpReason.PROTOCOL_ERROR),
    case("endless priorities", flood(frame(PRIORITY, bytes(5), stream=3)), HttpReason.PROTOCOL_ERROR),
    case("endless resets", flood(frame(RST, bytes(4), stream=3)), HttpReason.PROTOCOL_ERROR),
    case("endless goodbyes", flood(goaway(0)), HttpReason.PROTOCOL_ERROR),
    case("endless frames of no known type", flood(frame(99)), HttpReason.PROTOCOL_ERROR),
    case("endless pieces of nothing", flood(data(b""), head()), HttpReason.PROTOCOL_ERROR),
    case("endless pieces of padding", flood(frame(DATA, b"\xff" + bytes(255), PADDED), head()), HttpReason.PROTOCOL_ERROR),
    case("a body in a thousand bytes", raw(head(), data(b"x") * (FRAMES_MAX + 200)), HttpReason.PROTOCOL_ERROR),
    case("an endless body", flood(data(bytes(16384)), head()), HttpReason.BODY_TOO_LARGE, body_bytes_max=100_000),
    case("a bomb of gzip", page(gzip.compress(bytes(1 << 26)), ("content-encoding", "gzip")), HttpReason.DECOMPRESSION_BOMB, body_contains=["x"]),
)  # fmt: skip

HTTP2 = (*GOOD, *SILENT, *BROKEN, *HOSTILE)
