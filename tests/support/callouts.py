"""Requests about clients, signed as nats-server signs them."""

import base64
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libs.bus.auth import nkeys


def _public(prefix: int, key: Ed25519PrivateKey) -> str:
    return nkeys._encode_key(bytes((prefix,)) + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


USER = _public(nkeys.USER_PREFIX, Ed25519PrivateKey.generate())


def callout(
    *, secret: str = "", address: str = "127.0.0.1", aud: str = "nats-authorization-request", **more: Any
) -> bytes:
    """Returns a request about a client with this password; `more` replaces what it says."""
    key = Ed25519PrivateKey.generate()
    asks = {
        "server_id": {"name": "n", "host": "h", "id": "NS", "version": "2.15.1"},
        "user_nkey": USER,
        "client_info": {"host": address, "id": 7, "kind": "Client"},
        "connect_opts": {"user": "key", "pass": secret, "protocol": 1},
        "type": "authorization_request",
        "version": 2,
    }
    claims = {"aud": aud, "iss": _public(nkeys.SERVER_PREFIX, key), "sub": "A", "nats": asks | more}
    parts = (nkeys._HEADER, msgspec.json.encode(claims))
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return text + b"." + base64.urlsafe_b64encode(key.sign(text)).rstrip(b"=")
