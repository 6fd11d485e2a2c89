"""Writes the random passwords that docker-compose.yml reads; those that exist stay as they are."""

import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"
NAMES = ("nats_password", "postgres_password")


def main() -> int:
    # The folder is closed; the files are open, because containers read them under another user.
    FOLDER.chmod(0o700)
    for name in NAMES:
        path = FOLDER / name
        if not path.exists():
            path.write_text(secrets.token_hex(24), encoding="utf-8")
            path.chmod(0o644)
            sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
