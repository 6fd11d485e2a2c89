"""The `accounts` and `authorization` blocks of a nats-server configuration."""

import json
from collections.abc import Mapping, Sequence

import msgspec

from libs.bus.auth import permissions
from libs.bus.auth.permissions import Permissions

# Long enough for a busy results service, short enough that waiting clients do not accumulate.
CALLOUT_TIMEOUT_S = 3


class NatsUser(msgspec.Struct, frozen=True):
    """A user of the configuration. Without `permissions` it may do everything in the services' account."""

    name: str
    password: str
    permissions: Permissions | None = None


def authorization_config(users: Sequence[NatsUser], system: NatsUser, issuer: str) -> str:
    """Returns the blocks `accounts` and `authorization`, which delegate all other users to the auth callout.

    `issuer` is the public half of the key that signs the callout's responses.
    """
    named = [user.name for user in (*users, system)]
    blocks = {
        "system_account": "SYS",
        "accounts": {"SYS": {"users": [_user_config(system)]}},
        "authorization": {
            "timeout": CALLOUT_TIMEOUT_S,
            "auth_callout": {"issuer": issuer, "auth_users": named},
            "users": [_user_config(user) for user in users],
        },
    }
    return "".join(f"{name}: {json.dumps(block, indent=2)}\n" for name, block in blocks.items())


def _user_config(user: NatsUser) -> Mapping[str, object]:
    written: dict[str, object] = {"user": user.name, "password": user.password}
    if user.permissions is None:
        return written
    publish: dict[str, list[str]] = {"allow": user.permissions.publish}
    if user.permissions.deny_publish:
        publish["deny"] = user.permissions.deny_publish
    return {**written, "permissions": {"publish": publish, "subscribe": {"allow": user.permissions.subscribe}}}


def service_users(passwords: Mapping[str, str], kinds: Sequence[str], locations: Sequence[str]) -> list[NatsUser]:
    """Returns the users of all services, each with its password from `passwords` and its least permissions."""
    allowed = {permissions.GATEWAY_USER: permissions.gateway(), permissions.RESULTS_USER: permissions.results()}
    allowed |= {permissions.prober_user(location): permissions.prober(location, kinds) for location in locations}
    return [NatsUser(name, passwords[name], grant) for name, grant in allowed.items()]


def system_user(password: str) -> NatsUser:
    return NatsUser(permissions.SYSTEM_USER, password, permissions.system())
