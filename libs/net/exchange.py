"""Interface between a connection and the protocol on it: Exchange, the connection phases, and the outcome."""

import socket
import ssl
from enum import StrEnum
from typing import Protocol


class Exchange(Protocol):
    """Client side of an application protocol, without I/O: fed by a Wire."""

    def on_connected(self) -> bytes | None:
        """Returns the bytes to send once the connection, and TLS if requested, is up; called again after `start_tls`.

        None closes the connection: the handshake alone was enough.
        """

    def on_data(self, data: bytes) -> bool:
        """Processes received data; True when the exchange is complete."""


class Phase(StrEnum):
    """Phase of a connection, in the order in which they occur."""

    CONNECT = "connect"
    PROXY = "proxy"
    TLS = "tls"
    FIRST_BYTE = "first_byte"
    TRANSFER = "transfer"


class End(StrEnum):
    """How a connection ended, from the client's point of view."""

    COMPLETE = "enough"  # the exchange is complete; in Phase.PROXY: the proxy refused
    CLOSED = "closed"  # the peer closed the connection (EOF or close_notify)
    BROKEN = "broken"  # socket error: `error` is an OSError
    TLS_FAILED = "tls_failed"  # `error` is an ssl.SSLError
    TIMEOUT = "timeout"


class SocketCallback(Protocol):
    """Event loop callback for a socket that is ready."""

    def __call__(self, sock: socket.socket, /) -> None: ...


class ConnectionOutcome(Protocol):
    """How a connection ended: the part of a Wire that verdicts need."""

    end: End | None
    phase: Phase
    error: OSError | ssl.SSLError | None

    @property
    def answered(self) -> bool: ...
