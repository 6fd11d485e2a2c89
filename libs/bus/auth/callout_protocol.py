"""What nats-server asks about a client that it does not know, and what we answer (auth callout, ADR-26)."""

from datetime import datetime, timedelta

import msgspec

from libs.bus import subjects
from libs.bus.auth import nkeys
from libs.bus.auth.nkeys import AccountSigner

# The global account: the one in which all services and all streams are.
SERVICES_ACCOUNT = "$G"
# nats-server 2.15.1 puts no limit of a token onto a client that came by callout; `connections.py` sees to them.
SUBSCRIPTIONS_MAX = 100
PAYLOAD_BYTES_MAX = 1024

_KEY_USER_PREFIX = "key."


class _RequestServer(msgspec.Struct, frozen=True):
    id: str


class _RequestClient(msgspec.Struct, frozen=True):
    id: int = 0
    host: str = ""


class _ConnectOptions(msgspec.Struct, frozen=True):
    password: str = msgspec.field(name="pass", default="")


class _RequestPayload(msgspec.Struct):
    server_id: _RequestServer
    user_nkey: str
    client_info: _RequestClient = _RequestClient()
    connect_opts: _ConnectOptions = _ConnectOptions()
    type: str = ""


class _RequestClaims(msgspec.Struct):
    aud: str
    nats: _RequestPayload


_decode = msgspec.json.Decoder(_RequestClaims).decode


class AuthRequest(msgspec.Struct, frozen=True):
    """One client that wants in: the key that it showed, and the address that it comes from."""

    server_id: str
    user_nkey: str
    address: str
    secret: str

    def __repr__(self) -> str:
        """Shows no secret, so that it can stand in a log or a traceback."""
        return f"Asked(server_id={self.server_id!r}, address={self.address!r})"


def decode_auth_request(request: bytes) -> AuthRequest:
    """Returns what a server asks; ValueError for anything that no server has signed."""
    claims = _decode(nkeys.verified_claims(request, nkeys.SERVER_PREFIX))
    asks = claims.nats
    if claims.aud != "nats-authorization-request" or asks.type != "authorization_request":
        raise ValueError("it is not a request about a client")
    nkeys.public_key_bytes(asks.user_nkey, nkeys.USER_PREFIX)
    return AuthRequest(asks.server_id.id, asks.user_nkey, asks.client_info.host, asks.connect_opts.password)


def tenant_subjects(tenant_id: str) -> list[str]:
    """Returns all that a tenant may subscribe to."""
    return [f"live.results.{tenant_id}.>", f"live.events.{tenant_id}.>", f"events.{tenant_id}.>"]


def key_user(key_id: str) -> str:
    """Returns the user name that the server knows a key's clients by, however they called themselves."""
    return _KEY_USER_PREFIX + key_id


def key_id_of_user(user_name: str) -> str | None:
    """Returns the id of the key whose client this is; None for a service."""
    return user_name.removeprefix(_KEY_USER_PREFIX) if user_name.startswith(_KEY_USER_PREFIX) else None


class CalloutResponder:
    """Writes the answers. `stay_max` is how long a client stays until the server itself asks it to come again."""

    def __init__(self, signer: AccountSigner, stay_max: timedelta) -> None:
        self._signer = signer
        self._session_max = stay_max

    def allow(
        self, asks: AuthRequest, tenant_id: str, key_id: str, *, now: datetime, expires_at: datetime | None
    ) -> bytes:
        """Returns the answer that lets the client read what is its tenant's, and nothing else."""
        if not subjects.is_token(tenant_id) or not subjects.is_token(key_id):
            raise ValueError("tenant and key must be tokens of a subject")
        leaves_at = now + self._session_max
        if expires_at is not None:
            leaves_at = min(leaves_at, expires_at)
        grant = {
            "sub": asks.user_nkey,
            "name": key_user(key_id),
            "aud": SERVICES_ACCOUNT,
            "iat": int(now.timestamp()),
            "exp": int(leaves_at.timestamp()),
            "nats": {
                "type": "user",
                "version": 2,
                "pub": {"deny": [">"]},
                "sub": {"allow": tenant_subjects(tenant_id)},
                "subs": SUBSCRIPTIONS_MAX,
                "payload": PAYLOAD_BYTES_MAX,
                "data": -1,
                "allowed_connection_types": ["STANDARD", "WEBSOCKET"],
            },
        }
        return self._response(asks, now, {"jwt": self._signer.sign(grant)})

    def deny(self, asks: AuthRequest, now: datetime) -> bytes:
        """Returns the answer that lets nobody in, and does not say why."""
        return self._response(asks, now, {"error": "refused"})

    def _response(self, asks: AuthRequest, now: datetime, verdict: dict[str, str]) -> bytes:
        claims = {
            "sub": asks.user_nkey,
            "aud": asks.server_id,
            "iat": int(now.timestamp()),
            "nats": {"type": "authorization_response", "version": 2, **verdict},
        }
        return self._signer.sign(claims).encode()
