"""Spec of kind `http` with its validation, and its reasons. Pure."""

import functools
from enum import StrEnum
from typing import Any, Literal

import msgspec

from libs.model.fields.address_family import AddressFamily, check_family
from libs.model.fields.proxy import Proxy, ProxyCredentials
from libs.model.fields.tls import STATIC_TLS_FACTS
from libs.model.fields.url import Url, parse_url
from libs.model.spec import SecretPath
from services.http.options.client_certificate import (
    CERTIFICATE_PLACEHOLDER,
    ClientCertificate,
    check_client_certificate,
)
from services.http.options.headers import (
    BasicAuth,
    HeaderValue,
    check_credentials,
    check_headers,
    check_method,
    check_server_name,
    header_lines,
    is_secret_name,
)
from services.http.options.proxy import (
    check_proxy_auth,
    check_proxy_headers,
    check_proxy_route,
    parse_proxy_option,
    proxy_secrets,
)
from services.http.options.secret_values import ROUTE_DEFAULTS, secret_recipient, secret_values
from services.http.prometheus import HttpPrometheusMapping
from services.http.rules.assertions import HeaderAssertion, JsonAssertion, check_header_rules, check_json_rules
from services.http.rules.patterns import check_patterns, text_bytes_max
from services.http.rules.statuses import status_ranges
from services.http.rules.text_search import check_texts

TLS_EXPIRY_FRACTION_MAX = 0.9
BODY_LENGTH_MAX = 64 * 1024
REDIRECTS_MAX = 20
BODY_BYTES_MAX = 64 * 1024 * 1024
# A body with these methods has no defined semantics (RFC 9110 section 9.3).
_BODYLESS = frozenset({"GET", "HEAD", "TRACE"})
_BODY_RULES = ("body_contains", "body_lacks", "body_matches", "body_lacks_match", "json_assertions", "body_bytes_min")
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})

# Bodies for patterns or JSON paths are buffered completely.
BUFFERED_BODY_BYTES_MAX = 1024 * 1024
TIME_S_MAX = 3600.0


class HttpReason(StrEnum):
    """Reasons of this kind, beside those shared by all kinds (libs.model.outcome.Reason)."""

    # Timeouts, by phase.
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"  # the request was sent, no byte was received
    TRANSFER_TIMEOUT = "transfer_timeout"  # the response began and did not end
    # Broken connections, by phase.
    FIRST_BYTE_RESET = "first_byte_reset"  # reset before the first byte of the response
    TRANSFER_RESET = "transfer_reset"  # reset within the response
    EMPTY_ANSWER = "empty_answer"  # closed (EOF) before the first byte
    INCOMPLETE_HEADERS = "incomplete_headers"  # closed (EOF) within the headers
    INCOMPLETE_BODY = "incomplete_body"  # closed before the announced end of the body
    # One of the two address families.
    FAMILY_DOWN = "family_down"  # `degraded`: with family "both", one family is down and the other is not
    # Invalid or oversized responses.
    PROTOCOL_ERROR = "protocol_error"  # the response violates HTTP
    HTTP_VERSION = "http_version"  # the server does not support the http_version
    HEADERS_TOO_LARGE = "headers_too_large"  # header bytes or lines exceed the limit
    BODY_TOO_LARGE = "body_too_large"  # more body than body_bytes_max
    BODY_TOO_SMALL = "body_too_small"  # less body than body_bytes_min
    CODING_UNSUPPORTED = "coding_unsupported"  # a rule needs the body, and its content coding is unsupported
    CODING_INVALID = "coding_invalid"  # the body is invalid in its content coding
    DECOMPRESSION_BOMB = "decompression_bomb"  # a small body that decodes to a huge one
    # Valid responses that violate a rule.
    STATUS_UNEXPECTED = "status_unexpected"  # the status is not in expect_status
    HEADER_MISMATCH = "header_mismatch"  # a header assertion failed
    BODY_MISMATCH = "body_mismatch"  # a text or pattern is missing, or an unwanted one was found
    JSON_MISMATCH = "json_mismatch"  # a JSON assertion failed, or the body is not JSON
    TIME_EXCEEDED = "time_exceeded"  # a good response, later than time_s_max
    TLS_VERSION = "tls_version"  # below tls_version_min, or no TLS
    REDIRECT_LOOP = "redirect_loop"  # a redirect to a URL already visited
    REDIRECTS_EXCEEDED = "redirects_exceeded"  # more redirects than redirects_max
    REDIRECT_OTHER_HOST = "redirect_other_host"  # a redirect to another host, and redirects_same_host is set
    REDIRECT_WITH_BODY = "redirect_with_body"  # a redirect that would send the request body to another origin
    REDIRECT_INVALID = "redirect_invalid"  # a redirect to a location that cannot be requested
    PROXY_TARGET_UNREACHABLE = "proxy_target_unreachable"  # the proxy reports that it cannot reach the target
    # Failures of the prober or the proxy: `unknown`, never `down`.
    PROXY_FAILED = "proxy_failed"  # the proxy is unreachable, violates its protocol or rejects the credentials
    PROXY_REFUSED = "proxy_refused"  # the proxy's rules forbid this target
    PROXY_TIMEOUT = "proxy_timeout"  # the proxy accepted the request and sent nothing: either it or the target hangs
    TLS_CLIENT_CERTIFICATE_UNUSABLE = "tls_client_certificate_unusable"  # client_certificate and its key do not match


