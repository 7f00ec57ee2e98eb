# SPDX-License-Identifier: MIT
"""Callers that ask again and again while the daemon ends and starts: threads of one process in a unit of the box.

    with Callers(box, {"/v1/profiles/shop/token": 200}) as callers:
        callers.say("kill")         # the next thing is a SIGKILL
        ...
        callers.say("over")         # that process is no more
        callers.say("restart")      # an orderly end comes
        ...
        callers.say("over")
        callers.say("calm")         # returns when nobody waits for an answer to a request that was sent a second time, and
                                    # all tokens are good for some seconds
        callers.say("served")       # returns when some have been answered from now on
    callers.result["requests"] ...

Every second one keeps its connection, the others make one for each request. What counts as failed:

refused   connect() did not succeed
lost      a connection broke under a request, or took none, and no end explains it that came after the connection was made or
          brought its last answer: SIGKILL, or, for a kept connection that took not one byte of the next request, any end.
          Or SIGKILL had broken an attempt at that request before.
bad       another status than was expected, or a token that is older than what the same caller had before

The excuse of a kept connection that took nothing: its request has not reached anybody, the server had closed the connection
meanwhile, as it may at any time (RFC 9112, 9.5). All of them are counted: "again" after SIGKILL, "unsent" after an orderly end.
"""

import json
import subprocess

from .box import PATIENCE
from .service import SOCKET

# Seconds. Interruptions in a row, each followed by a longer distance to the next request, could outlive a short token; so could
# a machine that stands still between the look and the end. Tokens that are refreshed in time have more left.
ENOUGH = 3.5

# Answers each line on standard input with one. No answer is waited for longer than PATIENCE.
SOURCE = """
import http.client, json, random, select, socket, sys, threading, time
wanted, n_callers, seed = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
lock = threading.Condition()
over = threading.Event()
# How many ends were announced, and how many of these have come: of any kind, by SIGKILL.
announced, come = [0, 0], [0, 0]
n_again = 0
# Until when the newest token is good that was seen of each target.
good_until = {target: 0 for target in wanted if wanted[target] == 200}
result = {"requests": 0, "again": 0, "unsent": 0, "refused": [], "lost": [], "bad": []}

class Unsent(Exception):
    pass

class Connection(http.client.HTTPConnection):
    # `since`: the ends that came before this connection was made, or before its last request that was answered.
    def connect(self):
        with lock:
            self.since, self.has_answered = list(come), False
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
            lock.notify_all()
        else:
            result[what].append(text)

def is_closed(connection):
    # What every client looks at before it sends something on a connection that it has kept.
    return connection.sock is not None and select.select([connection.sock], [], [], 0)[0] != []

def ask(connection, target):
    if is_closed(connection):
        connection.close()
    if connection.sock is None:
        connection.connect()
    with lock:
        since = list(come)
    try:
        connection.sock.sendall(f"GET {target} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n".encode())
    except (BrokenPipeError, ConnectionResetError):
        raise Unsent("took no request") from None
    answer = http.client.HTTPResponse(connection.sock, method="GET")
    answer.begin()
    body = answer.read()
    connection.since, connection.has_answered = since, True
    if answer.will_close:
        connection.close()
    return answer.status, body

def excuse(connection, error):
    # What the failure is counted as, when an end explains it.
    with lock:
        if announced[1] > connection.since[1]:
            return "again"
        if isinstance(error, Unsent) and connection.has_answered and announced[0] > connection.since[0]:
            return "unsent"
    return None

def count_again(by):
    global n_again
    with lock:
        n_again += by
        lock.notify_all()

def exchange(connection, target):
    is_second = False
    try:
        while True:
            try:
                return ask(connection, target)
            except (Unsent, OSError, http.client.HTTPException) as error:
                connection.close()
                what = excuse(connection, error)
                if not what or (what == "again" and is_second):
                    note("lost", f"{target}: {error!r}, second time: {is_second}, excuse: {what}")
                    return None
            note(what)
            if what == "again":
                is_second = True
                count_again(1)
    finally:
        if is_second:
            count_again(-1)

def check(target, seen, status, body):
    if status != wanted[target]:
        note("bad", f"{target}: {status} {body.decode(errors='replace')}")
    if status != 200:
        return
    value = json.loads(body)
    now = (value["generation"], value["access_token"])
    before = seen.setdefault(target, now)
    if now[0] < before[0] or (now[0] == before[0]) != (now[1] == before[1]):
        note("bad", f"{target}: generation {now[0]} after {before[0]}")
    seen[target] = now
    with lock:
        good_until[target] = max(good_until[target], time.monotonic() + value["expires_in"])
        lock.notify_all()

def call(number):
    connection, seen, dice = Connection("localhost"), {}, random.Random(seed + number)
    while not over.wait(dice.uniform(0, 0.02)):
        for target in wanted:
            answer = exchange(connection, target)
            if number % 2:
                connection.close()
            if answer:
                note("requests")
                check(target, seen, *answer)
    connection.close()

def run(number):
    try:
        call(number)
    except Exception as error:
        note("lost", f"a caller gave up: {error!r}")

def obey(word):
    with lock:
        if word == "calm":
            if not lock.wait_for(lambda: n_again == 0 and min(good_until.values()) > time.monotonic() + ENOUGH, TIMEOUT):
                result["lost"].append(f"{n_again} wait for an answer to a second request; {good_until}")
        elif word == "served":
            enough = result["requests"] + n_callers
            if not lock.wait_for(lambda: result["requests"] >= enough, TIMEOUT):
                result["lost"].append("nobody is served")
        elif word == "over":
            come[:] = announced
        else:
            announced[0] += 1
            announced[1] += word == "kill"

threads = [threading.Thread(target=run, args=[number], daemon=True) for number in range(n_callers)]
for thread in threads:
    thread.start()
for line in sys.stdin:
    obey(line.strip())
    with lock:
        n_failed = sum(len(result[name]) for name in ("refused", "lost", "bad"))
    print(n_failed, flush=True)
over.set()
for thread in threads:
    thread.join(TIMEOUT)
    if thread.is_alive():
        note("lost", "a caller still waits")
print(json.dumps(result), flush=True)
""".replace("TIMEOUT", str(PATIENCE)).replace("ENOUGH", str(ENOUGH)).replace("SOCKET)", f"{SOCKET!r})")


class Callers:
    """See above; a context manager. `wanted`: the status that each target is to be answered with. `result` is there at the end."""

    def __init__(self, box, wanted, seed, number=32, user="www-data", unit="web.service"):
        command = ["/usr/bin/python3", "-I", "-c", SOURCE, json.dumps(wanted), number, seed]
        line = box.as_unit(*command, unit=unit, user=user, properties=["SupplementaryGroups=bearerd"])
        self._process = box.popen(*line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.result = None

    def say(self, word):
        """Returns when it was heard; the number of failures so far."""
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._process.stdin.close()
            text = self._process.stdout.readline()
            if text:
                self.result = json.loads(text)
        finally:
            self._process.stdout.close()
            self._process.wait(PATIENCE)
