"""Generator of the secrets of docker-compose.yml: random passwords and keys, and NATS users with their permissions.

Passwords and keys that exist stay as they are; the users are written anew each time, for the kinds that there are now.
Arguments: locations beside `local` that get a prober's user of their own.
"""

import base64
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from libs.bus.auth import nkeys, permissions, server_config  # noqa: E402 - found by the line above
from libs.bus.subjects import is_token  # noqa: E402 - as above

SECRETS_DIR = ROOT / "deploy" / "secrets"
LOCATION = "local"
NATS_USERS_FILE = "nats_users"

_NATS_PASSWORD_PREFIX = "nats_password_"  # noqa: S105  a file name prefix


def new_password() -> str:
    return secrets.token_hex(24)


def new_sealing_key() -> str:
    """Returns what libs.sealing reads as one key."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


SECRETS: dict[str, Callable[[], str]] = {
    "nats_issuer": nkeys.new_seed,
    **{
        _NATS_PASSWORD_PREFIX + user: new_password
        for user in (
            permissions.GATEWAY_USER,
            permissions.RESULTS_USER,
            permissions.SYSTEM_USER,
            permissions.prober_user(LOCATION),
        )
    },
    "postgres_password": new_password,
    "sealing_keys": new_sealing_key,
}


def write_secrets(folder: Path, locations: list[str]) -> list[Path]:
    """Writes what is missing in `folder`, and the users; returns what was written."""
    wanted = SECRETS | {
        _NATS_PASSWORD_PREFIX + permissions.prober_user(location): new_password for location in locations
    }
    written = [_write(folder / name, make()) for name, make in wanted.items() if not (folder / name).exists()]
    return [*written, _write(folder / NATS_USERS_FILE, nats_users(folder))]


def nats_users(folder: Path) -> str:
    """Returns the part of nats.conf that says who may do what, with the passwords and the key in `folder`."""
    prefix = _NATS_PASSWORD_PREFIX + permissions.prober_user("")
    locations = sorted(path.name.removeprefix(prefix) for path in folder.glob(f"{prefix}*"))
    kinds = sorted(path.parent.name for path in (ROOT / "services").glob("*/spec.py"))
    passwords = {
        path.name.removeprefix(_NATS_PASSWORD_PREFIX): path.read_text().strip()
        for path in folder.glob(f"{_NATS_PASSWORD_PREFIX}*")
    }
    issuer = nkeys.AccountSigner((folder / "nats_issuer").read_text().strip()).public_key
    allowed = server_config.service_users(passwords, kinds, locations)
    return server_config.authorization_config(
        allowed, server_config.system_user(passwords[permissions.SYSTEM_USER]), issuer
    )


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return path


def main() -> int:
    locations = sys.argv[1:]
    if not all(map(is_token, locations)):
        sys.stderr.write("a location is letters, digits, dash and underscore, at most 64\n")
        return 2
    # The folder is closed; the files are open, because containers read them under another user.
    SECRETS_DIR.chmod(0o700)
    for path in write_secrets(SECRETS_DIR, locations):
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
