"""Authorization requests of nats-server and the signed responses to them (auth callout, ADR-26)."""

from datetime import datetime, timedelta

import msgspec

from libs.bus import subjects
from libs.bus.auth import nkeys
from libs.bus.auth.nkeys import AccountSigner

# The global account, which holds all services and all streams.
SERVICES_ACCOUNT = "$G"
# nats-server 2.15.1 does not enforce the limits of a callout token; services/results/nats_callout does.
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
    """A client that connects: the API key it presents as its password, and its address."""

    server_id: str
    user_nkey: str
    address: str
    secret: str

    def __repr__(self) -> str:
        """Leaves the secret out, so that a request may appear in a log or a traceback."""
        return f"Asked(server_id={self.server_id!r}, address={self.address!r})"


def decode_auth_request(request: bytes) -> AuthRequest:
    """Returns the authorization request; ValueError if it is not one, or is not signed by a server."""
    claims = _decode(nkeys.verified_claims(request, nkeys.SERVER_PREFIX))
    payload = claims.nats
    if claims.aud != "nats-authorization-request" or payload.type != "authorization_request":
        raise ValueError("it is not a request about a client")
    nkeys.public_key_bytes(payload.user_nkey, nkeys.USER_PREFIX)
    return AuthRequest(payload.server_id.id, payload.user_nkey, payload.client_info.host, payload.connect_opts.password)


def tenant_subjects(tenant_id: str) -> list[str]:
    """Returns every subject that a tenant may subscribe to."""
    return [f"live.results.{tenant_id}.>", f"live.events.{tenant_id}.>", f"events.{tenant_id}.>"]


def key_user(key_id: str) -> str:
    """Returns the user name of the clients of an API key on the server, whatever user name they sent."""
    return _KEY_USER_PREFIX + key_id


def key_id_of_user(user_name: str) -> str | None:
    """Returns the id of the API key behind a user name; None if the user is a service."""
    return user_name.removeprefix(_KEY_USER_PREFIX) if user_name.startswith(_KEY_USER_PREFIX) else None


class CalloutResponder:
    """Builds the signed authorization responses.

    `session_max` is the lifetime of the user token. When it expires, the server closes the connection.
    """

    def __init__(self, signer: AccountSigner, session_max: timedelta) -> None:
        self._signer = signer
        self._session_max = session_max

    def allow(
        self, request: AuthRequest, tenant_id: str, key_id: str, *, now: datetime, expires_at: datetime | None
    ) -> bytes:
        """Returns the response that lets the client subscribe to its tenant's subjects, and publish nothing."""
        if not subjects.is_token(tenant_id) or not subjects.is_token(key_id):
            raise ValueError("tenant and key must be tokens of a subject")
        token_expires_at = now + self._session_max
        if expires_at is not None:
            token_expires_at = min(token_expires_at, expires_at)
        claims = {
            "sub": request.user_nkey,
            "name": key_user(key_id),
            "aud": SERVICES_ACCOUNT,
            "iat": int(now.timestamp()),
            "exp": int(token_expires_at.timestamp()),
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
        return self._response(request, now, {"jwt": self._signer.sign(claims)})

    def deny(self, request: AuthRequest, now: datetime) -> bytes:
        """Returns the response that rejects the client without a reason."""
        return self._response(request, now, {"error": "refused"})

    def _response(self, request: AuthRequest, now: datetime, outcome: dict[str, str]) -> bytes:
        claims = {
            "sub": request.user_nkey,
            "aud": request.server_id,
            "iat": int(now.timestamp()),
            "nats": {"type": "authorization_response", "version": 2, **outcome},
        }
        return self._signer.sign(claims).encode()
