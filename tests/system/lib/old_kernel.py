# SPDX-License-Identifier: MIT
"""Run as a program: executes a command as if on a kernel before 6.5, which has no SO_PEERPIDFD.

    python3 old_kernel.py COMMAND...

A seccomp filter answers that one getsockopt() as such a kernel does, for the command and all that it starts. See
seccomp(2), and bpf(2) for the form of the instructions.
"""

import ctypes
import errno
import os
import struct
import sys

SO_PEERPIDFD = 77
SYS_GETSOCKOPT = {"x86_64": 55, "aarch64": 209}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER, THIRD_ARGUMENT = 0, 16 + 2 * 8  # struct seccomp_data, little endian

FILTER = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_EQUAL, 0, 3, SYS_GETSOCKOPT.get(os.uname().machine)),
    (LOAD, 0, 0, THIRD_ARGUMENT),
    (JUMP_EQUAL, 0, 1, SO_PEERPIDFD),
    (RETURN, 0, 0, ERRNO | errno.ENOPROTOOPT),
    (RETURN, 0, 0, ALLOW),
]


def main():
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in FILTER)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("@HxxxxxxP", len(FILTER), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        sys.exit(f"old_kernel: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
