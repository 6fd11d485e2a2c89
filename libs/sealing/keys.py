"""Parsing of sealing keys: standard or URL-safe base64 of 32 bytes, several separated by commas or line ends."""

import base64
import binascii
import re
import secrets

KEY_BYTES = 32

_SEPARATORS = re.compile(r"[,\s]+")
_URL_SAFE = str.maketrans("-_", "+/")


def new_key() -> str:
    """Returns a random key as text."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def split_keys(text: str) -> tuple[str, ...]:
    """Returns the texts of single keys."""
    return tuple(part for part in _SEPARATORS.split(text) if part)


def parse_key(text: str) -> bytes:
    """Returns the 32 bytes that `text` means; ValueError, without the text, if it is no key."""
    padded = text.translate(_URL_SAFE).rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        key = base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes and not {KEY_BYTES}")
    return key
