"""Unprivileged Unix account for PostgreSQL, which refuses to run as root."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from libs.process.errors import StartError

_CANDIDATE_USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class UnixAccount:
    """User id and group id."""

    uid: int
    gid: int

    def chown(self, path: Path) -> None:
        """Makes the account the owner of `path`."""
        try:
            os.chown(path, self.uid, self.gid)
        except OSError as error:
            raise StartError(f"{path} cannot be given to user {self.uid}: {error.strerror}") from error


def unprivileged_account(data: Path) -> UnixAccount | None:
    """Returns the account to run PostgreSQL as; None, for the current one, unless that is root.

    Existing data keep their owner; new data belong to the user `postgres`, or to `nobody`.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (status := data.stat()).st_uid != 0:
        return UnixAccount(status.st_uid, status.st_gid)
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in _CANDIDATE_USERS:
        if name in known:
            return UnixAccount(known[name].pw_uid, known[name].pw_gid)
    raise StartError(
        "PostgreSQL refuses to run as root, and there is no user postgres or nobody: start as another user"
    )
