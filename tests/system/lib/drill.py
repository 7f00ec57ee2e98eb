# SPDX-License-Identifier: MIT
"""Clients that go on through restarts, each request accounted for.

An answer is 200 with a token, or the request failed. Only a connection that SIGKILL broke may be the reason to send a
request a second time. A kept connection that the daemon has ended in order may turn out closed before a byte of the
next request could be written; that request was not sent yet.
"""

import collections
import json
import random
import socket
import threading
import time

from .http import request_bytes
from .settings import PATIENCE

# How long a daemon that stops waits for the next request on a kept connection, at least (KEPT_CALL_FOR of connection.h).
KEPT_CALL_FOR = 0.25


class Broken(Exception):
    """The connection ended behind a request, before its answer was whole."""


class Unsent(Exception):
    """The connection was closed before the request could be written: nobody has read it."""


class Client(threading.Thread):
    """One thread, one request after another until `drill.is_over`."""

    def __init__(self, drill, number):
        super().__init__(daemon=True)
        self._drill = drill
        self._random = random.Random(number)
        self._is_keeping = number % 2 == 0
        self._sock = None
        self._has_answered = False  # the connection has brought an answer before
        self._kills = 0  # over before the connection was made
        self._sent_at = 0
        self._generations = collections.defaultdict(int)
        self.counts = collections.Counter()
        self.failures = []

    def run(self):
        try:
            while not self._drill.is_over.is_set():
                self._request(self._random.choice(self._drill.targets))
        except Exception as error:  # whatever it is, the test is to hear of it
            self.failures.append(repr(error))
        finally:
            self._close()

    # --- one request -------------------------------------------------------------------------------------------------

    def _request(self, target):
        while True:
            try:
                self._note(target, self._ask(target))
                self.counts["answered"] += 1
                return
            except Unsent:
                # A client that has just connected could not know, and must not see that.
                assert self._has_answered, f"{target}: the daemon let in a client and left it"
                paused_for = time.monotonic() - self._sent_at
                assert paused_for >= KEPT_CALL_FOR, f"{target}: the daemon left a client {paused_for} s behind its request"
                self._close()
                self.counts["unsent"] += 1
                return
            except Broken as error:
                # Each connection has a kill of its own to blame: one that was not over when it was made.
                assert self._kills < self._drill.n_kills, f"{target}: broken, and nobody was killed: {error}"
                self._close()
                self.counts["broken"] += 1

    def _ask(self, target):
        if self._sock is None:
            self._connect()
        sent_at = time.monotonic()
        try:
            self._sock.sendall(request_bytes(target, headers=() if self._is_keeping else ("Connection: close",)))
        except (BrokenPipeError, ConnectionResetError) as error:
            if self._kills < self._drill.n_kills:
                raise Broken(error) from None
            raise Unsent from None
        self._sent_at = sent_at
        answer, is_last = self._read()
        self._has_answered = True
        if is_last:
            self._close()
        return answer

    def _connect(self):
        self._kills = self._drill.n_killed
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        sock.connect(str(self._random.choice(self._drill.paths)))
        self._sock, self._has_answered = sock, False

    def _close(self):
        if self._sock is not None:
            self._sock.close()
        self._sock = None

    def _read(self):
        data = b""
        while True:
            head, end, body = data.partition(b"\r\n\r\n")
            if end:
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
                if len(body) == int(fields[b"content-length"]):
                    return (int(head.split(b" ", 2)[1]), body), fields.get(b"connection") == b"close"
            try:
                part = self._sock.recv(65536)
            except ConnectionResetError as error:
                raise Broken(error) from None
            if not part:
                raise Broken(f"end of stream after {data!r}")
            data += part

    def _note(self, target, answer):
        status, body = answer
        assert status == 200, f"{target}: {status} {body!r}"
        token = json.loads(body)
        name, generation = token["profile"], token["generation"]
        assert generation >= self._generations[name], f"{name}: generation {generation} after {self._generations[name]}"
        self._generations[name] = generation
        self._drill.note_token(name, generation, token["fingerprint"], token["expires_in"])


class Drill:
    """So many clients at these sockets; a context manager. `n_kills` is counted up before each SIGKILL, and `n_killed`
    when it is over: who connects in between may be broken by it."""

    def __init__(self, paths, profiles, number):
        self.paths = list(paths)
        self.targets = [f"/v1/profiles/{name}/token" for name in profiles]
        self.is_over = threading.Event()
        self.n_kills = 0
        self.n_killed = 0
        self.tokens = {}  # (profile, generation) to fingerprint
        self._good_until = dict.fromkeys(profiles, 0)  # the newest tokens
        self._clients = [Client(self, i) for i in range(number)]

    def note_token(self, name, generation, fingerprint, left):
        """No generation is ever told of two tokens."""
        self._good_until[name] = max(self._good_until[name], time.monotonic() + left)
        known = self.tokens.setdefault((name, generation), fingerprint)
        assert known == fingerprint, f"{name}: generation {generation} is {known} and {fingerprint}"

    def wait_good(self, left):
        """Until clients have seen that all tokens are good for so many seconds."""
        deadline = time.monotonic() + PATIENCE
        while min(self._good_until.values()) < time.monotonic() + left:
            assert not self.failures, self.failures
            assert time.monotonic() < deadline, self._good_until
            time.sleep(0.005)

    def generations(self, name):
        """All that were seen of a profile."""
        return [generation for profile, generation in self.tokens if profile == name]

    @property
    def failures(self):
        return [failure for client in self._clients for failure in client.failures]

    @property
    def counts(self):
        return sum((client.counts for client in self._clients), collections.Counter())

    def __enter__(self):
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for client in self._clients:
            client.join(PATIENCE)