class HttpSpec(HttpPrometheusMapping, frozen=True, kw_only=True, tag="http", dict=True):
    """One web request and the rules for its response."""

    schemes = ("http", "https")
    secret_options = ("basic_auth", "bearer_token", "client_certificate", "proxy_auth")
    secret_maps = ("headers",)
    static_facts = STATIC_TLS_FACTS

    url: str
    method: str = "GET"
    headers: dict[str, HeaderValue] = msgspec.field(default_factory=dict)
    basic_auth: BasicAuth | None = None
    bearer_token: str | None = None
    server_name: str | None = None
    body: str = ""
    expect_status: tuple[int | str, ...] = ("200-399",)
    redirects_max: int = 10
    redirects_same_host: bool = False
    body_contains: tuple[str, ...] = ()
    body_lacks: tuple[str, ...] = ()
    body_matches: tuple[str, ...] = ()
    body_lacks_match: tuple[str, ...] = ()
    header_assertions: tuple[HeaderAssertion, ...] = ()
    json_assertions: tuple[JsonAssertion, ...] = ()
    body_bytes_min: int = 0
    body_bytes_max: int = 4 * 1024 * 1024
    time_s_max: float | None = None
    http_version: Literal["any", "1.1", "2"] = "any"
    tls_version_min: Literal["1.2", "1.3"] | None = None
    tls_verify: bool = True
    family: AddressFamily = "any"
    resolve_to: str | None = None
    tls_findings: Literal["down", "degraded"] = "down"
    tls_expiry_fraction: float = 0.2
    client_certificate: ClientCertificate | None = None
    proxy: str | None = None
    proxy_auth: ProxyCredentials | None = None

    def __post_init__(self) -> None:
        check_family(self.family, self.resolve_to, self.parsed_url.host, is_address=self.parsed_url.is_address)
        _check_request(self)
        if self.expect_status != ("200-399",):
            _check_statuses(self.expected_statuses, follows=self.redirects_max > 0)
        _check_tls(self)
        if self.proxy is not None or self.proxy_auth is not None:
            _check_proxy(self)
        _check_rules(self)
        _check_limits(self)

    @classmethod
    def from_url(cls, url: str) -> "HttpSpec":
        return cls(url=url)

    @property
    def target(self) -> str:
        return self.parsed_url.redacted

    @property
    def recipient(self) -> str:
        return secret_recipient(self.parsed_url, self.headers, ((name, getattr(self, name)) for name in ROUTE_DEFAULTS))

    @classmethod
    def is_secret_name(cls, name: str) -> bool:
        return is_secret_name(name)

    @classmethod
    def placeholder(cls, path: SecretPath) -> Any:
        return CERTIFICATE_PLACEHOLDER if path == ("client_certificate",) else super().placeholder(path)

    def fixed_address(self, url: Url) -> str | None:
        """Returns the IP address to connect to for `url` without resolving; None if its name must be resolved."""
        if url.is_address:
            return url.host
        return self.resolve_to if url.host == self.parsed_url.host else None

    def __repr__(self) -> str:
        return f"HttpSpec({self.method} {self.target})"

    @functools.cached_property
    def sent_headers(self) -> tuple[tuple[str, str], ...]:
        """Header lines of the first request, including credentials."""
        if self.basic_auth is not None:
            return (*header_lines(self.headers), ("Authorization", self.basic_auth.header_value))
        if self.bearer_token is not None:
            return (*header_lines(self.headers), ("Authorization", f"Bearer {self.bearer_token}"))
        return header_lines(self.headers)

    @functools.cached_property
    def secrets(self) -> frozenset[str]:
        """Values to redact even when the server echoes them: credentials and values of secret headers."""
        return secret_values(self.sent_headers, self.basic_auth) | (proxy_secrets(self.proxy_auth) - {""})

    @functools.cached_property
    def patterns(self) -> tuple[str, ...]:
        """All patterns for the body."""
        return (*self.body_matches, *self.body_lacks_match)

    @functools.cached_property
    def has_final_rules(self) -> bool:
        """Whether there are rules to check after the response is complete."""
        return self.tls_version_min is not None or self.http_version == "2" or self.buffered_bytes_max > 0

    @functools.cached_property
    def reads_body(self) -> bool:
        """Whether a rule needs the body's content."""
        return bool(self.body_contains or self.body_lacks or self.buffered_bytes_max)

    @functools.cached_property
    def buffered_bytes_max(self) -> int:
        """Maximum buffered body size for rules that need the whole body; 0 without such rules."""
        if self.patterns:
            return min(BUFFERED_BODY_BYTES_MAX, text_bytes_max(self.patterns))
        return BUFFERED_BODY_BYTES_MAX if self.json_assertions else 0

    @functools.cached_property
    def parsed_url(self) -> Url:
        """URL of the first request."""
        try:
            return parse_url(self.url)
        except ValueError as error:
            raise ValueError(f"url {error}") from None

    @functools.cached_property
    def parsed_proxy(self) -> Proxy | None:
        """Proxy for all requests."""
        return None if self.proxy is None else parse_proxy_option(self.proxy)

    @functools.cached_property
    def expected_statuses(self) -> tuple[range, ...]:
        """Expected statuses, as ranges."""
        return status_ranges(self.expect_status)


