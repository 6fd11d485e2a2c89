"""Becomes another program that cannot see, by ptrace, more of a processor's registers than a processor of 2003 has.

User-mode Linux before 6.13 keeps 2,696 bytes for the registers that XSAVE writes. Processors with AMX write four times
as much, the kernel takes them whole or not at all, and the guest panics at its first process. Where there is no XSAVE,
user-mode Linux is content with what FXSAVE writes (programs in the guest must then do without AVX).

Arguments: the program and its arguments. Only for x86-64.
"""

import ctypes
import os
import struct
import sys

_PTRACE, _NT_X86_XSTATE, _EINVAL = 101, 0x202, 22
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
# Where struct seccomp_data has the number of the system call, and its third argument.
_NUMBER_AT, _THIRD_AT = 0, 32
_FILTERS = (
    (_LOAD, 0, 0, _NUMBER_AT),
    (_JUMP_IF_EQUAL, 0, 3, _PTRACE),
    (_LOAD, 0, 0, _THIRD_AT),
    (_JUMP_IF_EQUAL, 0, 1, _NT_X86_XSTATE),
    (_RETURN, 0, 0, _ERRNO | _EINVAL),
    (_RETURN, 0, 0, _ALLOW),
)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filters", ctypes.c_void_p))


def main() -> None:
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _FILTERS))
    program = _Program(len(_FILTERS), ctypes.addressof(filters))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0
    ):
        sys.exit(f"no filter of system calls: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
