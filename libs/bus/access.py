"""What nats-server asks about a client that it does not know, and what we answer (auth callout, ADR-26)."""

from datetime import datetime, timedelta

import msgspec

from libs.bus import nkeys, subjects
from libs.bus.nkeys import Signer

# The global account: the one in which all services and all streams are.
ACCOUNT = "$G"
# nats-server 2.15.1 puts no limit of a token onto a client that came by callout; `connections.py` sees to them.
SUBSCRIPTIONS_MAX = 100
PAYLOAD_BYTES_MAX = 1024

_USER = "key."


class _Server(msgspec.Struct, frozen=True):
    id: str


class _Client(msgspec.Struct, frozen=True):
    id: int = 0
    host: str = ""


class _Options(msgspec.Struct, frozen=True):
    password: str = msgspec.field(name="pass", default="")


class _Request(msgspec.Struct):
    server_id: _Server
    user_nkey: str
    client_info: _Client = _Client()
    connect_opts: _Options = _Options()
    type: str = ""


class _Claims(msgspec.Struct):
    aud: str
    nats: _Request


_decode = msgspec.json.Decoder(_Claims).decode


class Asked(msgspec.Struct, frozen=True):
    """One client that wants in: the key that it showed, and the address that it comes from."""

    server_id: str
    user_nkey: str
    address: str
    secret: str

    def __repr__(self) -> str:
        """Shows no secret, so that it can stand in a log or a traceback."""
        return f"Asked(server_id={self.server_id!r}, address={self.address!r})"


def asked(request: bytes) -> Asked:
    """Returns what a server asks; ValueError for anything that no server has signed."""
    claims = _decode(nkeys.signed_claims(request, nkeys.SERVER))
    asks = claims.nats
    if claims.aud != "nats-authorization-request" or asks.type != "authorization_request":
        raise ValueError("it is not a request about a client")
    nkeys.key_bytes(asks.user_nkey, nkeys.USER)
    return Asked(asks.server_id.id, asks.user_nkey, asks.client_info.host, asks.connect_opts.password)


def readable(tenant_id: str) -> list[str]:
    """Returns all that a tenant may subscribe to."""
    return [f"live.results.{tenant_id}.>", f"live.events.{tenant_id}.>", f"events.{tenant_id}.>"]


def user(key_id: str) -> str:
    """Returns the user name that the server knows a key's clients by, however they called themselves."""
    return _USER + key_id


def key_id_of(user_name: str) -> str | None:
    """Returns the id of the key whose client this is; None for a service."""
    return user_name.removeprefix(_USER) if user_name.startswith(_USER) else None


class Desk:
    """Writes the answers. `stay_max` is how long a client stays until the server itself asks it to come again."""

    def __init__(self, signer: Signer, stay_max: timedelta) -> None:
        self._signer = signer
        self._stay_max = stay_max

    def admit(self, asks: Asked, tenant_id: str, key_id: str, *, now: datetime, expires_at: datetime | None) -> bytes:
        """Returns the answer that lets the client read what is its tenant's, and nothing else."""
        if not subjects.is_token(tenant_id) or not subjects.is_token(key_id):
            raise ValueError("tenant and key must be tokens of a subject")
        leaves_at = now + self._stay_max
        if expires_at is not None:
            leaves_at = min(leaves_at, expires_at)
        grant = {
            "sub": asks.user_nkey,
            "name": user(key_id),
            "aud": ACCOUNT,
            "iat": int(now.timestamp()),
            "exp": int(leaves_at.timestamp()),
            "nats": {
                "type": "user",
                "version": 2,
                "pub": {"deny": [">"]},
                "sub": {"allow": readable(tenant_id)},
                "subs": SUBSCRIPTIONS_MAX,
                "payload": PAYLOAD_BYTES_MAX,
                "data": -1,
                "allowed_connection_types": ["STANDARD", "WEBSOCKET"],
            },
        }
        return self._answer(asks, now, {"jwt": self._signer.token(grant)})

    def refuse(self, asks: Asked, now: datetime) -> bytes:
        """Returns the answer that lets nobody in, and does not say why."""
        return self._answer(asks, now, {"error": "refused"})

    def _answer(self, asks: Asked, now: datetime, verdict: dict[str, str]) -> bytes:
        claims = {
            "sub": asks.user_nkey,
            "aud": asks.server_id,
            "iat": int(now.timestamp()),
            "nats": {"type": "authorization_response", "version": 2, **verdict},
        }
        return self._signer.token(claims).encode()
