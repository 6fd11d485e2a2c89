"""Writes what docker-compose.yml reads as secrets: random passwords and keys, and the users of NATS with their rights.

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

from libs.bus import conf, grants, nkeys  # noqa: E402 - found by the line above
from libs.bus.subjects import is_token  # noqa: E402 - as above

FOLDER = ROOT / "deploy" / "secrets"
LOCATION = "local"
USERS = "nats_users"

_OF_NATS = "nats_password_"


def password() -> str:
    return secrets.token_hex(24)


def key() -> str:
    """Returns what libs.sealing reads as one key."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


SECRETS: dict[str, Callable[[], str]] = {
    "nats_issuer": nkeys.new_seed,
    **{
        _OF_NATS + user: password
        for user in (grants.GATEWAY, grants.RESULTS, grants.SYSTEM, grants.prober_user(LOCATION))
    },
    "postgres_password": password,
    "sealing_keys": key,
}


def make(folder: Path, locations: list[str]) -> list[Path]:
    """Writes what is missing in `folder`, and the users; returns what was written."""
    wanted = SECRETS | {_OF_NATS + grants.prober_user(location): password for location in locations}
    written = [_write(folder / name, make()) for name, make in wanted.items() if not (folder / name).exists()]
    return [*written, _write(folder / USERS, users(folder))]


def users(folder: Path) -> str:
    """Returns the part of nats.conf that says who may do what, with the passwords and the key in `folder`."""
    prefix = _OF_NATS + grants.prober_user("")
    locations = sorted(path.name.removeprefix(prefix) for path in folder.glob(f"{prefix}*"))
    kinds = sorted(path.parent.name for path in (ROOT / "services").glob("*/spec.py"))
    passwords = {path.name.removeprefix(_OF_NATS): path.read_text().strip() for path in folder.glob(f"{_OF_NATS}*")}
    issuer = nkeys.Signer((folder / "nats_issuer").read_text().strip()).public
    allowed = conf.services(passwords, kinds, locations)
    return conf.authorization(allowed, conf.system(passwords[grants.SYSTEM]), issuer)


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
    FOLDER.chmod(0o700)
    for path in make(FOLDER, locations):
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
