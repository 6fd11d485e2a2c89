"""Keys and tokens of NATS."""

import base64

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from libs.bus.auth import nkeys
from libs.bus.auth.nkeys import AccountSigner

# A seed that the nk tool made, and its public half: from the documentation of NATS' auth callout.
SEED = "SAANDLKMXL6CUS3CP52WIXBEDN6YJ545GDKC65U5JZPPV6WH6ESWUA6YAI"
PUBLIC = "ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA"


def test_a_seed_has_the_same_public_key_as_with_the_nats_tools() -> None:
    assert AccountSigner(SEED).public_key == PUBLIC


def test_new_seeds_are_distinct_account_seeds() -> None:
    seeds = {nkeys.new_seed() for _ in range(50)}
    assert len(seeds) == 50
    assert all(seed.startswith("SA") and AccountSigner(seed).public_key.startswith("A") for seed in seeds)


@given(st.integers(0, len(SEED) - 1), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_a_seed_with_a_wrong_letter_is_rejected_and_not_in_the_error(place: int, letter: str) -> None:
    broken = SEED[:place] + letter + SEED[place + 1 :]
    if broken == SEED:
        return
    with pytest.raises(ValueError, match=r"base32|checksum|seed") as caught:
        AccountSigner(broken)
    assert broken not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "A", PUBLIC, SEED.lower(), SEED + " ", SEED * 2, "SU" + SEED[2:], "ключ", "=" * 8]
)
def test_an_invalid_seed_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="it"):
        AccountSigner(text)


def test_a_token_is_signed_and_names_its_issuer() -> None:
    token = AccountSigner(SEED).sign({"sub": "x", "nats": {"n": 1}})
    header, claims, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
    assert msgspec.json.decode(header) == {"typ": "JWT", "alg": "ed25519-nkey"}
    said = msgspec.json.decode(claims)
    assert {**said, "jti": ""} == {"sub": "x", "nats": {"n": 1}, "iss": PUBLIC, "jti": ""}
    key = Ed25519PublicKey.from_public_bytes(nkeys.public_key_bytes(PUBLIC, nkeys.ACCOUNT_PREFIX))
    key.verify(signature, token.rpartition(".")[0].encode())  # raises if it does not hold


def test_a_token_of_another_key_type_is_rejected() -> None:
    token = AccountSigner(SEED).sign({"sub": "x"}).encode()
    assert msgspec.json.decode(nkeys.verified_claims(token, nkeys.ACCOUNT_PREFIX))["sub"] == "x"
    with pytest.raises(ValueError, match="not a key of this kind"):
        nkeys.verified_claims(token, nkeys.SERVER_PREFIX)


@given(st.data())
def test_an_altered_token_is_rejected(data: st.DataObject) -> None:
    token = AccountSigner(SEED).sign({"sub": "x"}).encode()
    place = data.draw(st.integers(0, len(token) - 1))
    broken = token[:place] + data.draw(st.binary(min_size=1, max_size=1)) + token[place + 1 :]
    if broken == token:
        return
    with pytest.raises(ValueError, match=r".+"):
        nkeys.verified_claims(broken, nkeys.ACCOUNT_PREFIX)


@given(st.binary(max_size=200))
def test_garbage_is_not_a_token(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        nkeys.verified_claims(garbage, nkeys.SERVER_PREFIX)
