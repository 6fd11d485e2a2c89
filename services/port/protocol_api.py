r"""Actions, results and errors of a protocol implementation. Pure: sans-IO; randomness and the clock are arguments.

A protocol is a generator. It yields an action, receives the bytes that were read, and returns how to close:

    def greeting(context: ProtocolContext) -> ProtocolGenerator:
        line = yield ReadLine()
        if not line.startswith(b"220"):
            raise UnexpectedAnswer("The server did not greet with 220.", line)
        context.facts["banner"] = printable(line)
        return CloseSequence(b"QUIT\r\n")

Facts in `context.facts` are reported even if the protocol fails later.
"""

import secrets
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from libs.model.outcome import Fact

LINE_BYTES_MAX = 2048
PRINTABLE_LENGTH_MAX = 200


class ReadLine(NamedTuple):
    """Reads one line. It is returned without its line end (LF or CRLF)."""

    bytes_max: int = LINE_BYTES_MAX


class ReadExactly(NamedTuple):
    """Reads exactly `size` bytes."""

    size: int


class ReadChunk(NamedTuple):
    """Reads the next datagram, or the bytes of a stream that are available next."""


class Send(NamedTuple):
    """Sends `data` and continues at once."""

    data: bytes


class StartTls(NamedTuple):
    """Starts TLS and continues after the handshake. Plaintext that was received before is discarded."""


ProtocolAction = ReadLine | ReadExactly | ReadChunk | Send | StartTls


class CloseSequence(NamedTuple):
    """Successful end of a protocol: the last data to send, and whether the peer replies to it."""

    data: bytes = b""
    expects_reply: bool = True


ProtocolGenerator = Generator[ProtocolAction, bytes, CloseSequence]


StartTlsPolicy = Literal["auto", "require", "never"]


@dataclass(slots=True)
class ProtocolContext:
    """Input and results of one protocol run.

    `host` is the name or address being checked; `local_name` is the host name of this machine and `local_address` its
    address on the connection, known once the protocol starts. `starttls` is the STARTTLS policy: with "auto" TLS starts
    where the server offers it. `random` returns that many cryptographically random bytes, `clock` the seconds since
    1970.
    """

    host: str
    port: int
    over_udp: bool = False
    over_tls: bool = False
    starttls: StartTlsPolicy = "auto"
    query_name: str = "."
    query_type: str = "SOA"
    random: Callable[[int], bytes] = secrets.token_bytes
    local_name: str = ""
    local_address: str = "127.0.0.1"
    clock: Callable[[], float] = time.time
    facts: dict[str, Fact] = field(default_factory=dict)
    samples: dict[str, float] = field(default_factory=dict)


class ProtocolSessionError(Exception):
    """Failed end of a protocol.

    `detail` is a sentence for the verdict, `peer_text` the printable text of the peer's reply.
    """

    def __init__(self, detail: str, received: bytes | str = b"") -> None:
        super().__init__(detail)
        self.detail = detail
        self.peer_text = printable(received)


class UnexpectedAnswer(ProtocolSessionError):  # noqa: N818  an outcome of the peer, not an error of the program
    """The peer does not speak this protocol: the target is down."""


class ServiceRefused(ProtocolSessionError):  # noqa: N818
    """The service is running and refuses the session (421, -ERR, host not allowed): degraded."""


class ServiceUnhealthy(ProtocolSessionError):  # noqa: N818
    """The service reports an error state of its own (SERVFAIL, loading, not synchronised): degraded."""


class TlsNotOffered(ProtocolSessionError):  # noqa: N818
    """The service does not start TLS, and `starttls` is "require": down."""


def printable(received: bytes | str) -> str:
    """Returns received text for display: truncated, on one line, without control characters."""
    text = received.decode(errors="replace") if isinstance(received, bytes) else received
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= PRINTABLE_LENGTH_MAX else f"{text[: PRINTABLE_LENGTH_MAX - 1]}…"


class ServiceDefinition(NamedTuple):
    """One service that a spec can name: its default port, its protocol, its transports.

    `tls` means implicit TLS, before the first byte of the protocol. A UDP service that `must_answer` is down when there
    is no reply; for the others no reply is inconclusive. `starttls` is the default policy; `transports` are
    alternatives to `transport`.
    """

    name: str
    port: int
    protocol: Callable[[ProtocolContext], ProtocolGenerator]
    transport: str = "tcp"
    tls: bool = False
    must_answer: bool = True
    starttls: StartTlsPolicy = "auto"
    transports: tuple[str, ...] = ()
