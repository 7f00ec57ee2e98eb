# SPDX-License-Identifier: MIT
"""A process id is not a process: a hundred thousand attempts to be taken for somebody else by its number.

What is attempted, and how it is known that a daemon that goes by the number would fall for it: pid_race.c.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest
from lib import profiles
from lib.agent import only_child
from lib.cgroups import Slice
from lib.settings import PATIENCE, TIME_FACTOR
from test_units import has_peer_pidfd

pytestmark = [pytest.mark.needs_root, pytest.mark.plain_build]

HERE = pathlib.Path(__file__).parent
N_ATTEMPTS = 50_000
OLD_KERNEL = (sys.executable, str(HERE / "lib" / "old_kernel.py"))
# The daemon is not process 1 of its namespace: that one cannot be stopped from within.
OWN_IDS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", '"$@" & wait $!', "sh")


@pytest.fixture(scope="module")
def pid_race(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no compiler for pid_race.c")
    program = tmp_path_factory.mktemp("race") / "pid_race"
    options = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *options, "-o", str(program), str(HERE / "pid_race.c")], check=True)
    return program


def end(daemon, pid):
    """The orderly end of a daemon that is not the process we have started."""
    os.kill(pid, signal.SIGTERM)
    assert daemon.wait_exit() == 0


@pytest.mark.parametrize("kernel", ["new-kernel", "old-kernel"])
def test_no_process_is_taken_for_another(daemon, upstream, pid_race, kernel):
    if kernel == "new-kernel" and not has_peer_pidfd():
        pytest.skip("this kernel has no SO_PEERPIDFD")
    if not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK):
        pytest.skip("process ids cannot be chosen here (ns_last_pid)")
    with Slice() as units, contextlib.ExitStack() as stack:
        profiles.vipps(daemon, "shop", upstream, upstream.vipps_client(), allow="unit:shop.service")
        daemon.main(SocketMode="0666", MaxConnections=20000, MaxConnectionsPerUser=10000)
        daemon.start(prefix=OWN_IDS + (OLD_KERNEL if kernel == "old-kernel" else ()))
        shell = only_child(daemon.pid)
        # Later the shell may have others as well: it is process 1 there, and gets the orphans.
        pid = only_child(shell)
        stack.callback(end, daemon, pid)
        inner = int(re.search(r"NSpid:.*\t(\d+)\n", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
        result = subprocess.run(
            [
                *("nsenter", f"--target={shell}", "--pid", "--mount", pid_race, daemon.socket),
                *(units.unit("stranger.service"), units.unit("shop.service"), str(inner), str(N_ATTEMPTS)),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=10 * PATIENCE,
        )
        assert result.returncode == 0, result.stderr
        print(result.stdout)
        numbers = {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", result.stdout)}
        assert numbers["attempts"] == N_ATTEMPTS
        assert numbers["reused"] > 0.9 * N_ATTEMPTS, "no process id was given to another: nothing was tried"
        assert numbers["admitted"] == 0
        assert numbers["refused"] <= numbers["members"] * 0.02 * TIME_FACTOR
