"""What is said to a proxy before the target is reached: HTTP CONNECT and SOCKS5. Pure: bytes in, bytes out.

A wire (libs.net.wire) that is given a tunnel says its words first, and begins its own talk, or TLS, once the proxy has
opened the way. What came after the proxy's consent is the target's.
"""

import ipaddress
import re
import struct
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from libs.model.proxy import Credentials, Proxy, authority

HEAD_BYTES_MAX = 16 * 1024

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_HTTP = b"HTTP/1."


class Trouble(StrEnum):
    """Why a proxy did not open the way."""

    FAILED = "failed"  # it breaks the protocol, or cannot do what was asked
    CREDENTIALS = "credentials"  # it wants some, or does not take ours
    FORBIDDEN = "forbidden"  # its rules are against it
    UNREACHABLE = "unreachable"  # it tried, and the target cannot be reached


class Refusal(NamedTuple):
    """What the proxy did instead, for the end of a sentence; `said` are its own words, uncut, not yet fit to be shown."""

    trouble: Trouble
    words: str
    said: bytes = b""


class Goal(NamedTuple):
    """What a proxy is asked for: a name or an IP literal, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return authority(self.host, self.port)


class HttpTunnel:
    """Asks an HTTP proxy for a tunnel (RFC 9110 section 9.3.6). Reads at most HEAD_BYTES_MAX of its answer."""

    __slots__ = ("_credentials", "_left", "_seen", "awaits", "goal", "refusal", "rest")

    def __init__(self, goal: Goal, credentials: Credentials | None = None) -> None:
        self.goal = goal
        self.refusal: Refusal | None = None
        self.rest: bytes | None = None
        self.awaits = f"our CONNECT to {goal}"
        self._credentials = credentials
        self._seen = b""
        self._left = HEAD_BYTES_MAX

    def opened(self) -> bytes:
        ours = f"Proxy-Authorization: {self._credentials.basic}\r\n" if self._credentials is not None else ""
        return f"CONNECT {self.goal} HTTP/1.1\r\nHost: {self.goal}\r\n{ours}\r\n".encode()

    def received(self, data: bytes) -> bytes:
        """Takes what came; sets `rest` when the way is open, `refusal` when it will not be. Nothing more is said."""
        start = max(len(self._seen) - 3, 0)
        self._seen += data
        while self.rest is None and self.refusal is None:
            end = _HEAD_END.search(self._seen, start, self._left)
            if end is None:
                self._check_unfinished()
                break
            head, self._seen, start = self._seen[: end.end()], self._seen[end.end() :], 0
            self._left -= len(head)
            self._read(head)
        return b""

    def _check_unfinished(self) -> None:
        if not self._seen.startswith(_HTTP[: len(self._seen)]):
            self.refusal = Refusal(Trouble.FAILED, "what it answered is not HTTP/1.1")
        elif len(self._seen) >= self._left:
            self.refusal = Refusal(Trouble.FAILED, f"its answer has a head of more than {HEAD_BYTES_MAX} bytes")

    def _read(self, head: bytes) -> None:
        """Reads one head. Any 2xx opens the way, whatever length it names; interim answers are passed over."""
        line = _STATUS_LINE.match(head)
        if line is None:
            self.refusal = Refusal(Trouble.FAILED, "what it answered is not HTTP/1.1")
            return
        status = int(line[1])
        if 200 <= status < 300:
            self.rest = self._seen
        elif status >= 300 or status == 101:
            self.refusal = Refusal(_http_trouble(status), f"it answered {status}", line[2] or b"")


def _http_trouble(status: int) -> Trouble:
    """Returns what a status means in answer to CONNECT (RFC 9110 section 15.6.3 to 15.6.5: the gateway's statuses)."""
    if status in (502, 503, 504):
        return Trouble.UNREACHABLE
    if status == 407:
        return Trouble.CREDENTIALS
    return Trouble.FORBIDDEN if status == 403 else Trouble.FAILED


_NO_AUTHENTICATION, _PASSWORD, _NONE_ACCEPTABLE = 0, 2, 0xFF
# REP of RFC 1928 section 6. "General failure" is the proxy's own; many that know no better say it for everything.
_REPLIES = {
    1: (Trouble.FAILED, "general SOCKS server failure"),
    2: (Trouble.FORBIDDEN, "connection not allowed by ruleset"),
    3: (Trouble.UNREACHABLE, "network unreachable"),
    4: (Trouble.UNREACHABLE, "host unreachable"),
    5: (Trouble.UNREACHABLE, "connection refused"),
    6: (Trouble.UNREACHABLE, "TTL expired"),
    7: (Trouble.FAILED, "command not supported"),
    8: (Trouble.FAILED, "address type not supported"),
}
_ADDRESS_BYTES = {1: 4, 4: 16}


class Socks5Tunnel:
    """Asks a SOCKS5 proxy for a connection (RFC 1928), by username and password if there are some (RFC 1929)."""

    __slots__ = ("_credentials", "_seen", "_step", "awaits", "goal", "refusal", "rest")

    def __init__(self, goal: Goal, credentials: Credentials | None = None) -> None:
        self.goal = goal
        self.refusal: Refusal | None = None
        self.rest: bytes | None = None
        self.awaits = "our greeting"
        self._credentials = credentials
        self._seen = b""
        # Not bound: a method of ours in a field of ours would be a ring for the garbage collector.
        self._step: Callable[[Socks5Tunnel], bytes] = Socks5Tunnel._greeted

    def opened(self) -> bytes:
        methods = [_NO_AUTHENTICATION] if self._credentials is None else [_NO_AUTHENTICATION, _PASSWORD]
        return bytes([5, len(methods), *methods])

    def received(self, data: bytes) -> bytes:
        """Takes what came and returns what is said to it; sets `rest` or `refusal` when that was all."""
        self._seen += data
        return self._step(self)

    def _greeted(self) -> bytes:
        reply = self._take(2)
        if reply is None:
            return b""
        if reply[0] != 5:
            return self._fail("what it answered is not SOCKS5")
        if reply[1] == _NO_AUTHENTICATION:
            return self._ask()
        if reply[1] == _PASSWORD and self._credentials is not None:
            self._step, self.awaits = Socks5Tunnel._authenticated, "our credentials"
            return _words_of(self._credentials)
        if reply[1] in (_PASSWORD, _NONE_ACCEPTABLE):
            return self._fail("it takes none of our ways to authenticate", Trouble.CREDENTIALS)
        return self._fail(f"it chose a way to authenticate that we did not offer ({reply[1]})")

    def _authenticated(self) -> bytes:
        reply = self._take(2)
        if reply is None:
            return b""
        # The version in front is wrong in so many servers that no client looks at it.
        return self._ask() if reply[1] == 0 else self._fail("it refused our credentials", Trouble.CREDENTIALS)

    def _ask(self) -> bytes:
        self._step, self.awaits = Socks5Tunnel._answered, f"our request for {self.goal}"
        return b"\x05\x01\x00" + _address(self.goal.host) + struct.pack(">H", self.goal.port)

    def _answered(self) -> bytes:
        reply = self._seen
        if reply and reply[0] != 5:
            return self._fail("what it answered is not SOCKS5")
        if len(reply) >= 2 and reply[1] != 0:  # some servers leave the address out then
            trouble, words = _REPLIES.get(reply[1], (Trouble.FAILED, "a code that RFC 1928 does not know"))
            return self._fail(f"it answered {reply[1]}, {words}", trouble)
        if len(reply) < 5:
            return b""
        length = 1 + reply[4] if reply[3] == 3 else _ADDRESS_BYTES.get(reply[3])
        if length is None:
            return self._fail("it answered with an unknown kind of address")
        if len(reply) >= 4 + length + 2:
            self.rest, self._seen = reply[4 + length + 2 :], b""
        return b""

    def _take(self, count: int) -> bytes | None:
        """Returns the next reply of `count` bytes when it is there; more than that, nobody has asked for yet."""
        if len(self._seen) < count:
            return None
        reply, more = self._seen[:count], self._seen[count:]
        if more:
            self._fail("it said more than it was asked")
            return None
        self._seen = b""
        return reply

    def _fail(self, words: str, trouble: Trouble = Trouble.FAILED) -> bytes:
        self.refusal = Refusal(trouble, words)
        return b""


def _words_of(credentials: Credentials) -> bytes:
    username, password = credentials.username.encode(), credentials.password.encode()
    return bytes([1, len(username)]) + username + bytes([len(password)]) + password


def _address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        return bytes([3, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed


Tunnel = HttpTunnel | Socks5Tunnel


def tunnel(proxy: Proxy, goal: Goal, credentials: Credentials | None) -> Tunnel:
    """Returns the words that ask `proxy` for a connection to `goal`."""
    return HttpTunnel(goal, credentials) if proxy.scheme == "http" else Socks5Tunnel(goal, credentials)
