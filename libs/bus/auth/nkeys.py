"""NATS nkeys and JWTs: Ed25519 keys in base32 with a prefix and a checksum, and the tokens that they sign.

A key is base32 without padding of: prefix byte, 32 bytes, CRC-16/XMODEM of both (low byte first). A seed has two
prefix bytes. The token's header is {"typ":"JWT","alg":"ed25519-nkey"}; RFC 7519 does not define that algorithm.
"""

import base64
import binascii
import hashlib
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

ACCOUNT_PREFIX = 0
SERVER_PREFIX = 13 << 3
USER_PREFIX = 20 << 3

_SEED_PREFIX = 18 << 3
_KEY_BYTES = 32
_CRC_BYTES = 2
_HEADER = b'{"typ":"JWT","alg":"ed25519-nkey"}'


def new_seed() -> str:
    """Returns the seed of a new account key: its secret half, as text that begins with SA."""
    private = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return _encode_key(bytes((_SEED_PREFIX | ACCOUNT_PREFIX >> 5, (ACCOUNT_PREFIX & 31) << 3)) + private)


def public_key_bytes(text: str, prefix: int) -> bytes:
    """Returns the 32 bytes of a public key with this prefix; ValueError for anything else."""
    raw = _decode_key(text)
    if len(raw) != 1 + _KEY_BYTES or raw[0] != prefix:
        raise ValueError("it is not a key of this kind")
    return raw[1:]


class AccountSigner:
    """An account key that signs tokens. `public_key` goes into the server configuration as the issuer."""

    def __init__(self, seed: str) -> None:
        """Takes the seed of an account key; ValueError, without the seed in its text, for anything else."""
        raw = _decode_key(seed)
        if len(raw) != 2 + _KEY_BYTES or raw[:2] != bytes(
            (_SEED_PREFIX | ACCOUNT_PREFIX >> 5, (ACCOUNT_PREFIX & 31) << 3)
        ):
            raise ValueError("it is not the seed of an account key")
        self._key = Ed25519PrivateKey.from_private_bytes(raw[2:])
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = _encode_key(bytes((ACCOUNT_PREFIX,)) + public)

    def sign(self, claims: dict[str, Any]) -> str:
        """Returns the token of `claims`, with `iss` and `jti` added."""
        issued = {**claims, "iss": self.public_key}
        jti = base64.b32encode(hashlib.sha256(msgspec.json.encode(issued)).digest()).rstrip(b"=").decode()
        text = _b64url_encode(_HEADER) + b"." + _b64url_encode(msgspec.json.encode({**issued, "jti": jti}))
        return (text + b"." + _b64url_encode(self._key.sign(text))).decode()


class _IssuerClaim(msgspec.Struct):
    """The issuer among the claims of a token."""

    iss: str


def verified_claims(token: bytes, prefix: int) -> bytes:
    """Returns the claims of a token, as JSON, after verifying its signature.

    ValueError if it is not a token, or if its issuer is not a key with this prefix.
    """
    text, _, signature = token.rpartition(b".")
    header, found, claims = text.partition(b".")
    if not found or _b64url_decode(header) != _HEADER:
        raise ValueError("it is not a token of NATS")
    body = _b64url_decode(claims)
    issuer = msgspec.json.decode(body, type=_IssuerClaim).iss
    try:
        Ed25519PublicKey.from_public_bytes(public_key_bytes(issuer, prefix)).verify(_b64url_decode(signature), text)
    except InvalidSignature:
        raise ValueError("its signature does not hold") from None
    return body


def _encode_key(raw: bytes) -> str:
    crc = binascii.crc_hqx(raw, 0).to_bytes(_CRC_BYTES, "little")
    return base64.b32encode(raw + crc).rstrip(b"=").decode()


def _decode_key(text: str) -> bytes:
    try:
        raw = base64.b32decode(text.encode("ascii") + b"=" * (-len(text) % 8))
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("it is not base32") from None
    # The last letter has unused bits: accept the canonical encoding only.
    if _encode_key(raw[:-_CRC_BYTES]) != text:
        raise ValueError("its checksum does not hold")
    return raw[:-_CRC_BYTES]


def _b64url_encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _b64url_decode(text: bytes) -> bytes:
    try:
        plain = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None
    # Several texts decode to the same bytes: accept the canonical encoding only.
    if _b64url_encode(plain) != text:
        raise ValueError("it is not base64")
    return plain
