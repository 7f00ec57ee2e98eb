# SPDX-License-Identifier: MIT
"""What arrived: counters for each client, a bounded log of requests, and waiting until something has arrived.

Times are CLOCK_MONOTONIC seconds, comparable with `time.monotonic()` of a test on the same machine.
An answer is counted before its bytes are sent: who has seen an answer finds it in the counters.
"""

import asyncio
import collections
import json
import time

LOG_MAX = 10_000  # requests
UNREGISTERED_MAX = 100_000  # distinct client_id with counters of their own

SECRET_HEADERS = {"client_secret", "ocp-apim-subscription-key", "authorization"}


class Counters:
    """What is counted for one client, and for all together."""

    def __init__(self):
        self.requests = 0  # token requests that arrived
        self.ok = 0  # answered 2xx, whole
        self.issued = 0  # answers that carried a token
        self.errors = collections.Counter()  # by status, or by the fault that broke the answer, or "gone"
        self.faulted = 0  # met by a fault rule
        self.in_flight = 0  # token requests that arrived and have no answer yet
        self.max_in_flight = 0
        self.connections = set()  # numbers of the connections used
        self.api_calls = 0
        self.api_ok = 0
        self.first_at = None
        self.last_at = None
        self.last_request = None

    def as_json(self):
        """As `GET /stats` shows it."""
        return {
            "requests": self.requests,
            "ok": self.ok,
            "issued": self.issued,
            "errors": dict(self.errors),
            "faulted": self.faulted,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "connections": len(self.connections),
            "api_calls": self.api_calls,
            "api_ok": self.api_ok,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "last_request": self.last_request and described(self.last_request),
        }


def described(request):
    """A request without its secrets."""
    return {
        "method": request.method,
        "target": request.target,
        "header_names": [name for name, _ in request.headers],
        "headers": {name: value for name, value in request.headers if name.lower() not in SECRET_HEADERS},
    }


class Entry:
    """One request in the log, from its arrival to its end."""

    __slots__ = (
        "serial", "client_id", "request", "connection", "listener", "at", "epoch", "is_token", "status", "counters",
    )  # fmt: skip

    def as_json(self):
        """As `GET /requests` shows it, secrets included: they are made up."""
        return {
            "serial": self.serial,
            "client_id": self.client_id,
            "method": self.request.method,
            "path": self.request.path,
            "target": self.request.target,
            "headers": dict(self.request.headers),
            "body": self.request.body.decode("utf-8", "replace"),
            "connection": self.connection,
            "listener": self.listener,
            "at": self.at,
            "epoch": self.epoch,
            "is_token_request": self.is_token,
            "status": self.status,
        }


class Record:
    """All of it."""

    def __init__(self, log_file=None):
        self._log_file = log_file
        self._waiters = collections.defaultdict(set)  # client_id (None: all) to futures woken at any change
        self.clear()

    def clear(self):
        """Forget everything, except that serials go on: `since` of a test stays meaningful."""
        self.total = Counters()
        self._by_client = {}
        self._log = collections.deque(maxlen=LOG_MAX)
        self.serial = getattr(self, "serial", 0)

    def counters(self, client_id):
        """Counters of one client; None: of all together. Empty ones when nothing came."""
        return self.total if client_id is None else self._by_client.get(client_id) or Counters()

    def client_ids(self):
        """Everybody who has counters."""
        return list(self._by_client)

    def arrived(self, connection, request, client_id, is_token):
        """A request was read; the Entry to report its answer on."""
        self.serial += 1
        entry = Entry()
        entry.serial, entry.client_id, entry.request = self.serial, client_id, request
        entry.connection, entry.listener = connection.number, connection.listener.name
        entry.at, entry.epoch = time.monotonic(), time.time()
        entry.is_token, entry.status = is_token, None
        entry.counters = [self.total]
        if client_id is not None and (client_id in self._by_client or len(self._by_client) < UNREGISTERED_MAX):
            entry.counters.append(self._by_client.setdefault(client_id, Counters()))
        self._log.append(entry)
        for counters in entry.counters:
            self._count_arrival(counters, entry)
        if self._log_file:
            self._log_file.write(json.dumps(entry.as_json()) + "\n")
            self._log_file.flush()
        self.changed(client_id)
        return entry

    @staticmethod
    def _count_arrival(counters, entry):
        counters.connections.add(entry.connection)
        if not entry.is_token:
            counters.api_calls += 1
            return
        counters.requests += 1
        counters.in_flight += 1
        counters.max_in_flight = max(counters.max_in_flight, counters.in_flight)
        counters.first_at = counters.first_at if counters.first_at is not None else entry.at
        counters.last_at = entry.at
        counters.last_request = entry.request

    def met_fault(self, entry):
        """A fault rule took the request."""
        for counters in entry.counters:
            counters.faulted += 1

    def answered(self, entry, outcome, with_token):
        """The answer is about to be sent: outcome is its status, or the name of the fault that breaks it."""
        if entry.status is not None:
            return
        entry.status = outcome
        is_ok = isinstance(outcome, int) and 200 <= outcome < 300
        for counters in entry.counters:
            if not entry.is_token:
                counters.api_ok += is_ok
                continue
            counters.in_flight -= 1
            counters.ok += is_ok
            counters.issued += with_token
            if not is_ok:
                counters.errors[str(outcome)] += 1
        self.changed(entry.client_id)

    def requests(self, client_id=None, since=0):
        """Log entries after serial `since`, oldest first."""
        return [e for e in self._log if e.serial > since and client_id in (None, e.client_id)]

    # --- waiting -------------------------------------------------------------------------------------------------

    def changed(self, client_id):
        """Wake whoever waits for this client, or for all together."""
        for key in {client_id, None}:
            for future in self._waiters.get(key, ()):
                if not future.done():
                    future.set_result(None)

    async def wait(self, client_id, is_met, timeout):
        """Wait until `is_met()`; whether it was within `timeout` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not is_met():
            future = loop.create_future()
            self._waiters[client_id].add(future)
            try:
                await asyncio.wait((future,), timeout=deadline - loop.time())
            finally:
                self._waiters[client_id].discard(future)
            if not future.done():
                return is_met()
        return True
