# SPDX-License-Identifier: MIT
"""Callers that ask again and again while the daemon is restarted: threads of one process in a unit of the box.

    with Callers(box, ["/v1/profiles/shop/token"]) as callers:
        callers.say("killing")      # from here on a connection may break under a request
        ...
        callers.say("settle")       # everybody was answered since, so that no connection is of an earlier process
    callers.result["requests"] ...

Every second one keeps its connection, the others make one for each request. What counts as failed:

refused   connect() did not succeed
lost      a request went out whole, no answer came, and no process was killed; or the second attempt was lost as well
bad       an answer other than 200, or one that is older than what the same caller had before

A request that could not be sent whole, on a connection that was kept, has not reached anybody: the daemon had closed it
meanwhile, as it may at any time (RFC 9112, 9.5). The caller makes another connection.
"""

import json
import subprocess

from .box import PATIENCE
from .service import SOCKET

# Answers each line on standard input with one. No answer is waited for longer than PATIENCE.
SOURCE = """
import http.client, json, random, socket, sys, threading
targets, n_callers = sys.argv[1:-1], int(sys.argv[-1])
lock = threading.Condition()
over = threading.Event()
killing, n_mark, settled = False, 0, {}
result = {"requests": 0, "again": 0, "unsent": 0, "refused": [], "lost": [], "bad": []}

class Unsent(Exception):
    pass

class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        try:
            self.sock.connect(SOCKET)
        except OSError as error:
            note("refused", repr(error))
            raise

def note(what, text=None):
    with lock:
        if text is None:
            result[what] += 1
        else:
            result[what].append(text)

def ask(connection, target):
    if connection.sock is None:
        connection.connect()
    try:
        connection.sock.sendall(f"GET {target} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n".encode())
    except (BrokenPipeError, ConnectionResetError):
        raise Unsent from None
    answer = http.client.HTTPResponse(connection.sock, method="GET")
    answer.begin()
    body = answer.read()
    if answer.will_close:
        connection.close()
    return answer.status, body

def exchange(connection, target):
    is_again = False
    while True:
        was_kept = connection.sock is not None
        with lock:
            may_break = killing
        try:
            return ask(connection, target)
        except Unsent:
            connection.close()
            note("unsent")
            with lock:
                may_break = may_break or killing
            if not was_kept and not may_break:
                note("lost", f"{target}: a new connection took no request")
                return None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            with lock:
                may_break = may_break or killing
            if is_again or not may_break:
                note("lost", f"{target}: {error!r}, again: {is_again}")
                return None
            note("again")
            is_again = True

def call(number):
    connection, seen = Connection("localhost"), {}
    while not over.wait(random.uniform(0, 0.02)):
        with lock:
            mark = n_mark
        for target in targets:
            answer = exchange(connection, target)
            if number % 2:
                connection.close()
            if answer is None:
                continue
            note("requests")
            status, body = answer
            value = json.loads(body)
            now = (value.get("generation"), value.get("access_token"))
            before = seen.get(target, now)
            if status != 200 or now[0] < before[0] or (now[0] == before[0]) != (now[1] == before[1]):
                note("bad", f"{target}: {status} generation {now[0]} after {before[0]}")
            seen[target] = now
        with lock:
            settled[number] = mark
            lock.notify_all()
    connection.close()

threads = [threading.Thread(target=call, args=[number], daemon=True) for number in range(n_callers)]
for thread in threads:
    thread.start()
for line in sys.stdin:
    with lock:
        if line == "killing\\n":
            killing = True
        else:
            n_mark += 1
            if not lock.wait_for(lambda: all(settled.get(n, -1) >= n_mark for n in range(n_callers)), TIMEOUT):
                note("lost", f"somebody waits: {settled}, {n_mark}")
            killing = False
    print("ok", flush=True)
over.set()
for thread in threads:
    thread.join(TIMEOUT)
print(json.dumps(result), flush=True)
""".replace("TIMEOUT", str(PATIENCE)).replace("SOCKET)", f"{SOCKET!r})")


class Callers:
    """See above; a context manager. `result` is there after its end."""

    def __init__(self, box, targets, number=32, user="www-data", unit="web.service"):
        command = ["/usr/bin/python3", "-I", "-c", SOURCE, *targets, number]
        line = box.as_unit(*command, unit=unit, user=user, properties=["SupplementaryGroups=bearerd"])
        self._process = box.popen(*line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.result = None

    def say(self, word):
        """Returns when it has happened."""
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer == "ok\n", answer

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self._process.stdin.close()
            text = self._process.stdout.readline()
            if kind is None:
                self.result = json.loads(text)
        finally:
            self._process.stdout.close()
            self._process.wait(PATIENCE)
