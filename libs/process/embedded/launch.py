"""Launcher that execs a program which ends with its parent, optionally as another user.

It is a separate script because this has to happen between fork and exec, where a process with threads must not run
Python. Arguments: parent pid, signal at the parent's end, user and group id (-1 to keep), program and its arguments.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, number, uid, gid = (int(text) for text in sys.argv[1:5])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    # After the change of user, which clears it. The kernel sends the signal when the forking *thread* ends.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        sys.exit("the parent has ended already")
    os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606 - our own program with our own arguments


if __name__ == "__main__":
    main()
