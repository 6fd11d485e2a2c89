"""One TCP or UDP connection to one address, driven by event loop callbacks, without streams, tasks or transports.

It uses a bare non-blocking socket because verdicts need details that asyncio transports hide: the errno of each phase,
the time of each step, the peer's certificates after a failed handshake, and an immediate close in all cases.
"""

import asyncio
import socket
import ssl
import time

from libs.net.egress import EgressPolicy
from libs.net.exchange import End, Exchange, Phase, SocketCallback
from libs.net.proxy_tunnel import Tunnel
from libs.net.sockets import SocketAddress, begin_connect
from libs.net.tls.sessions import TlsSession
from libs.net.verdict import os_error

_RECEIVE_BYTES = 65536
# Bytes kept of the start of the response, as evidence for failed checks.
FIRST_BYTES_MAX = 512


class Wire:
    """One connection, from connect to close: await `run` once, then read the outcome from its attributes."""

    __slots__ = (
        *("address", "end", "ended_at", "error", "first_bytes", "marks", "phase", "session", "tunnel"),
        *("_answered", "_done", "_egress", "_fd", "_loop", "_pending", "_reading", "_sock", "_exchange", "_timer"),
        "_writing",
    )

    def __init__(  # noqa: PLR0913  exchange, address and policies
        self,
        loop: asyncio.AbstractEventLoop,
        exchange: Exchange,
        address: SocketAddress,
        session: TlsSession | None = None,
        *,
        egress: EgressPolicy,
        tunnel: Tunnel | None = None,
    ) -> None:
        self.address = address
        self.session = session
        self.tunnel = tunnel
        self.phase = Phase.CONNECT
        self.end: End | None = None
        self.error: OSError | ssl.SSLError | None = None
        self.marks: dict[Phase, float] = {}
        self.ended_at = 0.0
        self.first_bytes = b""  # start of the response, or of the data received instead of a handshake
        self._loop = loop
        self._exchange = exchange
        self._egress = egress
        self._done: asyncio.Future[None] = loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._sock: socket.socket | None = None
        self._fd = -1
        self._pending: bytes | memoryview = b""
        self._reading = self._writing = self._answered = False

    @property
    def answered(self) -> bool:
        """Whether the connect left this machine, so that its error comes from the network."""
        return self._answered

    @property
    def local_address(self) -> str:
        """The local IP address of an open connection; empty if there is none."""
        return "" if self._sock is None else str(self._sock.getsockname()[0])

    async def run(self, deadline: float) -> End:
        """Connects and runs the exchange to its end, at the latest until `deadline`, an instant of time.monotonic()."""
        try:
            self._start(deadline)
            await self._done
        finally:
            self._release()
        if self.end is None:
            raise RuntimeError("the connection ended without an outcome")
        return self.end

    def send(self, data: bytes) -> None:
        """Sends more data; for an exchange, from inside `on_data`."""
        if self._sock is None:
            raise RuntimeError("send needs an open connection")
        self._write(self._sock, data if self.session is None else self.session.encrypt(data))

    def await_first_byte(self) -> None:
        """Resets to Phase.FIRST_BYTE; for an exchange, from inside `on_data`, if the data was not yet the response."""
        self.phase = Phase.FIRST_BYTE
        self.marks.pop(Phase.FIRST_BYTE, None)

    def start_tls(self, session: TlsSession) -> None:
        """Upgrades the connection to TLS; for an exchange, from inside `on_data`, once the peer agreed.

        Plain text received after that is discarded: a man in the middle could have injected it.
        """
        if self._sock is None or self.session is not None:
            raise RuntimeError("TLS starts on an open connection, and once")
        self.session = session
        self.phase = Phase.TLS
        self._continue_handshake(self._sock, session)

    def close(self, within_s: float = 0.0) -> None:
        """Ends the connection, for a finished exchange; `within_s` gives the peer time for a last response."""
        if not within_s:
            self._finish(End.COMPLETE)
            return
        until = self._loop.time() + within_s
        if self._timer is not None:
            until = min(until, self._timer.when())
            self._timer.cancel()
        self._timer = self._loop.call_at(until, self._finish, End.COMPLETE)

    def close_gracefully(self, within_s: float) -> None:
        """Closes the sending side first, for a finished exchange; within TLS it sends close_notify and waits `within_s`.

        Data that the peer still sends (TLS 1.3 session tickets) would meet a closed socket and be logged as a reset.
        """
        self.close(0.0 if self.session is None else within_s)
        # Deferred: the last output of the exchange is sent only after it returns.
        self._loop.call_soon(self._run_step, self._send_close_notify)

    def _send_close_notify(self, sock: socket.socket) -> None:
        if self.session is None or self._pending:
            self._finish(End.COMPLETE)
            return
        self._write(sock, self.session.close_notify())
        sock.shutdown(socket.SHUT_WR)

    def _start(self, deadline: float) -> None:
        try:
            self._sock = begin_connect(self.address, self._egress)
        except OSError as error:
            self._finish(End.BROKEN, error)
            return
        self._fd = self._sock.fileno()
        self._timer = self._loop.call_later(deadline - time.monotonic(), self._finish, End.TIMEOUT)
        self._writing = True
        self._loop.add_writer(self._fd, self._run_step, self._on_connected)

    def _run_step(self, step: SocketCallback) -> None:
        """Runs one callback; an unexpected exception ends the connection and is raised by `run`."""
        if self._done.done() or self._sock is None:
            return
        try:
            step(self._sock)
        except ssl.SSLError as error:
            self._finish(End.TLS_FAILED, error)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._finish(End.BROKEN, error)
        except Exception as error:  # noqa: BLE001  the loop would only log it, and the check would hang
            self._done.set_exception(error)

    def _on_connected(self, sock: socket.socket) -> None:
        self._answered = True
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise os_error(code)
        self._mark_phase(Phase.CONNECT)
        # In this order: a descriptor without reader and writer would be unregistered and registered anew.
        self._reading = True
        self._loop.add_reader(self._fd, self._run_step, self._on_readable)
        self._loop.remove_writer(self._fd)
        self._writing = False
        if self.tunnel is None:
            self._start_session(sock)
            return
        self.phase = Phase.PROXY
        self._write(sock, self.tunnel.on_connected())

    def _continue_tunnel(self, sock: socket.socket, tunnel: Tunnel, data: bytes) -> None:
        """Continues the proxy handshake."""
        self._write(sock, tunnel.on_data(data))
        if tunnel.refusal is not None:
            self._finish(End.COMPLETE)
        elif tunnel.rest is not None:
            self._mark_phase(Phase.PROXY)
            self._start_session(sock)
            if self.session is None:
                self._on_data(tunnel.rest)
            elif tunnel.rest:
                self._on_tls_data(sock, self.session, tunnel.rest)

    def _start_session(self, sock: socket.socket) -> None:
        if self.session is None:
            self._start_exchange(sock)
            return
        self.phase = Phase.TLS
        self._continue_handshake(sock, self.session)

    def _start_exchange(self, sock: socket.socket) -> None:
        self.phase = Phase.FIRST_BYTE
        request = self._exchange.on_connected()
        if self.session is not None:
            self._write(sock, self.session.encrypt(request) if request else self.session.outgoing())
        elif request:
            self._write(sock, request)
        if request is None:
            self._finish(End.COMPLETE)

    def _continue_handshake(self, sock: socket.socket, session: TlsSession) -> None:
        """Continues the TLS handshake. The last flight and the request are sent together."""
        try:
            done = session.do_handshake()
        except ssl.SSLError:
            self._write(sock, session.outgoing())  # the alert
            raise
        if not done:
            self._write(sock, session.outgoing())
            return
        self._mark_phase(Phase.TLS)
        self.first_bytes = b""
        self._start_exchange(sock)
        if self.end is None:
            self._on_data(session.decrypt())

    def _on_readable(self, sock: socket.socket) -> None:
        data = sock.recv(_RECEIVE_BYTES)
        if not data and sock.type == socket.SOCK_STREAM:  # an empty datagram is not EOF
            self._finish(End.CLOSED)
        elif self.phase is Phase.PROXY and self.tunnel is not None:
            self._continue_tunnel(sock, self.tunnel, data)
        elif self.session is None:
            self._on_data(data)
        else:
            self._on_tls_data(sock, self.session, data)

    def _on_tls_data(self, sock: socket.socket, session: TlsSession, data: bytes) -> None:
        session.feed(data)
        if self.phase is Phase.TLS:
            self.first_bytes = self.first_bytes or data[:FIRST_BYTES_MAX]
            self._continue_handshake(sock, session)
            return
        self._on_data(session.decrypt())
        if session.closed and self.end is None:
            self._finish(End.CLOSED)

    def _on_data(self, data: bytes) -> None:
        if not data:
            return
        if self.phase is Phase.FIRST_BYTE:
            self._mark_phase(Phase.FIRST_BYTE)
            self.phase = Phase.TRANSFER
            self.first_bytes = data[:FIRST_BYTES_MAX]
        if self._exchange.on_data(data):
            self._finish(End.COMPLETE)

    def _write(self, sock: socket.socket, data: bytes | memoryview) -> None:
        if self._pending:
            self._pending = bytes(self._pending) + bytes(data)
            return
        try:
            sent = sock.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # data received before the close is still to be read, and is more informative
        if sent < len(data):
            self._pending = memoryview(data)[sent:]
            self._wait_writable()

    def _wait_writable(self) -> None:
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._run_step, self._on_writable)

    def _on_writable(self, sock: socket.socket) -> None:
        data, self._pending = self._pending, b""
        self._write(sock, data)
        if not self._pending:
            self._loop.remove_writer(self._fd)
            self._writing = False

    def _mark_phase(self, phase: Phase) -> None:
        self.marks[phase] = time.monotonic()

    def _finish(self, end: End, error: OSError | ssl.SSLError | None = None) -> None:
        if self._done.done():
            return
        self.end = end
        # The traceback references frames that reference this object: a cycle that needs the garbage collector.
        self.error = error.with_traceback(None) if error is not None else None
        self.ended_at = time.monotonic()
        self._done.set_result(None)

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._reading:
            self._loop.remove_reader(self._fd)
        if self._writing:
            self._loop.remove_writer(self._fd)
        self._reading = self._writing = False
        if self._sock is not None:
            self._sock.close()
            self._sock = None
