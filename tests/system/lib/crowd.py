# SPDX-License-Identifier: MIT
"""Many callers: a crowd that asks the same thing at once, and a load that asks again and again.

    with Crowd(daemon, 1000) as crowd:
        crowd.ask("/v1/profiles/shop/token?wait=60")
        ...
        answers = crowd.answers()

    with Load(daemon, ["/v1/profiles/shop/token?wait=0"]) as load:
        ...
    assert load.failures == []
"""

import threading

from .http import read_answer, request_bytes
from .settings import PATIENCE


class Crowd:
    """So many open connections; a context manager that closes them."""

    def __init__(self, daemon, number):
        self.sockets = []
        try:
            for _ in range(number):
                self.sockets.append(daemon.connect())
        except OSError:
            self.close()
            raise

    def ask(self, target, method="GET", headers=(), body=b""):
        """Everybody sends this request."""
        data = request_bytes(target, method, headers, body)
        for sock in self.sockets:
            sock.sendall(data)

    def answers(self, method="GET"):
        """Everybody's next answer."""
        return [read_answer(sock, method) for sock in self.sockets]

    def close(self):
        for sock in self.sockets:
            sock.close()
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Load:
    """Threads with a kept connection each that ask for the targets in turn until the end of the `with` block.

    `failures` are the answers that were not 200, and what broke a connection; `answers` counts the good ones.
    """

    def __init__(self, daemon, targets, threads=3):
        self._daemon = daemon
        self._targets = targets
        self._is_over = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        self.answers = 0
        self.failures = []
        self.seen = {}  # generation to token

    def _run(self):
        try:
            with self._daemon.connection() as connection:
                while not self._is_over.is_set():
                    for target in self._targets:
                        self._note(target, connection.call("GET", target))
        except Exception as error:  # whatever it is, the test is to hear of it
            self.failures.append(error)

    def _note(self, target, answer):
        with self._changed:
            if answer.status != 200:
                self.failures.append((target, answer))
            else:
                self.answers += 1
                if answer.json.get("access_token"):
                    self.seen[answer.json["generation"]] = answer.json["access_token"]
            self._changed.notify_all()

    def wait_generation(self, generation):
        """Until somebody was handed this generation."""
        with self._changed:
            come = self._changed.wait_for(lambda: generation in self.seen or self.failures, PATIENCE)
        assert come and not self.failures, self.failures or f"nobody was handed generation {generation}"

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
