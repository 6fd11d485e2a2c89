"""The way through a proxy: whom to dial, what to ask for, and what it means when the way does not open.

What lies between us and the target is ours: only the proxy's own word that the target cannot be reached is `down`.
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
    """One way to a target: the proxy's address, and what it is asked for. `goal` is None where it forwards requests."""

    proxy: Proxy
    address: SocketAddress
    target: TunnelTarget | None
    credentials: ProxyCredentials | None

    def new_tunnel(self) -> Tunnel | None:
        """Returns the words for one connection."""
        return None if self.target is None else make_tunnel(self.proxy, self.target, self.credentials)


def needs_resolver(spec: HttpSpec, proxy: Proxy, url: Url) -> bool:
    """Tells whether the way to `url` needs our resolver."""
    return not proxy.is_address or (not proxy.resolves_names and spec.fixed_address(url) is None)


async def find_route(  # noqa: PLR0913  what a visitor holds, and what it visits
    spec: HttpSpec, proxy: Proxy, request: HttpRequest, *, resolver: Resolver, egress: EgressPolicy, deadline: float
) -> ProxyRoute | Verdict:
    """Returns the way to where `request` goes, or why there is none. The policy holds for the target's address too."""
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
    # The proxy's own address is judged where it is dialled. Names that it looks up are its network's matter.
    if host is not None and (refusal := egress.refusal(host)) is not None:
        return Verdict(Status.UNKNOWN, Reason.EGRESS_REFUSED, refusal)
    goal = None if request.is_forwarded else TunnelTarget(host or url.host, url.port)
    return ProxyRoute(proxy, address, goal, spec.proxy_auth)


async def _resolve_proxy(proxy: Proxy, resolver: Resolver, deadline: float) -> SocketAddress | Verdict:
    if proxy.is_address:
        return literal_address(proxy.host, proxy.port)
    found = await resolver.resolve(proxy.host, proxy.port, deadline)
    return _as_proxy_failure(proxy, found) if isinstance(found, Verdict) else found[0]


def judge_route(
    way: ProxyRoute,
    wire: ConnectionOutcome,
    refusal: TunnelRefusal | None,
    answer: HttpExchange,
    secrets: Iterable[str],
) -> Verdict | None:
    """Returns what the way alone explains; None when the target is to be judged by what it did."""
    if wire.phase is Phase.CONNECT:
        return _connect_failure(way, wire)
    if refusal is not None:
        status, reason = _FAILURES[refusal.failure]
        said = f" {quote_excerpt(refusal.proxy_text, secrets)}" if refusal.proxy_text else ""
        return Verdict(
            status, reason, f"The proxy {way.proxy.authority} did not reach {way.target}: {refusal.detail}{said}."
        )
    if wire.phase is Phase.PROXY:
        return _tunnel_failure(way, wire)
    return _forward_failure(way, wire, answer) if way.target is None else None


def _connect_failure(way: ProxyRoute, wire: ConnectionOutcome) -> Verdict:
    if isinstance(wire.error, OSError):
        return _as_proxy_failure(way.proxy, connect_verdict(wire.error, answered=wire.answered))
    return _failed_verdict(way, "did not accept the connection in time")


def _tunnel_failure(way: ProxyRoute, wire: ConnectionOutcome) -> Verdict:
    if wire.end is End.TIMEOUT:
        return _timeout_verdict(way, f"to {way.target}")
    how = "closed" if wire.end is End.CLOSED else "reset"
    return _failed_verdict(way, f"{how} the connection before it opened the way to {way.target}")


def _forward_failure(way: ProxyRoute, wire: ConnectionOutcome, answer: HttpExchange) -> Verdict | None:
    """Judges an HTTP proxy that forwards a plain request. From its answer's head on, the answer is the target's."""
    if answer.has_head:
        wants = answer.status == _PROXY_AUTHENTICATION_REQUIRED
        return _failed_verdict(way, "wants other credentials: it answered 407") if wants else None
    if answer.problem is not None and answer.problem.reason is HttpReason.HEADERS_TOO_LARGE:
        return None
    if wire.end is End.TIMEOUT:
        return _timeout_verdict(way, "to our request")
    return _failed_verdict(
        way, "ended the connection without a whole answer" if answer.problem is None else "does not speak HTTP"
    )


def _timeout_verdict(way: ProxyRoute, what: str) -> Verdict:
    detail = f"The proxy {way.proxy.authority} did not answer {what} in time: it or the target is silent."
    return Verdict(Status.UNKNOWN, HttpReason.PROXY_TIMEOUT, detail)


def _failed_verdict(way: ProxyRoute, what: str) -> Verdict:
    return Verdict(Status.UNKNOWN, HttpReason.PROXY_FAILED, f"The proxy {way.proxy.authority} {what}.")


def _as_proxy_failure(proxy: Proxy, fault: Verdict) -> Verdict:
    """Returns a fault of the way to the proxy, which is never the target's."""
    if fault.status is not Status.DOWN:
        return fault
    return Verdict(
        Status.UNKNOWN, HttpReason.PROXY_FAILED, f"The proxy {proxy.authority} cannot be reached: {fault.detail}"
    )
