# SPDX-License-Identifier: MIT
"""What the daemon says by itself: lines on stderr, and datagrams to the service manager. Each is read by a thread of
its own into a list, and a test waits until something it describes has come."""

import dataclasses
import os
import re
import socket
import threading
import time

from .settings import PATIENCE

LINE = re.compile(r"<([3-7])>(?:([a-z]+(?:-[a-z]+)*): )?(.*)")
EVENTS = (
    "started",
    "stopping",
    "token-fetched",
    "refresh-failed",
    "profile-failed",
    "recovered",
    "access-denied",
    "clock-skew",
    "client-dropped",
    "settings-problem",
    "key-fallback",
    "settings-reloaded",
    "reload-refused",
    "token-handout",
    "token-handouts",
    "access-denials",
    "token-rejected",
    "profile-idle",
)
ERROR, WARNING, NOTICE, INFO, DEBUG = 3, 4, 5, 6, 7


@dataclasses.dataclass
class Line:
    """One line of the log: `<LEVEL>event: message`."""

    raw: str
    level: int = None
    event: str = None
    message: str = ""


def parse_line(raw):
    """A Line; what is not of the form (a sanitizer's words) has no level."""
    match = LINE.fullmatch(raw)
    if not match:
        return Line(raw)
    level, event, message = int(match[1]), match[2], match[3]
    if event not in EVENTS:
        event, message = None, (f"{event}: " if event else "") + message
    return Line(raw, level, event, message)


class _Collector:
    """A list that a thread appends to and tests wait on."""

    def __init__(self):
        self.items = []
        self._changed = threading.Condition()
        self.is_over = False

    def add(self, item):
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def end(self):
        with self._changed:
            self.is_over = True
            self._changed.notify_all()

    def wait(self, is_met, what, since=0, count=1, timeout=PATIENCE):
        """The count-th item from index `since` on for which is_met() holds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = [item for item in self.items[since:] if is_met(item)]
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - time.monotonic()
                if left <= 0 or self.is_over:
                    why = "the daemon ended" if self.is_over else f"{timeout} s passed"
                    raise AssertionError(f"{what} did not come before {why}; there were: {self.items}")
                self._changed.wait(left)


class Log(_Collector):
    """The lines of a stream, until its end."""

    def __init__(self, stream):
        super().__init__()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream):
        with stream:
            for line in stream:
                self.add(parse_line(line.decode("utf-8", "backslashreplace").rstrip("\n")))
        self.end()

    def join(self):
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "somebody still holds the daemon's stderr"

    @property
    def text(self):
        return "".join(line.raw + "\n" for line in self.items)

    def mark(self):
        """Where the log ends now, for `since=`."""
        return len(self.items)

    def find(self, event=None, match=None, level=None, since=0):
        """The lines that there are of this description."""
        return [line for line in self.items[since:] if self._is_met(line, event, match, level)]

    def wait_for(self, event=None, match=None, level=None, since=0, count=1, timeout=PATIENCE):
        """The count-th line of this description, which may still have to come."""
        what = f"log line {event or ''} {match or ''}"
        return self.wait(lambda line: self._is_met(line, event, match, level), what, since, count, timeout)

    @staticmethod
    def _is_met(line, event, match, level):
        return (
            (event is None or line.event == event)
            and (match is None or re.search(match, line.message if line.level else line.raw) is not None)
            and (level is None or line.level == level)
        )


class Manager(_Collector):
    """The service manager's end of sd_notify(3)."""

    DRAINED = b"that was all"

    def __init__(self, folder):
        super().__init__()
        self._drained = threading.Semaphore(0)
        self.path = os.path.join(folder, "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while data := self._socket.recv(65536):
            if data == self.DRAINED:
                self._drained.release()
                continue
            fields = dict(line.split("=", 1) for line in data.decode("utf-8").splitlines())
            self.add(fields)

    def close(self):
        """Ends the thread by an empty datagram, after all that the daemon has sent."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self.path)
        self._thread.join(PATIENCE)
        self._socket.close()
        self.end()

    def drain(self):
        """Until all has been read that was sent before, also by a process that is no more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(self.DRAINED, self.path)
        assert self._drained.acquire(timeout=PATIENCE)

    def has(self, **fields):
        """Whether a message with these fields has come."""
        return any(fields.items() <= message.items() for message in list(self.items))

    def wait_for(self, since=0, count=1, timeout=PATIENCE, **fields):
        """The count-th message with these fields."""
        return self.wait(lambda message: fields.items() <= message.items(), f"{fields}", since, count, timeout)

    def wait_status(self, pattern, since=0, timeout=PATIENCE):
        """A message whose STATUS= matches."""
        return self.wait(
            lambda message: re.search(pattern, message.get("STATUS", "")), f"STATUS={pattern}", since, 1, timeout
        )

    @property
    def status(self):
        """The last STATUS=."""
        return next((message["STATUS"] for message in reversed(self.items) if "STATUS" in message), None)
