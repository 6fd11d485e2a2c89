"""Encryption with the newest key and decryption with any: AES-256-GCM (NIST SP 800-38D), random 96-bit nonce."""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.sealing.keys import parse_key

VERSION = "v1"
NONCE_BYTES = 12

_DIGEST_LABEL = b"vedette digest"


class NoSealingKeyError(Exception):
    """Nothing can be sealed here: this process was given no key."""


class UnsealError(Exception):
    """A sealed text cannot be opened: unknown key, altered, or sealed for another context. Says which, not what."""


class Sealer:
    """Keeps secrets shut. The first key seals, all of them open; without any, nothing is sealed or opened."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        found = list(keys)
        self._ciphers = {_key_id(key): AESGCM(key) for key in found}
        self._newest_key_id = _key_id(found[0]) if found else None
        self._digest_key = hmac.digest(found[0], _DIGEST_LABEL, "sha256") if found else None

    @classmethod
    def from_texts(cls, keys: Iterable[str]) -> "Sealer":
        """Returns the sealer with the keys of the setting; ValueError if a text is no key."""
        return cls(parse_key(text) for text in keys)

    @property
    def newest_key_id(self) -> str | None:
        """The id of the key that seals; None without any key."""
        return self._newest_key_id

    def seal(self, plain: bytes, context: str) -> str:
        """Returns `v1.<key id>.<base64url of nonce and ciphertext>`, which opens in the same context only."""
        if self._newest_key_id is None:
            raise NoSealingKeyError
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._ciphers[self._newest_key_id].encrypt(
            nonce, plain, _associated_data(self._newest_key_id, context)
        )
        return f"{VERSION}.{self._newest_key_id}.{_base64url(sealed)}"

    def open(self, sealed: str, context: str) -> bytes:
        """Returns what was sealed in this context, or raises UnreadableError."""
        key_id, data = _parse_sealed(sealed)
        if key_id not in self._ciphers:
            raise UnsealError(f"it is sealed with the key {key_id}, which is not among our {len(self._ciphers)}")
        try:
            return self._ciphers[key_id].decrypt(
                data[:NONCE_BYTES], data[NONCE_BYTES:], _associated_data(key_id, context)
            )
        except (InvalidTag, ValueError):
            raise UnsealError("it was altered, or sealed for something else") from None

    def digest(self, plain: bytes, context: str) -> str:
        """Returns what tells equal secrets from different ones, and cannot be guessed at without the key."""
        if self._digest_key is None:
            raise NoSealingKeyError
        return hmac.digest(self._digest_key, context.encode() + b"\0" + plain, "sha256").hex()


def key_id_of(sealed: str) -> str:
    """Returns the id of the key that `sealed` needs; UnreadableError if it is not a sealed text."""
    return _parse_sealed(sealed)[0]


def _key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]


def _associated_data(key_id: str, context: str) -> bytes:
    return f"{VERSION}.{key_id}.{context}".encode()


def _parse_sealed(sealed: str) -> tuple[str, bytes]:
    version, _, rest = sealed.partition(".")
    key_id, _, text = rest.partition(".")
    if version != VERSION:
        raise UnsealError(f"it is not of the form {VERSION}.<key>.<data>")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise UnsealError("it was altered") from None
    # Several texts decode to the same bytes; only the one that we write is ours.
    if _base64url(data) != text:
        raise UnsealError("it was altered")
    return key_id, data


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
