import struct

import pytest

from services.port.protocol_api import CloseSequence, ServiceRefused, ServiceUnhealthy, UnexpectedAnswer
from services.port.protocols.games import _encode_varint, bedrock, minecraft, source, teamspeak
from services.port.protocols.remote_desktop import rdp, vnc
from services.port.protocols.sip import sip
from tests.support.spoken import call, converse

TOKEN = b"r" * 8
INFO = b"\xff\xff\xff\xffI\x11My server\0map\0folder\0Counter-Strike 2\0\0\0\x05\x20\0dl\0\1v\0"
MAGIC = bytes.fromhex("00ffff00fefefefefdfdfdfd12345678")
STATUS = b'{"version":{"name":"1.21","protocol":767},"players":{"max":20,"online":3},"description":"hi"}'


def packet(body: bytes) -> bytes:
    return bytes([len(body)]) + body


def test_minecraft_tells_version_and_players():
    asked = call()
    status = packet(b"\0" + bytes([len(STATUS)]) + STATUS)
    spoken = converse(minecraft(asked), status, b"\x09\x01" + TOKEN)
    assert spoken.ended == CloseSequence()
    assert asked.facts == {"software": "1.21", "protocol_version": 767}
    assert asked.samples == {"players": 3, "players_max": 20}


def test_minecraft_that_answers_another_ping_is_unexpected():
    status = packet(b"\0" + bytes([len(STATUS)]) + STATUS)
    assert isinstance(converse(minecraft(call()), status, b"\x09\x01otherone").ended, UnexpectedAnswer)


def test_bedrock_passes_over_pongs_to_others():
    pong = b"MCPE;My server;712;1.21.2;4;30;1;x;Survival"
    tail = MAGIC + struct.pack(">H", len(pong)) + pong
    asked = call()
    spoken = converse(bedrock(asked), b"\x1c" + b"o" * 8 + TOKEN + tail, b"\x1c" + TOKEN + TOKEN + tail)
    assert spoken.ended == CloseSequence()
    assert (asked.facts["software"], asked.samples["players"]) == ("MCPE 1.21.2", 4)


def challenges(count: int) -> list[bytes]:
    return [b"\xff\xff\xff\xffA123%d" % number for number in range(count)]


def test_source_answers_the_challenge():
    asked = call()
    spoken = converse(source(asked), b"\xff\xff\xff\xffA1234", INFO)
    assert spoken.said[1] == spoken.said[0] + b"1234"
    assert (asked.facts["software"], asked.samples) == ("Counter-Strike 2", {"players": 5, "players_max": 32})


def test_source_does_not_run_after_challenges_for_ever():
    spoken = converse(source(call()), *challenges(9))
    assert (len(spoken.said), type(spoken.ended)) == (3, UnexpectedAnswer)


def test_challenges_to_a_question_that_was_repeated_prove_nothing():
    spoken = converse(source(call()), *challenges(5), INFO)
    assert (len(spoken.said), spoken.ended) == (3, CloseSequence())


def test_teamspeak_greets():
    spoken = converse(teamspeak(call()), b"TS3\n\rWelcome\n\r")
    assert spoken.ended == CloseSequence(b"quit\n")


def test_sip_passes_over_answers_to_others():
    answer = b"SIP/2.0 200 OK\r\nCall-ID: %s\r\nServer: Asterisk\r\n\r\n"
    asked = call(over_udp=True)
    spoken = converse(sip(asked), answer % b"other", answer % (b"r" * 12).hex().encode())
    assert spoken.ended == CloseSequence()
    assert asked.facts == {"sip_status": 200, "software": "Asterisk"}


def test_sip_that_does_not_know_us_is_up_and_one_that_is_unavailable_is_not_well():
    assert converse(sip(call()), b"SIP/2.0 404 Not Found\r\n\r\n").ended == CloseSequence()
    assert isinstance(converse(sip(call()), b"SIP/2.0 503 Overloaded\r\n\r\n").ended, ServiceUnhealthy)


@pytest.mark.parametrize(
    ("answer", "tls", "fact"),
    [
        ("030000130ed000001234000200080001000000", 1, ("rdp_protocol", "tls")),
        ("030000130ed000001234000300080005000000", 0, ("rdp_failure", "it requires CredSSP")),
        ("0300000b06d00000123400", 0, ("rdp_protocol", "rdp")),
    ],
    ids=["tls", "failure", "old"],
)
def test_rdp_says_what_it_speaks(answer: str, tls: int, fact: tuple[str, str]):
    asked = call()
    spoken = converse(rdp(asked), bytes.fromhex(answer))
    assert (spoken.ended, spoken.tls) == (CloseSequence(), tls)
    assert fact in asked.facts.items()


def test_vnc_tells_how_it_wants_to_authenticate():
    asked = call()
    assert converse(vnc(asked), b"RFB 003.008\n", b"\x02\x02\x13").ended == CloseSequence()
    assert asked.facts["security_types"] == "2,19"


@pytest.mark.parametrize(
    "peer", [b"RFB 003.008\n\0\0\0\0\x04full", b"RFB 003.003\n\0\0\0\0\0\0\0\x04full"], ids=["3.8", "3.3"]
)
def test_vnc_that_is_tired_of_us_refuses(peer: bytes):
    spoken = converse(vnc(call()), peer)
    assert isinstance(spoken.ended, ServiceRefused)
    assert spoken.ended.peer_text == "full"


@pytest.mark.parametrize(
    "status",
    [
        b'{"version":{"protocol":%s}}' % (b"9" * 40),
        b'{"players":{"online":%s}}' % (b"9" * 400),
        b'{"description":%s%s}' % (b"[" * 40_000, b"]" * 40_000),
    ],
    ids=["version", "players", "depth"],
)
def test_minecraft_that_tells_what_nobody_can_keep_is_unexpected(status: bytes):
    body = b"\0" + _encode_varint(len(status)) + status
    assert isinstance(converse(minecraft(call()), _encode_varint(len(body)) + body).ended, UnexpectedAnswer)
