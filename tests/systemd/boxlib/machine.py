# SPDX-License-Identifier: MIT
"""What a machine needs to have a box, and the one cgroup that a box takes of it."""

import os
import pathlib
import re
import shutil
import subprocess
import time

SYSTEMD = "/lib/systemd/systemd"
SYSTEMD_MIN = 252
# Tool -> Debian's package.
TOOLS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "pivot_root": "util-linux",
    "mount": "mount",
    "systemd-run": "systemd",
    "dbus-daemon": "dbus",
}
CGROUP_ROOTS = (pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/unified"))
REMOVE_TRIES = 100  # of a cgroup, 20 ms apart: its processes have been killed, and are on their way out


def cgroup_root():
    """The unified hierarchy, alone or beside the old ones; None where there is none."""
    return next((path for path in CGROUP_ROOTS if (path / "cgroup.procs").exists()), None)


def systemd_version():
    """252, or 0 where there is no systemd."""
    if not os.access(SYSTEMD, os.X_OK):
        return 0
    text = subprocess.run([SYSTEMD, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"systemd (\d+)", text)
    return int(match[1]) if match else 0


def find_obstacle():
    """Why this machine cannot have a box, as far as can be told without trying; None when nothing speaks against it."""
    if os.geteuid() != 0:
        return "needs root"
    for tool, package in TOOLS.items():
        if not shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            return f"there is no {tool}: apt-get install {package}"
    if systemd_version() < SYSTEMD_MIN:
        return f"there is no systemd {SYSTEMD_MIN} or later: apt-get install systemd"
    root = cgroup_root()
    if root is None:
        return "no unified cgroup hierarchy is mounted"
    if not os.access(root, os.W_OK) or os.statvfs(root).f_flag & os.ST_RDONLY:
        return f"{root} is read-only"
    return None


def make_cgroup(name):
    """A cgroup of the box's own, so that what is in it is in no unit of the machine's."""
    path = cgroup_root() / name
    path.mkdir(exist_ok=True)
    return path


def remove_cgroup(path):
    """With all below. Nothing runs in there any more."""
    for _ in range(REMOVE_TRIES):
        for folder, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass
        if not path.exists():
            return
        time.sleep(0.02)
    raise OSError(f"{path} cannot be removed: something still runs in it")


def parent_of(pid):
    """The parent's process id; None when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(text.rpartition(")")[2].split()[1])


def children_of(pid):
    """The process ids of its children now."""
    pids = (int(path.name) for path in pathlib.Path("/proc").iterdir() if path.name.isdigit())
    return [child for child in pids if parent_of(child) == pid]


def start_time(pid):
    """When the process started, in ticks since boot: with the id it names a process for good. None: it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])
