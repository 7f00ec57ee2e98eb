# SPDX-License-Identifier: MIT
"""A box: a real systemd as process 1 of its own namespaces, over a throw-away copy of this machine's files.

    with Box() as box:
        box.write("/etc/systemd/system/x.service", "[Service]\\nExecStart=/bin/true\\n")
        box.ctl("daemon-reload")
        box.ctl("start", "x.service")
        box.wait_journal(UNIT="x.service", JOB_RESULT="done")

Nothing that is written in a box reaches the machine, and nothing is left of it: everything lies in memory and goes with
its namespaces. It has a network of its own, where there is only a loopback device. It ends with the process that made it,
at the latest after `max_seconds`.

Ends only what it started itself, by process ids together with start times.
"""

import itertools
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import time

from . import machine

BOOT = pathlib.Path(__file__).resolve().parent / "boot"
FOLDERS = pathlib.Path("/tmp")
PREFIX = "bd-box-"
UNABLE = 77  # exit status of boot, and of tests that are skipped
MAX_SECONDS = 1800
# Never reached when all is well.
BOOT_PATIENCE = 60
PATIENCE = 30
NUMBERS = itertools.count(1)
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "SYSTEMD_PAGER": "",
    "SYSTEMD_COLORS": "0",
}


class Unable(Exception):
    """This machine cannot have a box; the text says why."""


def text_of(fields):
    """A journal entry's or a property's field; the journal gives what is not text as a list of bytes."""
    return bytes(fields).decode("utf-8", "backslashreplace") if isinstance(fields, list) else fields


