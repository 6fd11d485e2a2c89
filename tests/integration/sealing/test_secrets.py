"""Secrets on their way from a client to a target: what is left of them anywhere, and who gets them."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from libs.sealing.keys import new_key
from tests.support.client import Api
from tests.support.sealed_house import places, running_house, watching
from tests.support.targets.certificates import Authority
from tests.support.targets.web import Handler, page, request_of, serving
from tests.support.wait import eventually

V2 = "/api/v2"
KEPT = {"sealed": True}


@dataclass
class Wanted:
    """What is secret, and how it is sent to a target."""

    password: str = field(default_factory=lambda: token_hex(16))
    token: str = field(default_factory=lambda: token_hex(16))
    cookie: str = field(default_factory=lambda: token_hex(16))
    api_key: str = field(default_factory=lambda: token_hex(16))
    adhoc: str = field(default_factory=lambda: token_hex(16))

    def spec(self, url: str, certificate: tuple[str, str]) -> dict[str, Any]:
        return {
            "kind": "http",
            "url": url,
            "tls_verify": False,
            "basic_auth": {"username": "watcher", "password": self.password},
            "headers": {"X-Api-Key": [self.api_key, "second"], "Accept": "text/plain"},
            "client_certificate": {"certificate_pem": certificate[0], "key_pem": certificate[1]},
        }

    def all(self, certificate: tuple[str, str]) -> list[str]:
        key_lines = [line for line in certificate[1].splitlines() if not line.startswith("-----")]
        return [self.password, self.token, self.cookie, self.api_key, self.adhoc, *key_lines[:-1]]


def noting(heads: list[bytes]) -> Handler:
    async def handler(reader: Any, writer: Any) -> None:
        head = await request_of(reader)
        # A server that says everything back, so that the prober has to keep it to itself.
        writer.write(page(head))
        await writer.drain()
        heads.append(head)

    return handler


def demanding(authority: Authority) -> ssl.SSLContext:
    context = authority.server("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    return context


async def has_come(heads: list[bytes], count: int) -> None:
    async def seen() -> bool:
        return len(heads) >= count

    assert await eventually(seen, within_s=40, what=f"{count} visits")


async def use(api: Api, wanted: Wanted, secure: dict[str, Any], plain_url: str) -> None:
    """Does everything with secrets that the API has."""
    body = {"name": "MARKER", "interval_s": 10, "timeout_s": 5, "spec": secure}
    made = [await api.ask("POST", f"{V2}/monitors", body, idempotency_key="one") for _ in range(2)]
    assert made[0].body == made[1].body
    spec = {"kind": "http", "url": plain_url, "bearer_token": wanted.token, "headers": {"Cookie": wanted.cookie}}
    other = await api.post(f"{V2}/monitors", {"name": "plain", "interval_s": 10, "spec": spec})
    hidden = {**secure, **dict.fromkeys(("basic_auth", "client_certificate"), KEPT)}
    hidden["headers"] = {"X-Api-Key": KEPT, "Accept": "text/plain"}
    path = f"{V2}/monitors/{made[0].body['id']}"
    changed = await api.patch(path, {"spec": {**hidden, "redirects_max": 3}})
    assert changed["spec"] == {**hidden, "redirects_max": 3}
    assert (await api.get(path))["spec"] == changed["spec"]
    shown = [item["spec"] for item in (await api.get(f"{V2}/monitors"))["items"]]
    assert shown == [{**spec, "bearer_token": KEPT, "headers": {"Cookie": KEPT}}, changed["spec"]]
    adhoc = {"kind": "http", "url": plain_url, "bearer_token": wanted.adhoc, "body_contains": ["not there"]}
    assert (await api.post(f"{V2}/checks", {"spec": adhoc}))["reason"] == "body_mismatch"
    for monitor_id in (made[0].body["id"], other["id"]):
        assert (await api.post(f"{V2}/checks", {"monitor_id": monitor_id}))["status"] == "up"
    bad = {"kind": "http", "url": plain_url, "bearer_token": wanted.token, "basic_auth": secure["basic_auth"]}
    answer = await api.ask("POST", f"{V2}/monitors", {**body, "spec": bad})
    assert answer.status == 422
    assert places([wanted.token, wanted.password], {"problem": repr(answer).encode()}) == []


@pytest.mark.timeout(180)
async def test_secrets_reach_their_target_and_are_found_nowhere_else(tmp_path: Path) -> None:
    wanted, authority = Wanted(), Authority(tmp_path)
    certificate = authority.client()
    secure_heads: list[bytes] = []
    plain_heads: list[bytes] = []
    with running_house(key := new_key()) as house:
        async with (
            serving(noting(secure_heads), demanding(authority)) as secure_port,
            serving(noting(plain_heads)) as plain_port,
            Api(house.api_port, house.key) as api,
            watching(house.nats.url) as seen,
        ):
            secure = wanted.spec(f"https://127.0.0.1:{secure_port}/", certificate)
            await use(api, wanted, secure, f"http://127.0.0.1:{plain_port}/")
            await has_come(secure_heads, 4)  # the first check, one by hand, and two ticks
            await has_come(plain_heads, 5)
            left = await house.leavings()
        secrets = [*wanted.all(certificate), key]
        assert places(secrets, left) == []
        assert places(secrets, seen) == []
    # The same search finds what is there to be found.
    assert {where.split()[0] for where, _ in places(["MARKER", "https://127.0.0.1"], left | seen)} > {
        *("public.monitors", "public.idempotency", "CHECKS", "nats:", "postgres:")
    }
    assert any(".rpc." in where or " rpc." in where for where in seen)
    assert all(b"X-Api-Key: " + wanted.api_key.encode() in head for head in secure_heads)
    assert all(b"Authorization: Basic " in head for head in secure_heads)
    assert {wanted.token.encode() in head or wanted.adhoc.encode() in head for head in plain_heads} == {True}
