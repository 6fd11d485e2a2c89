"""The part of a nats-server configuration that says who may do what."""

import json
from collections.abc import Mapping, Sequence

import msgspec

from libs.bus import grants
from libs.bus.grants import Grant

# Long enough for a results room that is busy, short enough that waiting clients do not pile up.
CALLOUT_TIMEOUT_S = 3


class User(msgspec.Struct, frozen=True):
    """One user of the configuration. Without a grant it may do everything, in the account of all services."""

    name: str
    password: str
    grant: Grant | None = None


def authorization(users: Sequence[User], system: User, issuer: str) -> str:
    """Returns the blocks `accounts` and `authorization`. Whoever is not named here is asked about at the results room.

    `issuer` is the public half of the key that signs the answers.
    """
    named = [user.name for user in (*users, system)]
    blocks = {
        "system_account": "SYS",
        "accounts": {"SYS": {"users": [_user(system)]}},
        "authorization": {
            "timeout": CALLOUT_TIMEOUT_S,
            "auth_callout": {"issuer": issuer, "auth_users": named},
            "users": [_user(user) for user in users],
        },
    }
    return "".join(f"{name}: {json.dumps(block, indent=2)}\n" for name, block in blocks.items())


def _user(user: User) -> Mapping[str, object]:
    written: dict[str, object] = {"user": user.name, "password": user.password}
    if user.grant is None:
        return written
    publish: dict[str, list[str]] = {"allow": user.grant.publish}
    if user.grant.deny_publish:
        publish["deny"] = user.grant.deny_publish
    return {**written, "permissions": {"publish": publish, "subscribe": {"allow": user.grant.subscribe}}}


def services(passwords: Mapping[str, str], kinds: Sequence[str], locations: Sequence[str]) -> list[User]:
    """Returns the users of all services, each with its password out of `passwords` and the least that it needs."""
    allowed = {grants.GATEWAY: grants.gateway(), grants.RESULTS: grants.results()}
    allowed |= {grants.prober_user(location): grants.prober(location, kinds) for location in locations}
    return [User(name, passwords[name], grant) for name, grant in allowed.items()]


def system(password: str) -> User:
    return User(grants.SYSTEM, password, grants.system())
