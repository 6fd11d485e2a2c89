"""What is said on a wire, and in which words it tells how that went."""

import socket
import ssl
from enum import StrEnum
from typing import Protocol


class Exchange(Protocol):
    """What is said on a wire."""

    def on_connected(self) -> bytes | None:
        """Returns what to send once the connection, and TLS if asked for, stands; asked again after `start_tls`.

        None ends it there: with what the handshake has shown, nothing more is needed.
        """

    def on_data(self, data: bytes) -> bool:
        """Takes what came; True when nothing more is needed."""


class Phase(StrEnum):
    """Where on its way a connection is."""

    CONNECT = "connect"
    PROXY = "proxy"
    TLS = "tls"
    FIRST_BYTE = "first_byte"
    TRANSFER = "transfer"


class End(StrEnum):
    """How a connection ended, seen from here."""

    COMPLETE = "enough"  # the talk has what it wants; in the phase of the proxy: that one refused
    CLOSED = "closed"  # the peer closed in good order
    BROKEN = "broken"  # an error of the socket: `error` is an OSError
    TLS_FAILED = "tls_failed"  # `error` is an ssl.SSLError
    TIMEOUT = "timeout"


class SocketCallback(Protocol):
    """One step of a connection, taken when the loop says that its socket is ready."""

    def __call__(self, sock: socket.socket, /) -> None: ...


class ConnectionOutcome(Protocol):
    """How a connection went, as far as a verdict needs it."""

    end: End | None
    phase: Phase
    error: OSError | ssl.SSLError | None

    @property
    def answered(self) -> bool: ...
