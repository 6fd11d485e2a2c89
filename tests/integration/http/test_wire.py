"""The wire alone: what is more than the kernel takes at once still arrives, whole and in order."""

import asyncio
import hashlib
import socket
import time
from pathlib import Path

import pytest

from libs.net.dial import Address
from libs.net.egress import Egress
from libs.net.tls import Trust
from libs.net.wire import End, Phase, Wire
from tests.support.targets.certificates import Authority
from tests.support.targets.web import serving

SPEECH = bytes(range(256)) * 32768
DIGEST = hashlib.sha256(SPEECH).digest()


class Speech:
    """Says a lot and waits for its digest."""

    def __init__(self) -> None:
        self.heard = b""

    def opened(self) -> bytes:
        return SPEECH

    def received(self, data: bytes) -> bool:
        self.heard += data
        return len(self.heard) >= len(DIGEST)


async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(hashlib.sha256(await reader.readexactly(len(SPEECH))).digest())
    await writer.drain()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_long_request_is_sent_as_the_peer_takes_it(tmp_path: Path, *, secure: bool) -> None:
    authority = Authority(tmp_path)
    session = Trust(authority.ca_file).session("127.0.0.1", verify=True) if secure else None
    speech = Speech()
    async with serving(listens, authority.server("127.0.0.1") if secure else None) as port:
        wire = Wire(
            asyncio.get_running_loop(), speech, Address(socket.AF_INET, "127.0.0.1", port), session, egress=Egress()
        )
        end = await wire.run(time.monotonic() + 30)
    assert (end, wire.phase, speech.heard) == (End.ENOUGH, Phase.TRANSFER, DIGEST)


async def test_a_bug_in_a_talk_is_raised_where_it_is_waited_for() -> None:
    class Buggy(Speech):
        def opened(self) -> bytes:
            raise LookupError("a bug")

    async with serving(listens) as port:
        wire = Wire(asyncio.get_running_loop(), Buggy(), Address(socket.AF_INET, "127.0.0.1", port), egress=Egress())
        with pytest.raises(LookupError):
            await wire.run(time.monotonic() + 30)
