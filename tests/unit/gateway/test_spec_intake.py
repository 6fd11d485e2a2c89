"""Secrets of specs: sealed on entry, kept by marker, never accepted sealed."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.model.fields import sealed_secrets
from libs.model.requests.errors import ErrorInfo, RequestError
from libs.model.spec import SecretPath
from libs.sealing.keys import new_key
from libs.sealing.sealer import Sealer, UnsealError
from services.gateway.spec_intake import SpecIntake
from services.http.spec import HttpSpec
from tests.unit.gateway.web.test_strict_body import json_values

SEALER = Sealer.from_texts([new_key()])
SPECS = SpecIntake(SEALER, "t1")
KEPT = {"sealed": True}
PEM = "-----BEGIN {0}-----\nSECRET==\n-----END {0}-----"
SECRETS: dict[str, Any] = {
    "basic_auth": {"username": "a", "password": "SECRET"},
    "bearer_token": "SECRET",
    "proxy_auth": {"username": "a", "password": "SECRET"},
    "client_certificate": {"certificate_pem": PEM.format("CERTIFICATE"), "key_pem": PEM.format("PRIVATE KEY")},
}


PROXY = "http://proxy.example:3128"


def raw(**options: object) -> msgspec.Raw:
    if "proxy_auth" in options:
        options["proxy"] = PROXY
    return msgspec.Raw(msgspec.json.encode({"kind": "http", "url": "https://a.example/x?y=1", **options}))


def unseal(stored: msgspec.Raw, path: SecretPath, tenant_id: str = "t1", kind: str = "http") -> Any:
    value = sealed_secrets.parse_sealed(sealed_secrets.value_at(msgspec.json.decode(stored), path))
    assert value is not None
    context = sealed_secrets.sealing_context(tenant_id, kind, path, value.recipient)
    return msgspec.json.decode(SEALER.open(value.sealed, context))


def refusal_of(spec: msgspec.Raw, specs: SpecIntake = SPECS) -> ErrorInfo:
    with pytest.raises(RequestError) as caught:
        specs.accept_change(spec)
    return caught.value.info


@pytest.mark.parametrize("name", HttpSpec.secret_options)
def test_every_secret_option_is_sealed_and_opens_for_its_own_place_only(name: str) -> None:
    taken = SPECS.accept(raw(**{name: SECRETS[name]}, method="HEAD"))
    assert b"SECRET" not in bytes(taken.raw)
    assert unseal(taken.raw, (name,)) == SECRETS[name]
    plain = msgspec.json.decode(taken.raw)
    assert plain[name]["for"] == "https://a.example" + (f" proxy={PROXY}" if name == "proxy_auth" else "")
    assert (plain["url"], plain["method"]) == ("https://a.example/x?y=1", "HEAD")
    for tenant_id, kind in (("t2", "http"), ("t1", "port")):
        with pytest.raises(UnsealError):
            unseal(taken.raw, (name,), tenant_id, kind)


def test_headers_with_secret_names_are_sealed() -> None:
    headers = {"Accept": "*/*", "X-Api-Key": ["SECRET", "SECRET 2"], "Cookie": "SECRET"}
    stored = SPECS.accept(raw(headers=headers)).raw
    assert b"SECRET" not in bytes(stored)
    assert {name: unseal(stored, ("headers", name)) for name in ("X-Api-Key", "Cookie")} == {
        "X-Api-Key": ["SECRET", "SECRET 2"],
        "Cookie": "SECRET",
    }
    assert msgspec.json.decode(stored)["headers"]["Accept"] == "*/*"


@pytest.mark.parametrize("name", HttpSpec.secret_options)
def test_a_change_keeps_what_is_stored_under_a_name(name: str) -> None:
    taken = SPECS.accept_change(raw(**{name: KEPT}))
    assert taken.kept_secrets == [(name,)]
    assert msgspec.json.decode(taken.raw)[name] == KEPT


def test_a_change_keeps_headers_and_takes_new_ones() -> None:
    taken = SPECS.accept_change(raw(headers={"Cookie": KEPT, "X-Token": "SECRET"}))
    assert taken.kept_secrets == [("headers", "Cookie")]
    assert unseal(taken.raw, ("headers", "X-Token")) == "SECRET"
    assert msgspec.json.decode(taken.raw)["headers"]["Cookie"] == KEPT


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"basic_auth": KEPT, "bearer_token": "x"}, "spec", "exclude each other"),
        ({"basic_auth": KEPT, "headers": {"authorization": KEPT}}, "spec", "exclude each other"),
        ({"client_certificate": KEPT, "url": "http://a.example/"}, "spec.client_certificate", "https"),
        ({"bearer_token": KEPT, "method": "get"}, "spec.method", "GET"),
        ({"bearer_token": KEPT, "surprise": 1}, "spec.surprise", "not a known field"),
        ({"bearer_token": {"sealed": "v1.a.b"}}, "spec.bearer_token", "exactly"),
        ({"bearer_token": {"sealed": "v1.a.b", "for": "https://a.example"}}, "spec.bearer_token", "exactly"),
        ({"bearer_token": {"sealed": 1}}, "spec.bearer_token", "exactly"),
        ({"bearer_token": {"sealed": True, "for": "x"}}, "spec.bearer_token", "exactly"),
        ({"basic_auth": {"sealed": False, "username": "a", "password": "b"}}, "spec.basic_auth", "exactly"),
        ({"headers": {"Cookie": {"sealed": "v1.a.b"}}}, "spec.headers.Cookie", "exactly"),
        ({"url": {"sealed": True}}, "spec.url", "`str`"),
    ],
)
def test_rules_hold_for_a_spec_that_keeps_secrets(options: dict[str, Any], field: str, words: str) -> None:
    refusal = refusal_of(raw(**options))
    assert refusal.field == field
    assert words in refusal.detail


def test_the_last_of_two_fields_with_one_name_counts_however_it_is_spelt() -> None:
    twice = b'{"kind":"http","url":"http://a/","bearer_token":"x","bearer\\u005ftoken":{"se\\u0061led":"v1.a.b"}}'
    assert refusal_of(msgspec.Raw(twice)).field == "spec.bearer_token"


def test_a_kept_secret_needs_no_key_and_a_new_one_does() -> None:
    nobody = SpecIntake(Sealer([]), "t1")
    assert nobody.accept_change(raw(bearer_token=KEPT)).kept_secrets == [("bearer_token",)]
    assert "VEDETTE_SEALING_KEYS" in refusal_of(raw(bearer_token="SECRET"), nobody).detail
    assert "SECRET" not in repr(refusal_of(raw(bearer_token="SECRET"), nobody))


def test_fingerprints_are_deterministic_and_reveal_no_secret() -> None:
    one, same, other = (
        SPECS.fingerprint(raw(basic_auth=value, headers={"Cookie": "SECRET"}))
        for value in (
            {"username": "a", "password": "SECRET"},
            {"password": "SECRET", "username": "a"},
            {"username": "a", "password": "SECRET2"},
        )
    )
    assert one == same != other
    assert b"SECRET" not in bytes(one) + bytes(other)


@given(
    options=st.dictionaries(
        st.sampled_from(["basic_auth", "bearer_token", "headers", "client_certificate", "url", "method", "body"]),
        json_values
        | st.just(KEPT)
        | st.just("SECRET")
        | st.dictionaries(st.sampled_from(["Cookie", "Accept"]), json_values | st.just(KEPT) | st.just("SECRET")),
    )
)
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_refused_or_leaves_without_its_secrets(options: dict[str, Any]) -> None:
    taken = SPECS.accept(raw())
    with contextlib.suppress(RequestError):
        taken = SPECS.accept_change(raw(**options))
    stored = msgspec.json.decode(taken.raw)
    for path in HttpSpec.secret_paths(stored):
        value = sealed_secrets.value_at(stored, path)
        assert sealed_secrets.is_redacted(value) if path in taken.kept_secrets else sealed_secrets.parse_sealed(value)