class Box:
    """See above. `name` tells boxes apart; without, it is one that no other process uses."""

    def __init__(self, name=None, max_seconds=MAX_SECONDS, ends_with_us=True):
        self.name = name or f"{os.getpid()}-{next(NUMBERS)}"
        self.folder = FOLDERS / (PREFIX + self.name)
        self.leader = None
        self._max_seconds = max_seconds
        self._ends_with_us = ends_with_us

    # --- life --------------------------------------------------------------------------------------------------------

    def up(self):
        """Boots; self. Unable where the machine has not what it takes."""
        obstacle = machine.find_obstacle()
        if obstacle:
            raise Unable(obstacle)
        sweep()
        (self.folder / "root").mkdir(parents=True)
        try:
            cgroup = machine.make_cgroup(self.folder.name)
        except OSError as error:
            self.down()
            raise Unable(f"no cgroup can be made: {error}") from None
        try:
            supervisor = self._spawn(cgroup)
            self._wait_boot(supervisor)
        except BaseException:
            self.down()
            raise
        return self

    def _spawn(self, cgroup):
        """Process 1, under an unshare that dies with it, under a timeout that ends both."""
        enter = 'echo 0 >"$0/cgroup.procs"; exec "$@"'
        bound = ["setpriv", "--pdeathsig", "KILL"]
        command = ["sh", "-c", enter, str(cgroup), *(bound if self._ends_with_us else ["setsid"])]
        command += ["timeout", "--signal=KILL", str(self._max_seconds), *bound, "unshare", "--mount", "--uts"]
        command += ["--ipc", "--pid", "--cgroup", "--net", "--fork", "--kill-child=KILL", str(BOOT)]
        with open(self.folder / "log", "wb") as log:
            process = subprocess.Popen(
                [*command, str(self.folder / "root")], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=ENVIRONMENT,
            )
        self._remember("supervisor", process.pid)
        return process

    def _remember(self, what, pid):
        """In one step: somebody else may be sweeping."""
        new = self.folder / f"{what}.new"
        new.write_text(f"{pid} {machine.start_time(pid)}\n")
        new.rename(self.folder / what)

    def _recall(self, what):
        """The process id that was remembered, while that process lives; else None."""
        try:
            pid, started = (self.folder / what).read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if str(machine.start_time(int(pid))) == started else None

    def _wait_boot(self, supervisor):
        deadline = time.monotonic() + BOOT_PATIENCE
        while not self._is_booted(supervisor.pid):
            status = supervisor.poll()
            words = (self.folder / "log").read_text(errors="replace").strip()
            if status == UNABLE or words.startswith("unshare:"):
                raise Unable(words)
            assert status is None, f"the box ended with {status}: {words}"
            assert time.monotonic() < deadline, f"the box does not boot: {words}"
            time.sleep(0.01)

    def _is_booted(self, supervisor):
        """timeout's child is unshare, and the child of that is process 1."""
        if self.leader is None:
            leaders = [child for pid in machine.children_of(supervisor) for child in machine.children_of(pid)]
            if not leaders or pathlib.Path(f"/proc/{leaders[0]}/comm").read_text() != "systemd\n":
                return False
            self.leader = leaders[0]
            self._remember("leader", self.leader)
        done = self.ctl("is-system-running", "--wait", check=False)
        return done.stdout.strip() in ("running", "degraded")

    def attach(self):
        """Finds a box that another process made; self, or None when it is not up."""
        self.leader = self._recall("leader")
        return self if self.leader else None

    def down(self):
        """Ends it and removes every trace; may be called twice."""
        leader, supervisor = self._recall("leader"), self._recall("supervisor")
        for pid in filter(None, (leader, supervisor)):
            os.kill(pid, signal.SIGKILL)
        self.leader = None
        deadline = time.monotonic() + PATIENCE
        while self._recall("leader") or self._recall("supervisor"):
            assert time.monotonic() < deadline, f"{self.name} does not end"
            time.sleep(0.005)
        root = machine.cgroup_root()
        if root and (root / self.folder.name).exists():
            machine.remove_cgroup(root / self.folder.name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()

    # --- commands ----------------------------------------------------------------------------------------------------

    def entered(self, command):
        """A command line that runs there. In its namespaces, and in no unit."""
        spaces = ["--mount", "--uts", "--ipc", "--pid", "--cgroup", "--net"]
        return ["nsenter", "--target", str(self.leader), *spaces, "--", *map(str, command)]

    def popen(self, *command, **popen):
        """Starts a command in no unit; a Popen."""
        popen = {"stdin": subprocess.DEVNULL, "env": ENVIRONMENT, "text": True, "cwd": "/", **popen}
        return subprocess.Popen(self.entered(command), **popen)

    def sh(self, *command, check=True, timeout=PATIENCE, **run):
        """Runs a command in no unit; a CompletedProcess with its words. With `check`, it must succeed."""
        run = {"text": True, "env": ENVIRONMENT, "cwd": "/", **run}
        if "input" not in run:
            run.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(self.entered(command), capture_output=True, timeout=timeout, check=False, **run)
        if check and done.returncode != 0:
            raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def ctl(self, *arguments, **sh):
        """systemctl."""
        return self.sh("systemctl", "--no-pager", *arguments, **sh)

    def as_unit(self, *command, unit=None, user=None, properties=()):
        """The command line that runs a command as a service, with its stdin, words and exit status."""
        line = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect"]
        line += [f"--unit={unit}"] if unit else []
        line += [f"--uid={user}"] if user is not None else []
        return [*line, *(f"--property={one}" for one in properties), "--", *command]

    def run(self, *command, unit=None, user=None, properties=(), **sh):
        """Runs a command as a service of its own: in a unit of this name, as this user."""
        return self.sh(*self.as_unit(*command, unit=unit, user=user, properties=properties), **sh)

    # --- files -------------------------------------------------------------------------------------------------------

    def path(self, path):
        """A path of the box as one of ours. Absolute symbolic links on the way lead to files of the machine."""
        return pathlib.Path(f"/proc/{self.leader}/root") / str(path).lstrip("/")

    def write(self, path, data, mode=0o644):
        """A file, and the folders above it."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())
        target.chmod(mode)

    def copy(self, source, path="/"):
        """A file of ours, or what is in a folder of ours."""
        source = pathlib.Path(source)
        if source.is_dir():
            shutil.copytree(source, self.path(path), dirs_exist_ok=True, symlinks=True)
        else:
            self.path(path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, self.path(path))

    # --- what happens ------------------------------------------------------------------------------------------------

    def show(self, unit, *properties):
        """Properties of a unit: the value of one, a dict of several."""
        lines = self.ctl("show", "--property=" + ",".join(properties), unit).stdout.splitlines()
        values = dict(line.split("=", 1) for line in lines)
        return values[properties[0]] if len(properties) == 1 else values

    def wait_show(self, unit, timeout=PATIENCE, **wanted):
        """Until these properties of a unit have these values; a value may be a function that says yes."""
        deadline = time.monotonic() + timeout
        while True:
            values = self.show(unit, "Id", *wanted)
            if all(want(values[name]) if callable(want) else values[name] == want for name, want in wanted.items()):
                return values
            assert time.monotonic() < deadline, f"{unit} has {values}; the journal: {self.words(unit)}"
            time.sleep(0.02)

    def mark(self):
        """Where the journal ends now, for `since=`. Not a cursor: journalctl 252 counts from there without the filter."""
        self.sh("journalctl", "--sync")
        last = json.loads(self.sh("journalctl", "--quiet", "--lines=1", "--output=json").stdout)
        next_one = int(last["__REALTIME_TIMESTAMP"]) + 1
        return f"@{next_one // 1_000_000}.{next_one % 1_000_000:06}"

    @staticmethod
    def _matches(since, fields):
        after = [f"--since={since}"] if since else []
        return ["--output=json", "--all", *after, *(f"{name}={value}" for name, value in fields.items())]

    def journal(self, since=None, **fields):
        """The entries with these fields, as dicts, all that was written so far among them."""
        self.sh("journalctl", "--sync")
        text = self.sh("journalctl", "--quiet", *self._matches(since, fields)).stdout
        return [{name: text_of(value) for name, value in json.loads(line).items()} for line in text.splitlines()]

    def wait_journal(self, since=None, timeout=PATIENCE, **fields):
        """The first entry with these fields, which may still have to come."""
        arguments = ["--quiet", "--follow", "--no-tail", *self._matches(since, fields)]
        with self.popen("journalctl", *arguments, stdout=subprocess.PIPE) as process:
            try:
                if select.select([process.stdout], [], [], timeout)[0]:
                    line = process.stdout.readline()
                    return {name: text_of(value) for name, value in json.loads(line).items()}
            finally:
                process.kill()
        raise AssertionError(f"no entry with {fields} in {timeout} s: {[e.get('MESSAGE') for e in self.journal(since)]}")

    def words(self, unit, since=None):
        """What a unit and systemd said of it, for people."""
        entries = [e for e in self.journal(since) if unit in (e.get("_SYSTEMD_UNIT"), e.get("UNIT"))]
        return "\n".join(e.get("MESSAGE") or "" for e in entries)


def sweep():
    """Removes what is left of boxes that were killed together with who made them."""
    for folder in FOLDERS.glob(PREFIX + "*"):
        box = Box(folder.name.removeprefix(PREFIX))
        # A folder without a word on its process is being set up at this moment.
        if (folder / "supervisor").exists() and not box._recall("supervisor"):
            box.down()
