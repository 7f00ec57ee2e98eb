# SPDX-License-Identifier: MIT
"""The box itself: what is in it stays in it, and nothing is left of it."""

import os
import pathlib

from boxlib import machine
from boxlib.box import FOLDERS, PREFIX, Box


def test_process_1_is_systemd_with_a_world_of_its_own(empty_box):
    assert empty_box.sh("cat", "/proc/1/comm").stdout == "systemd\n"
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        own = os.readlink(f"/proc/self/ns/{name}")
        assert empty_box.sh("readlink", f"/proc/self/ns/{name}").stdout.strip() != own
    assert empty_box.sh("ls", "/sys/class/net").stdout.split() == ["lo"]


def test_none_of_the_machines_own_services_runs(empty_box):
    units = empty_box.ctl("list-units", "--type=service", "--state=running", "--plain", "--no-legend").stdout
    names = {line.split()[0].split("@")[0] for line in units.splitlines()}
    assert {"systemd-journald.service"} <= names
    assert not {name for name in names if not name.startswith(("systemd-", "dbus"))}, names


def test_what_is_written_stays_there(empty_box):
    empty_box.write("/etc/bd-box-file", "x")
    empty_box.sh("touch", "/tmp/bd-box-file", "/usr/bd-box-file")
    for folder in ("/etc", "/tmp", "/usr"):
        assert not pathlib.Path(folder, "bd-box-file").exists()


def test_settings_of_the_kernel_are_out_of_reach(empty_box):
    done = empty_box.sh("sh", "-c", "echo 1 >/proc/sys/kernel/printk", check=False)
    assert done.returncode != 0 and "Read-only" in done.stderr


def test_a_command_runs_in_its_unit_as_its_user(empty_box):
    done = empty_box.run("sh", "-c", "id -u; cat /proc/self/cgroup", unit="one.service", user="nobody")
    assert done.stdout.startswith("65534\n")
    assert "0::/system.slice/one.service\n" in done.stdout
    assert empty_box.run("false", check=False).returncode == 1


def test_nothing_is_left(empty_box):
    with Box() as box:
        leader = box.leader
        folder, cgroup = box.folder, machine.cgroup_root() / box.folder.name
        assert folder.exists() and cgroup.exists() and machine.start_time(leader)
    assert not folder.exists() and not cgroup.exists() and not machine.start_time(leader)


def test_who_was_killed_is_swept_away_by_the_next(empty_box):
    first = Box(f"{os.getpid()}-lost").up()
    supervisor = first._recall("supervisor")
    os.kill(supervisor, 9)
    # With the supervisor goes process 1, and with that everything; only the folder and the cgroup stay.
    while machine.start_time(first.leader):
        pass
    os.waitpid(supervisor, 0)
    with Box():
        assert not (FOLDERS / (PREFIX + first.name)).exists()
