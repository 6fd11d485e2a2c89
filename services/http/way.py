"""The way through a proxy: whom to dial, what to ask for, and what it means when the way does not open.

What lies between us and the target is ours: only the proxy's own word that the target cannot be reached is `down`.
"""

from collections.abc import Iterable
from typing import NamedTuple

from libs.model.outcome import Reason, Status
from libs.model.proxy import Credentials, Proxy
from libs.model.url import Url
from libs.net.dial import Address, literal
from libs.net.egress import Egress
from libs.net.fault import Fault, connect_fault
from libs.net.proxy import Goal, Refusal, Trouble, Tunnel, tunnel
from libs.net.resolve import FAMILIES, Resolver
from libs.net.talk import End, Ended, Phase
from services.http.answer import Answer
from services.http.request import Request
from services.http.shown import shown
from services.http.spec import HttpReason, HttpSpec

_PROXY_AUTHENTICATION_REQUIRED = 407
_TROUBLES = {
    Trouble.FAILED: (Status.UNKNOWN, HttpReason.PROXY_FAILED),
    Trouble.CREDENTIALS: (Status.UNKNOWN, HttpReason.PROXY_FAILED),
    Trouble.FORBIDDEN: (Status.UNKNOWN, HttpReason.PROXY_REFUSED),
    Trouble.UNREACHABLE: (Status.DOWN, HttpReason.PROXY_TARGET_UNREACHABLE),
}


class Way(NamedTuple):
    """One way to a target: the proxy's address, and what it is asked for. `goal` is None where it forwards requests."""

    proxy: Proxy
    address: Address
    goal: Goal | None
    credentials: Credentials | None

    def tunnel(self) -> Tunnel | None:
        """Returns the words for one connection."""
        return None if self.goal is None else tunnel(self.proxy, self.goal, self.credentials)


def looks_up(spec: HttpSpec, proxy: Proxy, url: Url) -> bool:
    """Tells whether the way to `url` needs our resolver."""
    return not proxy.is_address or (not proxy.resolves and spec.address_of(url) is None)


async def find_way(  # noqa: PLR0913  what a visitor holds, and what it visits
    spec: HttpSpec, proxy: Proxy, request: Request, *, resolver: Resolver, egress: Egress, deadline: float
) -> Way | Fault:
    """Returns the way to where `request` goes, or why there is none. The policy holds for the target's address too."""
    address = await _proxy_address(proxy, resolver, deadline)
    if isinstance(address, Fault):
        return address
    url = request.url
    host = spec.address_of(url)
    if host is None and not proxy.resolves:
        found = await resolver.resolve(url.host, url.port, deadline, FAMILIES.get(spec.family))
        if isinstance(found, Fault):
            return found
        host = found[0].host
    # The proxy's own address is judged where it is dialled. Names that it looks up are its network's matter.
    if host is not None and (refusal := egress.refusal(host)) is not None:
        return Fault(Status.UNKNOWN, Reason.EGRESS_REFUSED, refusal)
    goal = None if request.is_forwarded else Goal(host or url.host, url.port)
    return Way(proxy, address, goal, spec.proxy_auth)


async def _proxy_address(proxy: Proxy, resolver: Resolver, deadline: float) -> Address | Fault:
    if proxy.is_address:
        return literal(proxy.host, proxy.port)
    found = await resolver.resolve(proxy.host, proxy.port, deadline)
    return _ours(proxy, found) if isinstance(found, Fault) else found[0]


def judge_way(way: Way, wire: Ended, refusal: Refusal | None, answer: Answer, secrets: Iterable[str]) -> Fault | None:
    """Returns what the way alone explains; None when the target is to be judged by what it did."""
    if wire.phase is Phase.CONNECT:
        return _not_connected(way, wire)
    if refusal is not None:
        status, reason = _TROUBLES[refusal.trouble]
        said = f" {shown(refusal.said, secrets)}" if refusal.said else ""
        return Fault(
            status, reason, f"The proxy {way.proxy.authority} did not reach {way.goal}: {refusal.words}{said}."
        )
    if wire.phase is Phase.PROXY:
        return _not_opened(way, wire)
    return _not_forwarded(way, wire, answer) if way.goal is None else None


def _not_connected(way: Way, wire: Ended) -> Fault:
    if isinstance(wire.error, OSError):
        return _ours(way.proxy, connect_fault(wire.error, answered=wire.answered))
    return _failed(way, "did not accept the connection in time")


def _not_opened(way: Way, wire: Ended) -> Fault:
    if wire.end is End.TIMEOUT:
        return _silent(way, f"to {way.goal}")
    how = "closed" if wire.end is End.CLOSED else "reset"
    return _failed(way, f"{how} the connection before it opened the way to {way.goal}")


def _not_forwarded(way: Way, wire: Ended, answer: Answer) -> Fault | None:
    """Judges an HTTP proxy that forwards a plain request. From its answer's head on, the answer is the target's."""
    if answer.headed:
        wants = answer.status == _PROXY_AUTHENTICATION_REQUIRED
        return _failed(way, "wants other credentials: it answered 407") if wants else None
    if answer.flaw is not None and answer.flaw.reason is HttpReason.HEADERS_TOO_LARGE:
        return None
    if wire.end is End.TIMEOUT:
        return _silent(way, "to our request")
    return _failed(way, "ended the connection without a whole answer" if answer.flaw is None else "does not speak HTTP")


def _silent(way: Way, what: str) -> Fault:
    detail = f"The proxy {way.proxy.authority} did not answer {what} in time: it or the target is silent."
    return Fault(Status.UNKNOWN, HttpReason.PROXY_TIMEOUT, detail)


def _failed(way: Way, what: str) -> Fault:
    return Fault(Status.UNKNOWN, HttpReason.PROXY_FAILED, f"The proxy {way.proxy.authority} {what}.")


def _ours(proxy: Proxy, fault: Fault) -> Fault:
    """Returns a fault of the way to the proxy, which is never the target's."""
    if fault.status is not Status.DOWN:
        return fault
    return Fault(
        Status.UNKNOWN, HttpReason.PROXY_FAILED, f"The proxy {proxy.authority} cannot be reached: {fault.detail}"
    )
