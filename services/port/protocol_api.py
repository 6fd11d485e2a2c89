r"""What a conversation asks of the wire, and what may come of it. Pure: no socket; chance and the clock are handed in.

A conversation is a generator. It yields what it wants, gets the bytes that answer it, and returns how to say goodbye:

    def greeting(call: Call) -> Talk:
        line = yield Line()
        if not line.startswith(b"220"):
            raise Unexpected("The server did not greet with 220.", line)
        call.facts["banner"] = shown(line)
        return Goodbye(b"QUIT\r\n")

What it notes in `call.facts` is told whatever becomes of it later.
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
    """Wants one line. It comes without its line end (LF, or CRLF)."""

    bytes_max: int = LINE_BYTES_MAX


class ReadExactly(NamedTuple):
    """Wants this many bytes."""

    size: int


class ReadChunk(NamedTuple):
    """Wants whatever comes next: one datagram, or one piece of a stream."""


class Send(NamedTuple):
    """Sends this, and goes on at once."""

    data: bytes


class StartTls(NamedTuple):
    """Goes over to TLS, and goes on when its handshake is done. What came in the clear before is thrown away."""


ProtocolAction = ReadLine | ReadExactly | ReadChunk | Send | StartTls


class CloseSequence(NamedTuple):
    """The end of a conversation that went well: what to say at parting, and whether the peer answers to that."""

    data: bytes = b""
    expects_reply: bool = True


ProtocolGenerator = Generator[ProtocolAction, bytes, CloseSequence]


StartTlsPolicy = Literal["auto", "require", "never"]


@dataclass(slots=True)
class ProtocolContext:
    """One conversation: whom it is with, and what it notes.

    `host` is the name (or address) that is being asked for, `own_name` that of this machine, and `own_address` from
    where it calls, known when the conversation begins; `starttls` says whether to go over to TLS: "auto" where the
    peer offers it. `random` returns that many unguessable bytes, `clock` the seconds since 1970.
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
    """How a conversation ends that does not go well. `said` is what the peer said, for people."""

    def __init__(self, sentence: str, said: bytes | str = b"") -> None:
        super().__init__(sentence)
        self.detail = sentence
        self.peer_text = printable(said)


class UnexpectedAnswer(ProtocolSessionError):  # noqa: N818  what the peer says, and no fault of the program
    """The peer does not speak this protocol: the target is down."""


class ServiceRefused(ProtocolSessionError):  # noqa: N818
    """The service is there and does not want us, in its own words (421, -ERR, host not allowed): degraded."""


class ServiceUnhealthy(ProtocolSessionError):  # noqa: N818
    """The service says of itself that it is not well (SERVFAIL, loading, not synchronised): degraded."""


class TlsNotOffered(ProtocolSessionError):  # noqa: N818
    """The service does not go over to TLS, and `starttls` is "require": down."""


def printable(said: bytes | str) -> str:
    """Returns a peer's words for people: cut, on one line, without control characters."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= PRINTABLE_LENGTH_MAX else f"{text[: PRINTABLE_LENGTH_MAX - 1]}…"


class ServiceDefinition(NamedTuple):
    """One service that can be asked for by name.

    `tls` tells that TLS comes before the first word. Silence of a `udp` service that `must_answer` is the target's
    fault, of any other it proves nothing. `starttls` is what holds when the spec says nothing; `transports` are others
    that the same conversation can be had over.
    """

    name: str
    port: int
    protocol: Callable[[ProtocolContext], ProtocolGenerator]
    transport: str = "tcp"
    tls: bool = False
    must_answer: bool = True
    starttls: StartTlsPolicy = "auto"
    transports: tuple[str, ...] = ()
