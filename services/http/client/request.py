"""HTTP requests of a check: the first one, those after redirects, and their encoding for HTTP/1.1 and HTTP/2. Pure."""

import re
from typing import NamedTuple

from libs.model.fields.proxy import Proxy, ProxyCredentials
from libs.model.fields.url import Url, join_url, parse_authority
from services.http.spec import HttpSpec

USER_AGENT = "Vedette/0.1"
COOKIES_LENGTH_MAX = 8192

# Spec headers that are also sent to other origins.
_CROSS_ORIGIN_HEADERS = frozenset({"accept", "accept-encoding", "accept-language", "user-agent"})
# Servers expect Content-Length with these methods, even if it is 0.
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_COOKIE = re.compile(r"[!-+\--:<>-~]+=[ -:<-~]*")
_DEFAULTS = (("User-Agent", USER_AGENT), ("Accept", "*/*"), ("Accept-Encoding", "identity"))
_DEFAULT_LINES = "".join(f"{name}: {value}\r\n" for name, value in _DEFAULTS)


class HttpRequest(NamedTuple):
    """One HTTP request. `cookies` were set by this host earlier in the chain; `server_name_option` is from the spec.

    `proxy_headers` holds the header lines for an HTTP proxy; None without such a proxy.
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
        """Whether an HTTP proxy forwards this request; https requests use a tunnel."""
        return self.proxy_headers is not None and self.url.scheme == "http"

    @property
    def server_name(self) -> str:
        """Returns the name for SNI and verification: the option server_name, the Host header, or the URL's host.

        An IP address is verified but not sent as SNI (RFC 6066).
        """
        return (
            parse_authority(self.server_name_option)[0].rstrip(".")
            if self.server_name_option is not None
            else self.host.rstrip(".")
        )

    @property
    def host(self) -> str:
        """Returns the host of the Host header, by default that of the URL."""
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
    """Returns the HTTP/1.1 bytes; in absolute-form if a proxy forwards the request (RFC 9112 section 3.2.2)."""
    host = f"Host: {request.url.authority}\r\n"
    own = f"{host}{_DEFAULT_LINES}" if not request.headers and not request.cookies else _header_lines(request, host)
    length = f"Content-Length: {len(request.body)}\r\n" if request.body or request.method in _BODY_METHODS else ""
    target = request.url.path
    if request.is_forwarded:
        target, own = str(request.url), f"{own}{request.proxy_headers}"
    head = f"{request.method} {target} HTTP/1.1\r\n{own}{length}Connection: close\r\n\r\n"
    return head.encode() + request.body


def http2_headers(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    """Returns the HTTP/2 header list: pseudo-headers first, names in lower case (RFC 9113 section 8.3).

    A Host header becomes :authority, and connection headers are omitted.
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
    """Returns the request that follows a redirect; ValueError if the location cannot be requested.

    303 changes every method but HEAD to GET, 301 and 302 change POST, as browsers do. Credentials, cookies and headers
    set for one origin are never sent to another.
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
    """Returns the header lines for the proxy only; None if the proxy does not read requests."""
    if proxy.scheme != "http":
        return None
    return "" if credentials is None else f"Proxy-Authorization: {credentials.basic_auth}\r\n"


def _header_lines(request: HttpRequest, host: str) -> str:
    names = {name.lower() for name, _ in request.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in _effective_headers(request))
    return lines if "host" in names else host + lines


def _effective_headers(request: HttpRequest) -> list[tuple[str, str]]:
    """Returns defaults, spec headers and cookies, without connection headers."""
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
    """Returns the cookies for the next hop: some sites set one, redirect to themselves and require it.

    Cookies stay on the host that set them, and secure ones are not sent without TLS.
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
