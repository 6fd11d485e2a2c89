"""Options for the request head: method, headers, credentials and server name, with their validation. Pure."""

import base64
import re

import msgspec

from libs.model.fields.url import parse_authority

HEADERS_MAX = 64
HEADERS_LENGTH_MAX = 16 * 1024
CREDENTIAL_LENGTH_MAX = 4096

# Written by the client itself: duplicates would enable request smuggling.
_RESERVED_HEADERS = frozenset(
    {
        *("connection", "content-length", "expect", "keep-alive", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)
# Servers read only one line of these, and differ in which one.
_SINGLE_VALUE_HEADERS = frozenset({"authorization", "content-type", "cookie", "host", "referer", "user-agent"})
# Names of headers with secret values, which are redacted everywhere, even when echoed by the server.
_SECRET_NAME = re.compile(r"auth|cookie|key|pass|secret|session|token|credential|signature", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BEARER = re.compile(r"[!-~]+")

HeaderValue = str | tuple[str, ...]


class BasicAuth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """User name and password (RFC 7617), encoded as UTF-8."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "BasicAuth(...)"

    @property
    def header_value(self) -> str:
        """Returns the value of the Authorization header."""
        return f"Basic {base64.b64encode(f'{self.username}:{self.password}'.encode()).decode()}"


def is_secret_name(name: str) -> bool:
    """Returns whether a header of this name may carry a secret."""
    return _SECRET_NAME.search(name) is not None


def header_lines(headers: dict[str, HeaderValue]) -> tuple[tuple[str, str], ...]:
    """Returns one (name, value) pair per header line."""
    return tuple(
        (name, value)
        for name, values in headers.items()
        for value in ((values,) if isinstance(values, str) else values)
    )


def check_header_name(field: str, name: str) -> None:
    if not _TOKEN.fullmatch(name) or len(name) > 256:
        raise ValueError(f"{field} must have names of letters, digits and dashes, not {name[:40]!r}")


def check_method(method: str) -> None:
    if not _TOKEN.fullmatch(method) or len(method) > 32:
        raise ValueError("method must be a word of letters, digits and dashes, such as GET, at most 32 long")
    if method.upper() == "CONNECT":
        raise ValueError("method must not be CONNECT, which asks a proxy for a tunnel")
    if method.upper() in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} and not method.isupper():
        raise ValueError(f"method must be {method.upper()}: servers tell upper and lower case apart")


def check_headers(headers: dict[str, HeaderValue]) -> None:
    lines = header_lines(headers)
    if len(lines) > HEADERS_MAX or sum(len(name) + len(value) for name, value in lines) > HEADERS_LENGTH_MAX:
        raise ValueError(f"headers must be at most {HEADERS_MAX}, with {HEADERS_LENGTH_MAX} characters in all")
    if len({name.lower() for name in headers}) != len(headers):
        raise ValueError("headers must name each header once, with a list for several values: case does not matter")
    for name, values in headers.items():
        if not isinstance(values, str) and (not values or (len(values) > 1 and name.lower() in _SINGLE_VALUE_HEADERS)):
            raise ValueError(f"headers must give {name[:40]!r} {'one value' if values else 'a value'}")
    for name, value in lines:
        _check_header(name, value)


def check_credentials(headers: dict[str, HeaderValue], basic: BasicAuth | None, bearer: str | None) -> None:
    own = any(name.lower() == "authorization" for name in headers)
    if (basic is not None) + (bearer is not None) + own > 1:
        raise ValueError("bearer_token, basic_auth and a header Authorization exclude each other")
    if basic is not None:
        _check_basic(basic)
    if bearer is not None and not (_BEARER.fullmatch(bearer) and len(bearer) <= CREDENTIAL_LENGTH_MAX):
        raise ValueError(f"bearer_token must be 1 to {CREDENTIAL_LENGTH_MAX} ASCII characters without blanks")


def check_server_name(name: str) -> None:
    try:
        _, port, _ = parse_authority(name)
    except ValueError as error:
        raise ValueError(f"server_name {error}") from None
    if port is not None:
        raise ValueError("server_name must not have a port")


def _check_basic(basic: BasicAuth) -> None:
    if max(len(basic.username), len(basic.password)) > CREDENTIAL_LENGTH_MAX:
        raise ValueError(f"basic_auth must have at most {CREDENTIAL_LENGTH_MAX} characters each")
    if ":" in basic.username or _CONTROL.search(basic.username + basic.password):
        raise ValueError("basic_auth must not have control characters, nor a colon in the username")


def _check_header(name: str, value: str) -> None:
    check_header_name("headers", name)
    if name.lower() in _RESERVED_HEADERS:
        raise ValueError(f"headers must not name {name}: the probe writes it itself")
    if _UNPRINTABLE.search(value) or value != value.strip():
        raise ValueError(f"headers must not have control characters or outer blanks in the value of {name}")
    if name.lower() == "host":
        _check_host(value)


def _check_host(value: str) -> None:
    try:
        parse_authority(value)
    except ValueError as error:
        raise ValueError(f"headers: the value of Host {error}") from None
