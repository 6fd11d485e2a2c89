"""What is sent, on the first hop and after each redirect. Pure."""

import re
from typing import NamedTuple

from libs.model.fields.proxy import Proxy, ProxyCredentials
from libs.model.fields.url import Url, join_url, parse_authority
from services.http.spec import HttpSpec

USER_AGENT = "Vedette/0.1"
COOKIES_LENGTH_MAX = 8192

# What a user's header may tell a host that the user did not name.
_CROSS_ORIGIN_HEADERS = frozenset({"accept", "accept-encoding", "accept-language", "user-agent"})
# Servers wait for a length from these, even when it is 0.
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_COOKIE = re.compile(r"[!-+\--:<>-~]+=[ -:<-~]*")
_DEFAULTS = (("User-Agent", USER_AGENT), ("Accept", "*/*"), ("Accept-Encoding", "identity"))
_DEFAULT_LINES = "".join(f"{name}: {value}\r\n" for name, value in _DEFAULTS)


class HttpRequest(NamedTuple):
    """One request on the way. `cookies` are those that this chain's own host has set; `named` is the user's server_name.

    `forwarder` holds the header lines for an HTTP proxy; None if there is no such proxy.
    """

    method: str
    url: Url
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cookies: tuple[tuple[str, str], ...] = ()
    server_name_option: str | None = None
    proxy_headers: str | None = None

    def __repr__(self) -> str:
        return f"Request({self.method} {self.url.redacted})"

    @property
    def is_forwarded(self) -> bool:
        """Tells whether an HTTP proxy reads this request; what goes over TLS passes by it in a tunnel."""
        return self.proxy_headers is not None and self.url.scheme == "http"

    @property
    def server_name(self) -> str:
        """Returns the name to ask for in TLS: the one that the user named, that of the Host header, that of the URL.

        An address among them is compared with the certificate and, as RFC 6066 wants it, not sent.
        """
        return (
            parse_authority(self.server_name_option)[0].rstrip(".")
            if self.server_name_option is not None
            else self.host.rstrip(".")
        )

    @property
    def host(self) -> str:
        """Returns the host that the answer is chosen by: that of the Host header, which is mostly that of the URL."""
        if not self.headers:
            return self.url.host
        host = next((value for name, value in self.headers if name.lower() == "host"), None)
        return self.url.host if host is None else parse_authority(host)[0]


def first_request(spec: HttpSpec) -> HttpRequest:
    body = spec.body.encode() if spec.body else b""
    request = HttpRequest(spec.method, spec.parsed_url, spec.sent_headers, body, server_name_option=spec.server_name)
    return (
        request
        if spec.parsed_proxy is None
        else request._replace(proxy_headers=proxy_header_lines(spec.parsed_proxy, spec.proxy_auth))
    )


def encode_http1(request: HttpRequest) -> bytes:
    """Returns the request as it goes on the wire; in absolute-form where a proxy forwards it (RFC 9112 section 3.2.2)."""
    host = f"Host: {request.url.authority}\r\n"
    own = f"{host}{_DEFAULT_LINES}" if not request.headers and not request.cookies else _header_lines(request, host)
    length = f"Content-Length: {len(request.body)}\r\n" if request.body or request.method in _BODY_METHODS else ""
    target = request.url.path
    if request.is_forwarded:
        target, own = str(request.url), f"{own}{request.proxy_headers}"
    head = f"{request.method} {target} HTTP/1.1\r\n{own}{length}Connection: close\r\n\r\n"
    return head.encode() + request.body


def http2_headers(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    """Returns the head of the request as HTTP/2 has it: pseudo-headers first, names in lower case (RFC 9113 8.3).

    A Host header becomes :authority, and nothing is said about a connection.
    """
    own = _effective_headers(request)
    authority = next((value for name, value in request.headers if name.lower() == "host"), request.url.authority)
    pseudo = [(":method", request.method), (":scheme", request.url.scheme)]
    pseudo += [(":authority", authority), (":path", request.url.path)]
    rest = [(name.lower(), value) for name, value in own if name.lower() != "host"]
    if request.body or request.method in _BODY_METHODS:
        rest.append(("content-length", str(len(request.body))))
    return [(name.encode(), value.encode()) for name, value in pseudo + rest]


def redirect_request(request: HttpRequest, status: int, location: str, cookies: list[str]) -> HttpRequest:
    """Returns the request that a redirect asks for; ValueError when it leads nowhere that can be requested.

    303 turns all but HEAD into GET, and 301 and 302 do so with POST, as every browser does. What the user gave for
    one origin (credentials, cookies, keys in headers) never reaches another.
    """
    url = join_url(request.url, location)
    if status == 303 or (status in (301, 302) and request.method == "POST"):
        request = request._replace(method="HEAD" if request.method == "HEAD" else "GET", body=b"")
        request = request._replace(headers=_drop_headers(request.headers, {"content-type"}))
    if url.origin != request.url.origin:
        harmless = tuple(pair for pair in request.headers if pair[0].lower() in _CROSS_ORIGIN_HEADERS)
        request = request._replace(headers=harmless, server_name_option=None)
    return request._replace(url=url, cookies=_next_cookies(request, url, cookies))


def proxy_header_lines(proxy: Proxy, credentials: ProxyCredentials | None) -> str | None:
    """Returns the header lines that are meant for a proxy alone; None for one that reads no requests."""
    if proxy.scheme != "http":
        return None
    return "" if credentials is None else f"Proxy-Authorization: {credentials.basic_auth}\r\n"


def _header_lines(request: HttpRequest, host: str) -> str:
    names = {name.lower() for name, _ in request.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in _effective_headers(request))
    return lines if "host" in names else host + lines


def _effective_headers(request: HttpRequest) -> list[tuple[str, str]]:
    """Returns our defaults, the user's headers and the cookies, without what the connection needs."""
    names = {name.lower() for name, _ in request.headers}
    pairs = [pair for pair in _DEFAULTS if pair[0].lower() not in names]
    pairs += [pair for pair in request.headers if pair[0].lower() != "cookie"]
    if cookie := _cookie_header(request):
        pairs.append(("Cookie", cookie))
    return pairs


def _drop_headers(headers: tuple[tuple[str, str], ...], names: set[str]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in headers if pair[0].lower() not in names)


def _cookie_header(request: HttpRequest) -> str:
    own = [value for name, value in request.headers if name.lower() == "cookie"]
    return "; ".join(own + [f"{name}={value}" for name, value in request.cookies])


def _next_cookies(request: HttpRequest, then: Url, cookies: list[str]) -> tuple[tuple[str, str], ...]:
    """Returns the cookies for the next hop: sites set one, redirect to themselves and look for it.

    They stay on the host that set them, and none that TLS has protected goes out in plain.
    """
    before = request.url
    if then.host != before.host or (before.scheme, then.scheme) == ("https", "http"):
        return ()
    jar = dict(request.cookies)
    for cookie in cookies:
        pair, *attributes = cookie.split(";")
        secure = any(attribute.strip().lower() == "secure" for attribute in attributes)
        if _COOKIE.fullmatch(pair.strip()) and (not secure or before.scheme == "https"):
            name, _, value = pair.strip().partition("=")
            jar[name] = value
    return tuple(jar.items()) if sum(map(len, [*jar, *jar.values()])) <= COOKIES_LENGTH_MAX else ()
