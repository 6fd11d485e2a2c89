"""Specification of kind `port`: options, validation and reasons. Pure data."""

import functools
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from libs.model.fields.address_family import AddressFamily, check_family
from libs.model.fields.tls import STATIC_TLS_FACTS
from libs.model.fields.url import parse_authority, parse_host
from services.port.dns_query import QUERY_TYPES, check_query_name
from services.port.expect_script import ScriptStep, check_steps
from services.port.prometheus import PortPrometheusMapping
from services.port.protocol_api import ServiceDefinition, StartTlsPolicy
from services.port.service_registry import SERVICES

TLS_EXPIRY_FRACTION_MAX = 0.9
# The default query of service dns.
_DEFAULT_QUERY_NAME, _DEFAULT_QUERY_TYPE = ".", "SOA"

ServiceName = str
Transport = Literal["tcp", "udp"]


class PortReason(StrEnum):
    """Reasons of this kind, in addition to the shared ones (libs.model.outcome.Reason, libs.model.fields.tls)."""

    # Caused by the target.
    SILENT = "silent"  # `degraded`: the connection was accepted, but no data arrived: a proxy without backend, or a hung service
    REFUSING = "refusing"  # `degraded`: the service is running and refuses the session; the detail quotes it
    UNHEALTHY = "unhealthy"  # `degraded`: the service reports an error state of its own
    ANSWER_TIMEOUT = "answer_timeout"  # the peer stopped responding during the exchange
    CLOSED = "closed"  # the peer closed the connection before the exchange was complete
    RESET = "reset"  # the connection was reset after it had been accepted
    UNEXPECTED_ANSWER = "unexpected_answer"  # the peer does not speak this protocol
    STARTTLS_MISSING = "starttls_missing"  # the service does not start TLS, and starttls is "require"
    FAMILY_DOWN = "family_down"  # `degraded`: with family "both", one family is down and the other is not
    # `down` where the service must answer over UDP, `unknown` where no reply is inconclusive.
    NO_ANSWER = "no_answer"


class PortSpec(PortPrometheusMapping, frozen=True, kw_only=True, tag="port", dict=True):
    """One port on one host, and the service or script that is expected there."""

    schemes = ("tcp", "udp", "tls", *SERVICES)
    static_facts = STATIC_TLS_FACTS

    host: str
    port: int | None = None
    service: ServiceName | None = None
    transport: Transport | None = None
    tls: bool = False
    starttls: StartTlsPolicy | None = None
    steps: tuple[ScriptStep, ...] = ()
    query_name: str = _DEFAULT_QUERY_NAME
    query_type: str = _DEFAULT_QUERY_TYPE
    family: AddressFamily = "any"
    resolve_to: str | None = None
    server_name: str | None = None
    tls_verify: bool = True
    tls_findings: Literal["down", "degraded"] | None = None
    tls_expiry_fraction: float = 0.2

    def __post_init__(self) -> None:
        _check_service(self)
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError("port must be from 1 to 65535")
        host, is_address = self.authority
        check_family(self.family, self.resolve_to, host, is_address=is_address)
        if self.steps:
            check_steps(self.steps)
        if self.server_name is not None:
            parse_host("server_name", self.server_name)
        _check_query(self)
        if not 0 <= self.tls_expiry_fraction <= TLS_EXPIRY_FRACTION_MAX:
            raise ValueError(f"tls_expiry_fraction must be from 0 to {TLS_EXPIRY_FRACTION_MAX}")

    @classmethod
    def from_url(cls, url: str) -> "PortSpec":
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        if not parts.netloc or parts.fragment or (parts.path.strip("/") and scheme != "dns"):
            raise ValueError(f"url must look like {scheme}://host or {scheme}://host:port, not {url!r}")
        try:
            host, port, _ = parse_authority(parts.netloc)
        except ValueError as error:
            raise ValueError(f"url {error}") from None
        given: dict[str, Any] = {"host": host, "port": port} | _parse_query(scheme, parts.query)
        if scheme in SERVICES:
            given["service"] = scheme
        elif scheme == "tls":
            given["tls"] = True
        else:
            given["transport"] = scheme
        if scheme == "dns":
            given["query_name"] = parts.path.strip("/") or "."
        return cls(**given)

    @property
    def target(self) -> str:
        host = f"[{self.hostname}]" if ":" in self.hostname else self.hostname
        scheme = self.service or ("tls" if self.tls else self.transport or "tcp")
        return f"{scheme}://{host}:{self.effective_port}"

    @property
    def service_definition(self) -> ServiceDefinition | None:
        return None if self.service is None else SERVICES[self.service]

    @property
    def effective_port(self) -> int:
        """The port to connect to: `port`, or the default of the service."""
        if self.port is not None:
            return self.port
        return 0 if self.service_definition is None else self.service_definition.port

    @property
    def over_udp(self) -> bool:
        return (self.transport or (self.service_definition.transport if self.service_definition else "tcp")) == "udp"

    @property
    def implicit_tls(self) -> bool:
        """Whether TLS starts before the first byte of the protocol."""
        return self.tls or (self.service_definition is not None and self.service_definition.tls)

    @property
    def hostname(self) -> str:
        return self.authority[0]

    @property
    def tls_name(self) -> str:
        """The server name for SNI and certificate verification."""
        named = self.hostname if self.server_name is None else parse_host("server_name", self.server_name)[0]
        return named.rstrip(".")

    @property
    def degrades_on_tls_findings(self) -> bool:
        """Whether a certificate problem only degrades the target: the default where TLS is opportunistic."""
        if self.tls_findings is not None:
            return self.tls_findings == "degraded"
        return not self.implicit_tls and self.starttls_policy == "auto"

    @property
    def starttls_policy(self) -> StartTlsPolicy:
        return self.starttls or (self.service_definition.starttls if self.service_definition else "auto")

    @functools.cached_property
    def authority(self) -> tuple[str, bool]:
        """The host to connect to (A-labels or an IP literal), and whether it is a literal."""
        return parse_host("host", self.host)


