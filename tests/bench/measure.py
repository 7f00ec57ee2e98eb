# SPDX-License-Identifier: MIT
"""What is measured, and how: load, processor time, memory, wake-ups."""

import os
import pathlib
import re
import subprocess

TICKS = os.sysconf("SC_CLK_TCK")


def separate(workers):
    """Servers on one processor, load on the others, so that they do not push each other around; the load's set."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        return set(cpus)
    for pid in workers:
        os.sched_setaffinity(pid, {cpus[-1]})
    return set(cpus[:-1])


def cpu_seconds(pids):
    """User and system time of these processes so far; in steps of a hundredth of a second."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def run_on(cpus, command):
    """The output of a load generator that runs on these processors only."""
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=600, preexec_fn=lambda: os.sched_setaffinity(0, cpus)
    )
    if run.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {run.stdout[-1000:]}{run.stderr[-1000:]}")
    return run.stdout


def keep_alive_round(server, target, n_requests, n_connections, cpus):
    """(requests a second, microseconds of processor time a request) over kept connections."""
    workers = server.workers()
    before = cpu_seconds(workers)
    command = ["h2load", "--h1", "-n", str(n_requests), "-c", str(n_connections), "-t", "1"]
    text = run_on(cpus, [*command, f"--base-uri=unix:{server.socket}", f"http://localhost{target}"])
    used = cpu_seconds(workers) - before
    good = int(re.search(r"status codes: (\d+) 2xx", text)[1])
    if good != n_requests:
        raise RuntimeError(f"{server.name}: {good} of {n_requests} answers were 2xx: {text}")
    rate = float(re.search(r"finished in [^,]*, ([\d.]+) req/s", text)[1])
    return rate, used / n_requests * 1e6


def one_shot_round(server, target, n_requests, oneshot, cpus):
    """(median, 99th percentile) of microseconds with one connection a request."""
    median, p99, _ = run_on(cpus, [str(oneshot), str(server.socket), target, str(n_requests)]).split()
    return float(median), float(p99)


def memory_kib(pid):
    """Private anonymous memory in KiB: (all, what is not a library's or the program's own copied-on-write data).

    The first is "Anonymous" of smaps_rollup; of one process that shares with nobody, the same as "Pss_Anon". It has the
    pages that the loader changed in every library (relocations); the second is the sum over mappings without a file.
    """
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    everything = int(re.search(r"^Anonymous: +(\d+) kB", text, re.MULTILINE)[1])
    own, is_own = 0, False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        mapping = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)", line)
        if mapping:
            is_own = not mapping[1].startswith("/")
        elif is_own and line.startswith("Anonymous:"):
            own += int(line.split()[1])
    return everything, own


def wakeups(pid):
    """Voluntary context switches of all threads so far: each is a wait, so each is followed by a wake-up."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.MULTILINE)[1])
    return total
