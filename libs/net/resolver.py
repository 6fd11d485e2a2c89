"""Asynchronous DNS resolver on c-ares: one per process, honouring the hosts file and resolv.conf.

c-ares caches answers for their TTL, negative ones too. Its own timeouts adapt to the speed of the servers and are no
deadline; the caller sets one.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import aiodns
from pycares import errno as ares

from libs.model.outcome import Reason, Status
from libs.net.sockets import SocketAddress
from libs.net.verdict import Verdict

# Four tries: after some fast answers c-ares allows only 250 ms for the first try.
_TRIES = 4
_TRY_TIMEOUT_S = 1.5
# ARES_AI_NOSORT: sorting would open a UDP socket per address, and the first address of the answer is used.
_NO_SORT = 1 << 7
_NOT_FOUND_CODES = frozenset({ares.ARES_ENODATA, ares.ARES_ENOTFOUND, ares.ARES_ENONAME})
# Values of the option `family` that select one family; all others mean any.
ADDRESS_FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}
_FAMILY_NAMES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
_ERROR_TEXTS = {
    ares.ARES_ESERVFAIL: "server failure",
    ares.ARES_EREFUSED: "query refused",
    ares.ARES_ETIMEOUT: "timeout",
    ares.ARES_ECONNREFUSED: "connection refused",
}


class Resolver:
    """DNS resolver of this process. An async context manager: it owns a thread and a few file descriptors."""

    def __init__(self, nameservers: Sequence[str] = ()) -> None:
        self._nameservers = nameservers

    async def __aenter__(self) -> Self:
        self._ares = aiodns.DNSResolver(nameservers=self._nameservers or None, timeout=_TRY_TIMEOUT_S, tries=_TRIES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ares.close()

    async def resolve(
        self, host: str, port: int, deadline: float, family: socket.AddressFamily | None = None
    ) -> list[SocketAddress] | Verdict:
        """Returns the addresses of `host` in one family, in the order of the DNS answer.

        Without a `family`: the IPv4 addresses, or the IPv6 addresses if there are none. `deadline` is an instant of
        time.monotonic().
        """
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                if family is not None:
                    return await self.resolve_family(family, host, port, wanted=f"{_FAMILY_NAMES[family]} address")
                found = await self.resolve_family(socket.AF_INET, host, port)
                if isinstance(found, Verdict) and found.reason == Reason.NAME_NOT_FOUND:
                    return await self.resolve_family(socket.AF_INET6, host, port)
                return found
        except TimeoutError:
            return Verdict(Status.UNKNOWN, Reason.RESOLVER_FAILED, f"Our resolver did not answer for {host} in time.")

    async def resolve_family(
        self, family: socket.AddressFamily, host: str, port: int, *, wanted: str = "address"
    ) -> list[SocketAddress] | Verdict:
        """Returns the addresses of one family. Has no deadline of its own beyond the retries of c-ares."""
        try:
            found = await self._ares.getaddrinfo(_query_name(host), family, type=socket.SOCK_STREAM, flags=_NO_SORT)
        except aiodns.error.DNSError as error:
            return _verdict(host, error.args[0], wanted)
        addresses = [
            SocketAddress(family, node.addr[0].decode(), port) for node in found.nodes if node.family == family
        ]
        return addresses or _verdict(host, ares.ARES_ENODATA, wanted)


def _query_name(host: str) -> str:
    """Returns `host` without the final dot of a localhost name (RFC 6761 section 6.3).

    c-ares recognizes `localhost` and names below it only without that dot, and queries the servers otherwise.
    """
    name = host.removesuffix(".")
    return name if name.rpartition(".")[2].lower() == "localhost" else host


def _verdict(host: str, code: int, wanted: str) -> Verdict:
    if code == ares.ARES_ENOTFOUND:
        return Verdict(Status.DOWN, Reason.NAME_NOT_FOUND, f"The name {host} does not exist.")
    if code in _NOT_FOUND_CODES:
        return Verdict(Status.DOWN, Reason.NAME_NOT_FOUND, f"The name {host} has no {wanted}.")
    why = _ERROR_TEXTS.get(code, f"c-ares error {code}")
    return Verdict(Status.UNKNOWN, Reason.RESOLVER_FAILED, f"Our resolver has no answer for {host}: {why}.")