def _check_service(spec: PortSpec) -> None:
    if spec.service is None:
        _check_without_service(spec)
        return
    entry = SERVICES.get(spec.service)
    if entry is None:
        raise ValueError(f"service must be one of {', '.join(SERVICES)}")
    if spec.steps:
        raise ValueError("steps cannot be given together with a service: it has its own protocol")
    if spec.tls and not entry.tls:
        raise ValueError(f"tls is not supported by {spec.service}, which has no implicit TLS; see starttls")
    if spec.transport is not None and spec.transport not in (entry.transport, *entry.transports):
        raise ValueError(f"transport of {spec.service} must be {entry.transport}")


def _check_query(spec: PortSpec) -> None:
    check_query_name(spec.query_name)
    if spec.query_type not in QUERY_TYPES:
        raise ValueError(f"query_type must be one of {', '.join(QUERY_TYPES)}")
    for name, value, default in (
        ("query_name", spec.query_name, _DEFAULT_QUERY_NAME),
        ("query_type", spec.query_type, _DEFAULT_QUERY_TYPE),
    ):
        if spec.service != "dns" and value != default:
            raise ValueError(f"{name} must be left out unless service is dns")


def _parse_query(scheme: str, query: str) -> dict[str, str]:
    """Returns the options in the query of a URL: the record type of dns, in upper or lower case."""
    given = parse_qsl(query, keep_blank_values=True)
    if not given:
        return {}
    if scheme != "dns":
        raise ValueError(f"url of {scheme} must have no query, not ?{query}: only dns takes one, ?type=MX")
    if [name for name, _ in given] != ["type"]:
        raise ValueError(f"url of dns must have no other query than ?type=MX, once, not ?{query}")
    return {"query_type": given[0][1].upper()}


def _check_without_service(spec: PortSpec) -> None:
    if spec.port is None:
        raise ValueError("port must be given where no service is named")
    if spec.tls and any(step.starttls for step in spec.steps):
        raise ValueError("steps must not have starttls together with tls: TLS is active from the start")
    if spec.transport != "udp":
        return
    if not (spec.steps and spec.steps[0].send and spec.steps[-1].expect):
        raise ValueError(
            "steps must begin with a send and end with an expect over udp: only a reply shows that the service is up"
        )
    if spec.tls or any(step.starttls for step in spec.steps):
        raise ValueError("tls is not supported over udp")
