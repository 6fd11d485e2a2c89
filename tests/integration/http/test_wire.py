"""Wire: data beyond the socket buffers arrives complete and in order; TLS upgrades."""

import asyncio
import hashlib
import socket
import ssl
import time
from pathlib import Path

import pytest

from libs.net.egress import EgressPolicy
from libs.net.exchange import End, Phase
from libs.net.sockets import SocketAddress
from libs.net.tls.sessions import TlsContexts, TlsSession
from libs.net.wire import Wire
from tests.support.targets.certificates import Authority
from tests.support.targets.web import Handler, serving, shakes_hands

SPEECH = bytes(range(256)) * 32768
DIGEST = hashlib.sha256(SPEECH).digest()


class LargeExchange:
    """Sends a lot of data and waits for its digest."""

    def __init__(self) -> None:
        self.heard = b""

    def on_connected(self) -> bytes:
        return SPEECH

    def on_data(self, data: bytes) -> bool:
        self.heard += data
        return len(self.heard) >= len(DIGEST)


async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(hashlib.sha256(await reader.readexactly(len(SPEECH))).digest())
    await writer.drain()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_long_request_is_sent_as_the_peer_reads_it(tmp_path: Path, *, secure: bool) -> None:
    authority = Authority(tmp_path)
    session = TlsContexts(authority.ca_file).session("127.0.0.1", verify=True) if secure else None
    speech = LargeExchange()
    async with serving(listens, authority.server("127.0.0.1") if secure else None) as port:
        wire = Wire(
            asyncio.get_running_loop(),
            speech,
            SocketAddress(socket.AF_INET, "127.0.0.1", port),
            session,
            egress=EgressPolicy(),
        )
        end = await wire.run(time.monotonic() + 30)
    assert (end, wire.phase, speech.heard) == (End.COMPLETE, Phase.TRANSFER, DIGEST)


async def test_an_exception_in_an_exchange_is_raised_by_run() -> None:
    class Buggy(LargeExchange):
        def on_connected(self) -> bytes:
            raise LookupError("a bug")

    async with serving(listens) as port:
        wire = Wire(
            asyncio.get_running_loop(), Buggy(), SocketAddress(socket.AF_INET, "127.0.0.1", port), egress=EgressPolicy()
        )
        with pytest.raises(LookupError):
            await wire.run(time.monotonic() + 30)


class MailClient:
    """Upgrades to TLS within the protocol, as SMTP and LDAP do."""

    def __init__(self, session: TlsSession) -> None:
        self.wire: Wire
        self.heard = b""
        self._session = session

    def on_connected(self) -> bytes:
        return b"EHLO again\r\n" if self.wire.session else b""

    def on_data(self, data: bytes) -> bool:
        self.heard += data
        if data.startswith(b"220 hello"):
            self.wire.send(b"STARTTLS\r\n")
        elif data.startswith(b"220 go"):
            self.wire.start_tls(self._session)
        return data.startswith(b"250")


def mail_server(context: ssl.SSLContext, consent: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        assert await reader.readline() == b"STARTTLS\r\n"
        writer.write(consent)
        await shakes_hands(context, b"250 inside\r\n")(reader, writer)

    return handler


@pytest.mark.parametrize("injected", [b"", b"250 from a man in the middle\r\n"], ids=["clean", "injected"])
async def test_a_connection_can_be_upgraded_to_tls(tmp_path: Path, injected: bytes) -> None:
    authority = Authority(tmp_path)
    client = MailClient(TlsContexts(authority.ca_file).session("127.0.0.1", verify=True))
    handler = mail_server(authority.server("127.0.0.1"), b"220 go\r\n" + injected)
    async with serving(handler) as port:
        address = SocketAddress(socket.AF_INET, "127.0.0.1", port)
        client.wire = Wire(asyncio.get_running_loop(), client, address, egress=EgressPolicy())
        end = await client.wire.run(time.monotonic() + 30)
    assert end is End.COMPLETE
    assert client.heard.endswith(b"250 inside\r\n")
    assert list(client.wire.marks) == [Phase.CONNECT, Phase.FIRST_BYTE, Phase.TLS]
    assert client.wire.session is not None
    assert client.wire.session.verified_chain()


async def test_a_certificate_is_verified_after_an_upgrade(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    client = MailClient(TlsContexts(authority.ca_file).session("127.0.0.1", verify=True))
    async with serving(mail_server(authority.server("127.0.0.2"), b"220 go\r\n")) as port:
        address = SocketAddress(socket.AF_INET, "127.0.0.1", port)
        client.wire = Wire(asyncio.get_running_loop(), client, address, egress=EgressPolicy())
        assert await client.wire.run(time.monotonic() + 30) is End.TLS_FAILED
