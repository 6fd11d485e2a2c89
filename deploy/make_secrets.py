"""Writes the random passwords and the key that docker-compose.yml reads; those that exist stay as they are."""

import base64
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"


def password() -> str:
    return secrets.token_hex(24)


def key() -> str:
    """Returns what libs.sealing reads as one key."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


SECRETS = {"nats_password": password, "postgres_password": password, "sealing_keys": key}


def main() -> int:
    # The folder is closed; the files are open, because containers read them under another user.
    FOLDER.chmod(0o700)
    for name, make in SECRETS.items():
        path = FOLDER / name
        if not path.exists():
            path.write_text(make(), encoding="utf-8")
            path.chmod(0o644)
            sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
