# SPDX-License-Identifier: MIT
"""The daemon's processes as the kernel has them, and their ends at chosen moments: quicker than systemctl can tell.

Everything is by pidfd, and none but the daemon in the box of the test is ever hit.
"""

import os
import select
import signal
import time

from . import machine
from .box import PATIENCE
from .service import UNIT

# Before its program runs, a process that systemd made for it has the name in brackets.
NAMES = ("bearerd", "(bearerd)")


def _name(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


class Ends:
    """Of bearerd.service in a box: [(began, over)] of all of them on CLOCK_MONOTONIC, and how many were of which kind."""

    def __init__(self, box):
        self._box = box
        self._procs = machine.cgroup_root() / box.folder.name / "system.slice" / UNIT / "cgroup.procs"
        self.times = []
        self.n_kills = self.n_restarts = 0

    def process(self, other_than=None):
        """The daemon's process in our numbers, when there is one that is not that; it may be just starting."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                pids = [int(line) for line in self._procs.read_text().split()]
            except (FileNotFoundError, OSError):
                pids = []  # between two processes the unit may have no cgroup
            for pid in pids:
                if pid != other_than and _name(pid) in NAMES:
                    return pid
            assert time.monotonic() < deadline, f"no process: {self._box.words(UNIT)}"
            time.sleep(0.001)

    def kill(self):
        """SIGKILL to the process that is there or comes next; returns when it is no more."""
        while True:
            pid = self.process()
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            with os.fdopen(fd):
                # The descriptor is of whoever has the number now: is it still the daemon?
                if _name(pid) not in NAMES:
                    continue
                began = time.monotonic()
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                assert select.select([fd], [], [], PATIENCE)[0], "it survives SIGKILL"
            self.times.append((began, time.monotonic()))
            self.n_kills += 1
            return

    def restart(self, wait=True):
        """An orderly one. With `wait`, returns when the next process is ready, else when it is there."""
        before, began = self.process(), time.monotonic()
        done = self._box.ctl("restart", *([] if wait else ["--no-block"]), UNIT, check=False)
        assert done.returncode == 0, f"{done.stderr}{self._box.words(UNIT)[-5000:]}"
        self.process(other_than=before)
        self.times.append((began, time.monotonic()))
        self.n_restarts += 1
