"""Proxy handshakes, HTTP CONNECT and SOCKS5. Sans I/O: bytes in, bytes out.

A Wire (libs.net.wire) with a tunnel completes the proxy handshake first, then starts TLS or its exchange. Bytes after
the proxy's reply come from the target.
"""

import ipaddress
import re
import struct
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from libs.model.fields.proxy import Proxy, ProxyCredentials, format_authority

HEAD_BYTES_MAX = 16 * 1024

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_HTTP = b"HTTP/1."


class ProxyFailure(StrEnum):
    """Reason for which a proxy did not establish the tunnel."""

    FAILED = "failed"  # protocol violation, or a failure of the proxy itself
    CREDENTIALS = "credentials"  # credentials are missing or were rejected
    FORBIDDEN = "forbidden"  # forbidden by the proxy's rules
    UNREACHABLE = "unreachable"  # the proxy could not connect to the target


class TunnelRefusal(NamedTuple):
    """Failed proxy handshake. `detail` ends a sentence; `proxy_text` is raw text of the proxy, not yet redacted."""

    failure: ProxyFailure
    detail: str
    proxy_text: bytes = b""


class TunnelTarget(NamedTuple):
    """Destination of a tunnel: a host name or an IP literal, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return format_authority(self.host, self.port)


class HttpTunnel:
    """HTTP CONNECT handshake (RFC 9110 section 9.3.6). Reads at most HEAD_BYTES_MAX of response heads."""

    __slots__ = ("_buffer", "_credentials", "_head_bytes_left", "awaiting", "refusal", "rest", "target")

    def __init__(self, target: TunnelTarget, credentials: ProxyCredentials | None = None) -> None:
        self.target = target
        self.refusal: TunnelRefusal | None = None
        self.rest: bytes | None = None
        self.awaiting = f"our CONNECT to {target}"
        self._credentials = credentials
        self._buffer = b""
        self._head_bytes_left = HEAD_BYTES_MAX

    def on_connected(self) -> bytes:
        ours = f"Proxy-Authorization: {self._credentials.basic_auth}\r\n" if self._credentials is not None else ""
        return f"CONNECT {self.target} HTTP/1.1\r\nHost: {self.target}\r\n{ours}\r\n".encode()

    def on_data(self, data: bytes) -> bytes:
        """Processes received data; sets `rest` when the tunnel is open, `refusal` when it failed. Returns b""."""
        start = max(len(self._buffer) - 3, 0)
        self._buffer += data
        while self.rest is None and self.refusal is None:
            end = _HEAD_END.search(self._buffer, start, self._head_bytes_left)
            if end is None:
                self._check_incomplete()
                break
            head, self._buffer, start = self._buffer[: end.end()], self._buffer[end.end() :], 0
            self._head_bytes_left -= len(head)
            self._read_head(head)
        return b""

    def _check_incomplete(self) -> None:
        if not self._buffer.startswith(_HTTP[: len(self._buffer)]):
            self.refusal = TunnelRefusal(ProxyFailure.FAILED, "its response is not HTTP/1.1")
        elif len(self._buffer) >= self._head_bytes_left:
            self.refusal = TunnelRefusal(
                ProxyFailure.FAILED, f"its response has a head of more than {HEAD_BYTES_MAX} bytes"
            )

    def _read_head(self, head: bytes) -> None:
        """Processes one response head. Any 2xx opens the tunnel, whatever its length header; 1xx are skipped."""
        line = _STATUS_LINE.match(head)
        if line is None:
            self.refusal = TunnelRefusal(ProxyFailure.FAILED, "its response is not HTTP/1.1")
            return
        status = int(line[1])
        if 200 <= status < 300:
            self.rest = self._buffer
        elif status >= 300 or status == 101:
            self.refusal = TunnelRefusal(_status_failure(status), f"it answered {status}", line[2] or b"")


def _status_failure(status: int) -> ProxyFailure:
    """Returns the meaning of a status in response to CONNECT (RFC 9110 section 15.6.3 to 15.6.5: gateway errors)."""
    if status in (502, 503, 504):
        return ProxyFailure.UNREACHABLE
    if status == 407:
        return ProxyFailure.CREDENTIALS
    return ProxyFailure.FORBIDDEN if status == 403 else ProxyFailure.FAILED


_NO_AUTHENTICATION, _PASSWORD, _NONE_ACCEPTABLE = 0, 2, 0xFF
# REP of RFC 1928 section 6. "General failure" counts as the proxy's own, although many proxies use it for any error.
_REPLY_CODES = {
    1: (ProxyFailure.FAILED, "general SOCKS server failure"),
    2: (ProxyFailure.FORBIDDEN, "connection not allowed by ruleset"),
    3: (ProxyFailure.UNREACHABLE, "network unreachable"),
    4: (ProxyFailure.UNREACHABLE, "host unreachable"),
    5: (ProxyFailure.UNREACHABLE, "connection refused"),
    6: (ProxyFailure.UNREACHABLE, "TTL expired"),
    7: (ProxyFailure.FAILED, "command not supported"),
    8: (ProxyFailure.FAILED, "address type not supported"),
}
_ADDRESS_BYTES = {1: 4, 4: 16}


class Socks5Tunnel:
    """SOCKS5 handshake (RFC 1928), with username and password authentication if configured (RFC 1929)."""

    __slots__ = ("_buffer", "_credentials", "_step", "awaiting", "refusal", "rest", "target")

    def __init__(self, target: TunnelTarget, credentials: ProxyCredentials | None = None) -> None:
        self.target = target
        self.refusal: TunnelRefusal | None = None
        self.rest: bytes | None = None
        self.awaiting = "our greeting"
        self._credentials = credentials
        self._buffer = b""
        # Unbound: a bound method in an attribute of its own object would be a reference cycle.
        self._step: Callable[[Socks5Tunnel], bytes] = Socks5Tunnel._on_method

    def on_connected(self) -> bytes:
        methods = [_NO_AUTHENTICATION] if self._credentials is None else [_NO_AUTHENTICATION, _PASSWORD]
        return bytes([5, len(methods), *methods])

    def on_data(self, data: bytes) -> bytes:
        """Processes received data, returns the bytes to send; sets `rest` or `refusal` at the end of the handshake."""
        self._buffer += data
        return self._step(self)

    def _on_method(self) -> bytes:
        reply = self._read_exactly(2)
        if reply is None:
            return b""
        if reply[0] != 5:
            return self._fail("its response is not SOCKS5")
        if reply[1] == _NO_AUTHENTICATION:
            return self._send_request()
        if reply[1] == _PASSWORD and self._credentials is not None:
            self._step, self.awaiting = Socks5Tunnel._on_auth, "our credentials"
            return _encode_credentials(self._credentials)
        if reply[1] in (_PASSWORD, _NONE_ACCEPTABLE):
            return self._fail("it accepts none of our authentication methods", ProxyFailure.CREDENTIALS)
        return self._fail(f"it selected an authentication method that was not offered ({reply[1]})")

    def _on_auth(self) -> bytes:
        reply = self._read_exactly(2)
        if reply is None:
            return b""
        # The version byte is not checked: many servers send a wrong one.
        return (
            self._send_request()
            if reply[1] == 0
            else self._fail("it refused our credentials", ProxyFailure.CREDENTIALS)
        )

    def _send_request(self) -> bytes:
        self._step, self.awaiting = Socks5Tunnel._on_reply, f"our request for {self.target}"
        return b"\x05\x01\x00" + _encode_address(self.target.host) + struct.pack(">H", self.target.port)

    def _on_reply(self) -> bytes:
        reply = self._buffer
        if reply and reply[0] != 5:
            return self._fail("its response is not SOCKS5")
        if len(reply) >= 2 and reply[1] != 0:  # some servers omit the address on failure
            failure, detail = _REPLY_CODES.get(reply[1], (ProxyFailure.FAILED, "a code not defined by RFC 1928"))
            return self._fail(f"it answered {reply[1]}, {detail}", failure)
        if len(reply) < 5:
            return b""
        length = 1 + reply[4] if reply[3] == 3 else _ADDRESS_BYTES.get(reply[3])
        if length is None:
            return self._fail("it answered with an unknown address type")
        if len(reply) >= 4 + length + 2:
            self.rest, self._buffer = reply[4 + length + 2 :], b""
        return b""

    def _read_exactly(self, count: int) -> bytes | None:
        """Returns the next reply of `count` bytes once it is complete; extra bytes violate the protocol."""
        if len(self._buffer) < count:
            return None
        reply, more = self._buffer[:count], self._buffer[count:]
        if more:
            self._fail("it sent more data than the protocol permits")
            return None
        self._buffer = b""
        return reply

    def _fail(self, detail: str, failure: ProxyFailure = ProxyFailure.FAILED) -> bytes:
        self.refusal = TunnelRefusal(failure, detail)
        return b""


def _encode_credentials(credentials: ProxyCredentials) -> bytes:
    username, password = credentials.username.encode(), credentials.password.encode()
    return bytes([1, len(username)]) + username + bytes([len(password)]) + password


def _encode_address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        return bytes([3, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed


Tunnel = HttpTunnel | Socks5Tunnel


def make_tunnel(proxy: Proxy, target: TunnelTarget, credentials: ProxyCredentials | None) -> Tunnel:
    """Returns the handshake by which `proxy` is requested to connect to `target`."""
    return HttpTunnel(target, credentials) if proxy.scheme == "http" else Socks5Tunnel(target, credentials)
