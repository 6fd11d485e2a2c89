"""What holds for every service that can be asked for by name."""

import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.fields.tls import TlsReason
from services.port.protocol_api import CloseSequence, ProtocolContext, ProtocolSessionError
from services.port.service_registry import SERVICES
from services.port.spec import PortReason, PortSpec
from tests.support.spoken import converse

NAMES = sorted(SERVICES)
WORDS = (
    b"220 hi\r\n",
    b"250-STARTTLS\r\n",
    b"+OK\r\n",
    b"* OK\r\n",
    b"-ERR\r\n",
    b"SSH-2.0-x\r\n",
    b"OK\r\n",
    b"\xff" * 4,
)
POLICIES = ("auto", "require", "never")

talks = st.lists(st.one_of(st.binary(min_size=1, max_size=64), st.sampled_from(WORDS)), max_size=8)


@given(st.sampled_from(NAMES), st.sampled_from(POLICIES), st.booleans(), talks)
def test_whatever_a_peer_says_ends_in_a_verdict_or_waits(name: str, policy: str, over_udp: bool, peer: list[bytes]):
    call = ProtocolContext("host.example", 1, starttls=policy, over_udp=over_udp)  # type: ignore[arg-type]
    spoken = converse(SERVICES[name].protocol(call), *peer)
    assert spoken.ended is None or isinstance(spoken.ended, CloseSequence | ProtocolSessionError)
    assert all(isinstance(fact, str | int | float | bool) for fact in call.facts.values())


@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_told_a_credential(name: str):
    said = b"".join(
        converse(SERVICES[name].protocol(ProtocolContext("host.example", 1)), b"220 hi\r\n", b"250 ok\r\n").said
    ).upper()
    assert not any(word in said for word in (b"AUTH PLAIN", b"LOGIN ", b"PASS", b"USER ROOT"))


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_asked_for_by_its_name_alone(name: str):
    spec = PortSpec(host="example.org", service=name)
    assert spec.target == f"{name}://example.org:{SERVICES[name].port}"
    assert PortSpec.from_url(f"{name}://example.org") == spec


def test_names_and_ports_make_sense():
    assert all(entry.name == name and 1 <= entry.port <= 65535 for name, entry in SERVICES.items())
    assert {entry.transport for entry in SERVICES.values()} <= {"tcp", "udp"}


def test_the_readme_tells_every_service_reason_and_option():
    readme = Path(inspect.getfile(PortSpec)).with_name("README.md").read_text()
    words = (*SERVICES, *PortReason, *TlsReason, *PortSpec.__struct_fields__)
    assert not {word for word in words if f"`{word}`" not in readme}
