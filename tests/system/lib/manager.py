# SPDX-License-Identifier: MIT
"""A service manager as far as the daemon sees one: sockets that it listens on before the daemon and after it, and a
store of descriptors that outlives it (sd_notify(3), sd_listen_fds(3)).

    with ServiceManager(daemon, sockets=["bearerd.socket", "second"]) as manager:
        manager.start()                        # and waits for READY=1
        manager.end(signal.SIGKILL)
        manager.start()                        # with the same sockets, and what the daemon left in the store

Settings, keys and binaries are those of the `Daemon`, which is itself never started.
"""

import array
import contextlib
import fcntl
import os
import signal
import socket
import threading
import time

from .settings import PATIENCE
from .watch import parse_line

FIRST_FD = 3  # SD_LISTEN_FDS_START
HIGH_FD = 200  # above what the child gets
BACKLOG = 4096
DRAINED = b"that was all"

# The process id must be known before the program begins, and stays the same through exec.
SHELL = 'export LISTEN_PID=$$; exec "$@"'


class ServiceManager:
    """See above. `ends` are those so far: when the signal was sent and when it was over, on CLOCK_MONOTONIC."""

    def __init__(self, daemon, sockets=("bearerd.socket",), has_store=True):
        self.daemon = daemon
        self.has_store = has_store
        self.store = {}  # FDNAME to descriptors
        self.ends = []
        self.pid = None
        self.most_kept = 0
        self._changed = threading.Condition()
        self._is_ready = False
        self._drained = threading.Semaphore(0)
        self._log_path = daemon.folder / "manager.log"
        self._log = open(self._log_path, "ab")  # noqa: SIM115
        self._notify_path = str(daemon.folder / "notify")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(self._notify_path)
        self.paths = {name: daemon.run_folder / name for name in sockets}
        self._sockets = {name: self._listen(path) for name, path in self.paths.items()}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @staticmethod
    def _listen(path):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        sock.listen(BACKLOG)
        return sock

    # --- what the daemon says ----------------------------------------------------------------------------------------

    def _read(self):
        while True:
            data, ancillary, _, _ = self._notify.recvmsg(65536, socket.CMSG_SPACE(64))
            if not data:
                return
            if data == DRAINED:
                self._drained.release()
                continue
            fields = dict(line.split("=", 1) for line in data.decode().splitlines())
            fds = array.array("i")
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
            with self._changed:
                self._take(fields, list(fds))
                self._changed.notify_all()

    def _take(self, fields, fds):
        name = fields.get("FDNAME")
        if "FDSTORE" in fields and self.has_store:
            self.store.setdefault(name, []).extend(fds)
            fds = []
            self.most_kept = max(self.most_kept, sum(map(len, self.store.values())))
        if "FDSTOREREMOVE" in fields:
            fds += self.store.pop(name, [])
        for fd in fds:
            os.close(fd)
        self._is_ready = self._is_ready or fields.get("READY") == "1"

    def _drain(self):
        """Until all has been read that a process has sent that is no more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(DRAINED, self._notify_path)
        assert self._drained.acquire(timeout=PATIENCE), "the manager's thread has ended"

    def wait_ready(self):
        """Until READY=1."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not self._is_ready:
                ended = self.pid and os.waitpid(self.pid, os.WNOHANG)[0]
                assert not ended, f"it ended before it was ready: {self.text}"
                assert time.monotonic() < deadline, f"no READY=1: {self.text}"
                self._changed.wait(0.25)

    # --- its life ----------------------------------------------------------------------------------------------------

    def _passed(self):
        with self._changed:
            kept = [(name, fd) for name, fds in self.store.items() for fd in fds]
        return [(name, sock.fileno()) for name, sock in self._sockets.items()] + kept

    def start(self, wait=True):
        """A new process, with all sockets and all that is in the store."""
        assert self.pid is None, "it runs already"
        self._is_ready = False
        passed = self._passed()
        environment = self.daemon.own_environment() | {
            "NOTIFY_SOCKET": self._notify_path,
            "LISTEN_FDS": str(len(passed)),
            "LISTEN_FDNAMES": ":".join(name for name, _ in passed),
        }
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD) for _, fd in passed]
        # The log first: its own number may be one of those that the daemon gets.
        actions = [(os.POSIX_SPAWN_DUP2, self._log.fileno(), 2)]
        actions += [(os.POSIX_SPAWN_DUP2, copy, FIRST_FD + i) for i, copy in enumerate(copies)]
        command = ["/bin/sh", "-c", SHELL, "sh", *self.daemon.command("--config", self.daemon.config)]
        self.pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
        for copy in copies:
            os.close(copy)
        if wait:
            self.wait_ready()
        return self

    def end(self, number=signal.SIGTERM):
        """End it; its exit status (negative: the signal)."""
        began = time.monotonic()
        os.kill(self.pid, number)
        status = self.wait_end()
        self.ends.append((began, time.monotonic()))
        return status

    def wait_end(self):
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        self._drain()
        return os.waitstatus_to_exitcode(status)

    @property
    def text(self):
        """What all processes have said."""
        return self._log_path.read_text(errors="replace")

    @property
    def lines(self):
        return [parse_line(line) for line in self.text.splitlines()]

    def close(self):
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = None
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self._notify_path)
        self._thread.join(PATIENCE)
        for fds in self.store.values():
            for fd in fds:
                os.close(fd)
        for sock in [self._notify, self._log, *self._sockets.values()]:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is not None:
                print(f"--- log of the daemons in {self.daemon.folder}\n{self.text[-20000:]}")
        finally:
            self.close()
