# SPDX-License-Identifier: MIT
"""A file that nobody can open for a while: whoever tries is held in open(2) by the kernel until the gate opens.

    with Gate(daemon.config) as gate:
        daemon.signal(signal.SIGHUP)
        gate.wait()              # the daemon's reader stands before the file
        ...
    # open again: the reader goes on

So a test decides how long reading takes, and sleeps for nothing. fanotify(7) with permission events: needs root, and
a kernel that has them. Write the file before: the gate holds its own process, too.
"""

import ctypes
import errno
import os
import select

from .settings import PATIENCE

FAN_CLOEXEC, FAN_CLASS_CONTENT = 0x1, 0x4
FAN_MARK_ADD = 0x1
FAN_OPEN_PERM = 0x10000
AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]


def _checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class Gate:
    """See above; closed from its making on."""

    def __init__(self, path):
        self._fd = _checked(_libc.fanotify_init(FAN_CLOEXEC | FAN_CLASS_CONTENT, os.O_RDONLY | os.O_CLOEXEC))
        try:
            _checked(_libc.fanotify_mark(self._fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, os.fsencode(path)))
        except OSError:
            self.open()
            raise

    def wait(self):
        """Until somebody stands before the file."""
        assert select.select([self._fd], [], [], PATIENCE)[0], "nobody has opened the file"

    def open(self):
        """Lets everybody pass, for good: with its group closed the kernel allows all that was not answered."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open()


def can_be_had(path):
    """Whether this kernel and these rights allow for a gate."""
    try:
        Gate(path).open()
    except OSError as error:
        assert error.errno in (errno.EPERM, errno.ENOSYS, errno.EINVAL), error
        return False
    return True
