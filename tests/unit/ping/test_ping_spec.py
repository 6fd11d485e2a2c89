"""What a spec takes, and what it refuses, with the field's name first."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from libs.kinds.registry import decode_spec, kinds
from services.ping.spec import PingSpec

ROOT = Path(__file__).parents[3]

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no host": ({"host": ""}, "host must name a host"),
    "a host with blanks": ({"host": "a b"}, "host must name a host"),
    "a host with a port": ({"host": "a.example:80"}, "host must"),
    "a url": ({"host": "http://a.example"}, "host must"),
    "a number": ({"host": "2130706433"}, "host must write an IPv4 address"),
    "half an address": ({"host": "fd00::1::2"}, "host must have an IPv6 address"),
    "an address with an interface": ({"host": "fe80::1%eth0"}, "host must not name a network interface"),
    "many machines": ({"host": "224.0.0.1"}, "host must be the address of one machine"),
    "many machines of IPv6": ({"host": "ff02::1"}, "host must be the address of one machine"),
    "everybody": ({"host": "255.255.255.255"}, "host must be the address of one machine"),
    "nobody": ({"host": "::"}, "host must be the address of one machine"),
    "IPv4 in IPv6": ({"host": "::ffff:192.0.2.1"}, "host must be written as the IPv4 address that it is, 192.0.2.1"),
    "the other family": ({"host": "192.0.2.1", "family": "6"}, "family 6 needs a host name"),
    "one address of both": ({"host": "fd00::1", "family": "both"}, "family both needs a host name"),
    "an unknown family": ({"family": "5"}, "Invalid enum value"),
    "no packets": ({"packets": 0}, "packets must be from 1 to 100"),
    "too many packets": ({"packets": 101}, "packets must be from 1 to 100"),
    "a flood": ({"packet_interval_s": 0.001}, "packet_interval_s must be from 0.01 to 60"),
    "no patience": ({"packet_timeout_s": 0}, "packet_timeout_s must be from 0.05 to 60"),
    "no room for a token": ({"size_bytes": 15}, "size_bytes must be from 16 to 65507"),
    "more than IP takes": ({"size_bytes": 65_508}, "size_bytes must be from 16 to 65507"),
    "no hops": ({"ttl": 0}, "ttl must be from 1 to 255"),
    "loss of nothing": ({"loss_ratio_down": 0}, "loss_ratio_down must be above 0"),
    "loss of more than all": ({"loss_ratio_down": 1.1}, "loss_ratio_down must be above 0"),
    "degraded after down": (
        {"loss_ratio_degraded": 0.5, "loss_ratio_down": 0.5},
        "loss_ratio_degraded must be above 0 and below loss_ratio_down",
    ),
    "a share between packets": (
        {"loss_ratio_degraded": 0.81, "loss_ratio_down": 1.0},
        "loss_ratio_degraded can never be seen",
    ),
    "a share of one packet": ({"packets": 1, "loss_ratio_degraded": 0.2}, "loss_ratio_degraded can never be seen"),
    "no time": ({"rtt_s_down": 0}, "rtt_s_down must be above 0"),
    "a time that is lost": ({"rtt_s_degraded": 3}, "rtt_s_degraded can never be seen"),
    "slow after down": ({"rtt_s_degraded": 1, "rtt_s_down": 1}, "rtt_s_degraded must be below rtt_s_down"),
    "jitter of one packet": ({"packets": 1, "jitter_s_down": 0.1}, "jitter_s_down needs at least 2 packets"),
    "jitter after down": ({"jitter_s_degraded": 0.2, "jitter_s_down": 0.1}, "jitter_s_degraded must be below"),
    "an unknown field": ({"port": 80}, "unknown field"),
    "a number in words": ({"packets": "3"}, "Expected `int`"),
}


def decode(**fields: Any) -> PingSpec:
    spec = decode_spec(msgspec.json.encode({"kind": "ping", "host": "a.example"} | fields))
    assert isinstance(spec, PingSpec)
    return spec


@pytest.mark.parametrize("name", REFUSED)
def test_a_spec_that_cannot_be_meant_is_refused_with_its_field(name: str) -> None:
    fields, words = REFUSED[name]
    with pytest.raises(msgspec.ValidationError) as refusal:
        decode(**fields)
    assert words in str(refusal.value)


def test_a_spec_with_everything_is_taken_and_told_again() -> None:
    spec = decode(
        family="both",
        packets=10,
        packet_interval_s=0.5,
        packet_timeout_s=1.5,
        size_bytes=1400,
        dont_fragment=True,
        ttl=32,
        loss_ratio_degraded=0.1,
        loss_ratio_down=0.5,
        rtt_s_degraded=0.1,
        rtt_s_down=0.5,
        jitter_s_degraded=0.02,
        jitter_s_down=0.1,
    )
    assert decode_spec(msgspec.json.encode(spec)) == spec


@pytest.mark.parametrize(
    ("host", "name", "address"),
    [
        ("Example.ORG", "example.org", None),
        ("bücher.example", "xn--bcher-kva.example", None),
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0:1", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_host_is_a_name_or_an_address(host: str, name: str, address: str | None) -> None:
    spec = decode(host=host)
    assert (spec.hostname, spec.address, spec.target) == (name, address, host)


@pytest.mark.parametrize(
    ("url", "host"),
    [("ping://a.example", "a.example"), ("ping://192.0.2.1/", "192.0.2.1"), ("ping://[fd00::1]", "fd00::1")],
)
def test_a_url_names_a_host(url: str, host: str) -> None:
    assert PingSpec.from_url(url) == PingSpec(host=host)


@pytest.mark.parametrize(
    "url", ["ping:a", "ping://", "ping://a.example:7", "ping://a.example/x", "ping://a.example?x", "ping://b@a"]
)
def test_a_url_with_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url must"):
        PingSpec.from_url(url)


def test_the_kind_is_found_by_its_folder() -> None:
    assert kinds()["ping"] is PingSpec


def test_only_the_container_of_this_kind_has_a_capability_and_it_is_one() -> None:
    containers = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {name: each["cap_add"] for name, each in containers.items() if "cap_add" in each} == {"ping": ["NET_RAW"]}
