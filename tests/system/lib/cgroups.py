# SPDX-License-Identifier: MIT
"""Units without systemd: a slice of the test's own in the unified hierarchy, and processes in it.

To the daemon a cgroup /bd-1234.slice/shop.service is the unit shop.service, whoever made it. Needs root and a writable
cgroupfs; no systemd.
"""

import itertools
import os
import pathlib
import time

import pytest

from .settings import PATIENCE

ROOTS = (pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/unified"))
NUMBERS = itertools.count()


def root():
    """The unified hierarchy; skips the test where there is none."""
    for path in ROOTS:
        if (path / "cgroup.procs").exists() and (path / "cgroup.controllers").exists():
            return path
    pytest.skip("no unified cgroup hierarchy")


class Slice:
    """A context manager; its cgroups are removed at the end, when the processes in them have gone."""

    def __init__(self):
        self.path = root() / f"bd-{os.getpid()}-{next(NUMBERS)}.slice"
        self._home = pathlib.Path("/proc/self/cgroup").read_text()

    def unit(self, *names):
        """The folder of a cgroup, made where it is not there: unit("shop.service", "workers")."""
        path = self.path.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, pid, *names):
        """Moves a process there; without names, out of the slice."""
        folder = self.unit(*names) if names else root()
        (folder / "cgroup.procs").write_text(f"{pid}\n")

    def __enter__(self):
        try:
            self.path.mkdir()
        except OSError as error:
            pytest.skip(f"cannot make a cgroup in {root()}: {error.strerror}")
        return self

    def __exit__(self, *_):
        deadline = time.monotonic() + PATIENCE
        for folder, _, _ in os.walk(self.path, topdown=False):
            while True:
                try:
                    os.rmdir(folder)
                    break
                except OSError:  # a process has not quite gone
                    assert time.monotonic() < deadline, f"{folder} cannot be removed"
                    time.sleep(0.01)
