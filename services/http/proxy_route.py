"""Route through a proxy: its address, the tunnel target, and verdicts on failures before the target is reached.

Such failures are `unknown`; only a proxy that reports the target as unreachable makes it `down`.
"""

from collections.abc import Iterable
from typing import NamedTuple

from libs.model.fields.proxy import Proxy, ProxyCredentials
from libs.model.fields.url import Url
from libs.model.outcome import Reason, Status
from libs.net.egress import EgressPolicy
from libs.net.exchange import ConnectionOutcome, End, Phase
from libs.net.proxy_tunnel import ProxyFailure, Tunnel, TunnelRefusal, TunnelTarget, make_tunnel
from libs.net.resolver import ADDRESS_FAMILIES, Resolver
from libs.net.sockets import SocketAddress, literal_address
from libs.net.verdict import Verdict, connect_verdict
from services.http.client.exchange import HttpExchange
from services.http.client.request import HttpRequest
from services.http.redaction.redact import quote_excerpt
from services.http.spec import HttpReason, HttpSpec

_PROXY_AUTHENTICATION_REQUIRED = 407
_FAILURES = {
    ProxyFailure.FAILED: (Status.UNKNOWN, HttpReason.PROXY_FAILED),
    ProxyFailure.CREDENTIALS: (Status.UNKNOWN, HttpReason.PROXY_FAILED),
    ProxyFailure.FORBIDDEN: (Status.UNKNOWN, HttpReason.PROXY_REFUSED),
    ProxyFailure.UNREACHABLE: (Status.DOWN, HttpReason.PROXY_TARGET_UNREACHABLE),
}


class ProxyRoute(NamedTuple):
    """Address of the proxy and target of the tunnel; `target` is None if the proxy forwards plain requests."""

    proxy: Proxy
    address: SocketAddress
    target: TunnelTarget | None
    credentials: ProxyCredentials | None

    def new_tunnel(self) -> Tunnel | None:
        """Returns the proxy handshake for one connection; None if requests are forwarded."""
        return None if self.target is None else make_tunnel(self.proxy, self.target, self.credentials)


def needs_resolver(spec: HttpSpec, proxy: Proxy, url: Url) -> bool:
    """Returns whether the route to `url` needs our resolver."""
    return not proxy.is_address or (not proxy.resolves_names and spec.fixed_address(url) is None)


async def find_route(  # noqa: PLR0913  shared resources and the request
    spec: HttpSpec, proxy: Proxy, request: HttpRequest, *, resolver: Resolver, egress: EgressPolicy, deadline: float
) -> ProxyRoute | Verdict:
    """Returns the route for `request`, or the verdict that prevents it. The egress policy also covers the target."""
    address = await _resolve_proxy(proxy, resolver, deadline)
    if isinstance(address, Verdict):
        return address
    url = request.url
    host = spec.fixed_address(url)
    if host is None and not proxy.resolves_names:
        found = await resolver.resolve(url.host, url.port, deadline, ADDRESS_FAMILIES.get(spec.family))
        if isinstance(found, Verdict):
            return found
        host = found[0].host
    # The proxy's own address is checked at connect. Names that the proxy resolves are outside this policy.
    if host is not None and (refusal := egress.refusal(host)) is not None:
        return Verdict(Status.UNKNOWN, Reason.EGRESS_REFUSED, refusal)
    target = None if request.is_forwarded else TunnelTarget(host or url.host, url.port)
    return ProxyRoute(proxy, address, target, spec.proxy_auth)


async def _resolve_proxy(proxy: Proxy, resolver: Resolver, deadline: float) -> SocketAddress | Verdict:
    if proxy.is_address:
        return literal_address(proxy.host, proxy.port)
    found = await resolver.resolve(proxy.host, proxy.port, deadline)
    return _as_proxy_failure(proxy, found) if isinstance(found, Verdict) else found[0]


def judge_route(
    route: ProxyRoute,
    wire: ConnectionOutcome,
    refusal: TunnelRefusal | None,
    exchange: HttpExchange,
    secrets: Iterable[str],
) -> Verdict | None:
    """Returns the verdict on a failure of the route; None if the target's behaviour decides."""
    if wire.phase is Phase.CONNECT:
        return _connect_failure(route, wire)
    if refusal is not None:
        status, reason = _FAILURES[refusal.failure]
        text = f" {quote_excerpt(refusal.proxy_text, secrets)}" if refusal.proxy_text else ""
        return Verdict(
            status, reason, f"The proxy {route.proxy.authority} did not reach {route.target}: {refusal.detail}{text}."
        )
    if wire.phase is Phase.PROXY:
        return _tunnel_failure(route, wire)
    return _forward_failure(route, wire, exchange) if route.target is None else None


def _connect_failure(route: ProxyRoute, wire: ConnectionOutcome) -> Verdict:
    if isinstance(wire.error, OSError):
        return _as_proxy_failure(route.proxy, connect_verdict(wire.error, answered=wire.answered))
    return _failed_verdict(route, "did not accept the connection in time")


def _tunnel_failure(route: ProxyRoute, wire: ConnectionOutcome) -> Verdict:
    if wire.end is End.TIMEOUT:
        return _timeout_verdict(route, f"to {route.target}")
    how = "closed" if wire.end is End.CLOSED else "reset"
    return _failed_verdict(route, f"{how} the connection before it opened the tunnel to {route.target}")


def _forward_failure(route: ProxyRoute, wire: ConnectionOutcome, exchange: HttpExchange) -> Verdict | None:
    """Judges a proxy that forwards plain requests. From the response head on, the response is the target's."""
    if exchange.has_head:
        wants = exchange.status == _PROXY_AUTHENTICATION_REQUIRED
        return _failed_verdict(route, "rejected the credentials: it answered 407") if wants else None
    if exchange.problem is not None and exchange.problem.reason is HttpReason.HEADERS_TOO_LARGE:
        return None
    if wire.end is End.TIMEOUT:
        return _timeout_verdict(route, "to our request")
    return _failed_verdict(
        route,
        "ended the connection without a whole answer" if exchange.problem is None else "does not respond with HTTP",
    )


def _timeout_verdict(route: ProxyRoute, what: str) -> Verdict:
    detail = f"The proxy {route.proxy.authority} did not answer {what} in time: either it or the target hangs."
    return Verdict(Status.UNKNOWN, HttpReason.PROXY_TIMEOUT, detail)


def _failed_verdict(route: ProxyRoute, what: str) -> Verdict:
    return Verdict(Status.UNKNOWN, HttpReason.PROXY_FAILED, f"The proxy {route.proxy.authority} {what}.")


def _as_proxy_failure(proxy: Proxy, fault: Verdict) -> Verdict:
    """Returns the verdict on a failure to reach the proxy, which is never the target's."""
    if fault.status is not Status.DOWN:
        return fault
    return Verdict(
        Status.UNKNOWN, HttpReason.PROXY_FAILED, f"The proxy {proxy.authority} cannot be reached: {fault.detail}"
    )
