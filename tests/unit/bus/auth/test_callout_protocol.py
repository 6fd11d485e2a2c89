"""Authorization requests and responses: a client gets the permissions of its tenant and no others."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bus.auth import callout_protocol, nkeys
from libs.bus.auth.callout_protocol import AuthRequest, CalloutResponder
from libs.bus.auth.nkeys import AccountSigner
from tests.support.callouts import USER, callout

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
AUTH_REQUEST = AuthRequest("NSERVER", USER, "192.0.2.1", "vdt_x")
HOUR = timedelta(hours=1)


def claims(token: str | bytes) -> Any:
    part = (token if isinstance(token, str) else token.decode()).split(".")[1]
    return msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def allowed_claims(expires_at: datetime | None = None) -> Any:
    answer = claims(
        CalloutResponder(AccountSigner(nkeys.new_seed()), HOUR).allow(
            AUTH_REQUEST, "t1", "k1", now=NOW, expires_at=expires_at
        )
    )
    assert (answer["sub"], answer["aud"]) == (USER, "NSERVER")
    assert answer["nats"]["type"] == "authorization_response"
    return claims(answer["nats"]["jwt"])


def test_an_authorization_request_is_decoded() -> None:
    assert callout_protocol.decode_auth_request(callout(secret="vdt_x", address="192.0.2.1")) == AuthRequest(
        "NS", USER, "192.0.2.1", "vdt_x"
    )


def test_a_client_without_a_password_has_an_empty_secret() -> None:
    assert callout_protocol.decode_auth_request(callout(connect_opts={"nkey": "U", "jwt": "eyJ"})).secret == ""


def test_the_secret_is_not_in_the_repr() -> None:
    assert "vdt_x" not in repr(AUTH_REQUEST)


WRONG: list[dict[str, Any]] = [
    {"aud": "x"},
    {"type": "authorization_response"},
    {"user_nkey": "UX"},
    {"user_nkey": AccountSigner(nkeys.new_seed()).public_key},
    {"server_id": None},
    {"server_id": {"id": 1}},
    {"connect_opts": {"pass": 1}},
    {"client_info": []},
]


@pytest.mark.parametrize("changes", WRONG)
def test_a_request_of_another_shape_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        callout_protocol.decode_auth_request(callout(**changes))


def test_a_request_signed_by_an_account_is_rejected() -> None:
    with pytest.raises(ValueError, match="kind"):
        callout_protocol.decode_auth_request(
            AccountSigner(nkeys.new_seed()).sign({"aud": "nats-authorization-request"}).encode()
        )


@given(st.binary(max_size=300))
def test_garbage_is_rejected(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        callout_protocol.decode_auth_request(garbage)


def test_a_tenant_may_subscribe_to_three_subjects_and_publish_nothing() -> None:
    rights = allowed_claims()
    assert rights["nats"]["sub"] == {"allow": ["live.results.t1.>", "live.events.t1.>", "events.t1.>"]}
    assert rights["nats"]["pub"] == {"deny": [">"]}
    assert "resp" not in rights["nats"]
    assert (rights["sub"], rights["aud"], rights["name"]) == (USER, "$G", "key.k1")


def test_a_token_expires_with_its_key_and_after_at_most_an_hour() -> None:
    start = NOW.timestamp()
    assert allowed_claims()["exp"] == start + 3600
    assert allowed_claims(NOW + timedelta(days=1))["exp"] == start + 3600
    assert allowed_claims(NOW + timedelta(minutes=1))["exp"] == start + 60


@pytest.mark.parametrize("bad", ["", ">", "*", "a.b", "a >", "x" * 65])
def test_an_id_with_a_wildcard_gets_no_permissions(bad: str) -> None:
    desk = CalloutResponder(AccountSigner(nkeys.new_seed()), HOUR)
    for tenant_id, key_id in ((bad, "k1"), ("t1", bad)):
        with pytest.raises(ValueError, match="tokens"):
            desk.allow(AUTH_REQUEST, tenant_id, key_id, now=NOW, expires_at=None)


def test_a_denial_contains_no_token_and_no_reason() -> None:
    answer = claims(CalloutResponder(AccountSigner(nkeys.new_seed()), HOUR).deny(AUTH_REQUEST, NOW))["nats"]
    assert answer == {"type": "authorization_response", "version": 2, "error": "refused"}


def test_the_key_id_is_found_in_the_user_name_of_its_client() -> None:
    assert callout_protocol.key_id_of_user(callout_protocol.key_user("k1")) == "k1"
    assert callout_protocol.key_id_of_user("gateway") is None