def _check_statuses(statuses: tuple[range, ...], *, follows: bool) -> None:
    if follows and all(status in REDIRECT_STATUSES for span in statuses for status in span):
        raise ValueError("expect_status names redirects only, which are followed: set redirects_max to 0 to see them")


def _check_tls(spec: HttpSpec) -> None:
    if spec.client_certificate is not None:
        check_client_certificate(spec.client_certificate, secure=spec.parsed_url.scheme == "https")
    if not 0 <= spec.tls_expiry_fraction <= TLS_EXPIRY_FRACTION_MAX:
        raise ValueError(f"tls_expiry_fraction must be from 0 to {TLS_EXPIRY_FRACTION_MAX}")


def _check_proxy(spec: HttpSpec) -> None:
    if spec.parsed_proxy is not None:
        check_proxy_route(spec.parsed_proxy, spec.family, spec.resolve_to)
        check_proxy_headers(spec.parsed_proxy, spec.headers, spec.parsed_url)
    if spec.proxy_auth is not None:
        check_proxy_auth(spec.parsed_proxy, spec.proxy_auth)


def _check_request(spec: HttpSpec) -> None:
    if spec.method != "GET":
        check_method(spec.method)
    if spec.headers:
        check_headers(spec.headers)
    if spec.basic_auth is not None or spec.bearer_token is not None:
        check_credentials(spec.headers, spec.basic_auth, spec.bearer_token)
    if spec.server_name is not None:
        check_server_name(spec.server_name)
    if spec.body and spec.method in _BODYLESS:
        raise ValueError(f"body is not sent with {spec.method}: use POST, PUT or PATCH")
    if len(spec.body) > BODY_LENGTH_MAX:
        raise ValueError(f"body must be at most {BODY_LENGTH_MAX} characters long")


def _check_rules(spec: HttpSpec) -> None:
    if spec.header_assertions:
        check_header_rules(spec.header_assertions)
    for field in _BODY_RULES if spec.method == "HEAD" else ():
        if getattr(spec, field):
            raise ValueError(f"{field} needs a body, and the answer to HEAD has none: use GET")
    if spec.body_contains or spec.body_lacks:
        check_texts("body_contains", spec.body_contains)
        check_texts("body_lacks", spec.body_lacks)
    if spec.patterns:
        check_patterns("body_matches", spec.body_matches)
        check_patterns("body_lacks_match", spec.body_lacks_match)
    if spec.json_assertions:
        check_json_rules(spec.json_assertions)


def _check_limits(spec: HttpSpec) -> None:
    _check_range("redirects_max", spec.redirects_max, 0, REDIRECTS_MAX)
    _check_range("body_bytes_max", spec.body_bytes_max, 1, BODY_BYTES_MAX)
    if spec.body_bytes_min:
        _check_range("body_bytes_min", spec.body_bytes_min, 0, spec.body_bytes_max)
    if spec.time_s_max is not None and not 0 < spec.time_s_max <= TIME_S_MAX:
        raise ValueError(f"time_s_max must be above 0 and at most {TIME_S_MAX:.0f}")
    if spec.redirects_max == 0 and spec.parsed_url.scheme == "http":
        _check_plain_http(spec)


def _check_plain_http(spec: HttpSpec) -> None:
    for field, asks in (
        ("tls_version_min", spec.tls_version_min is not None),
        ("http_version", spec.http_version == "2"),
    ):
        if asks:
            raise ValueError(f"{field} can never hold: the url is plain HTTP, and no redirect is followed")


def _check_range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{field} must be from {least} to {most}")
