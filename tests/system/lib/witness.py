# SPDX-License-Identifier: MIT
"""A user that asks for tokens all the time and remembers every answer: a process of its own, to be heard afterwards.

    with Witness(daemon, ALICE, ["shop", "other"]) as alice:
        ...
    for answer in alice.testimony(): ...

Threads: /token and /headers on kept connections, both on one connection a request, for the profiles in turn; and a long
poll for each profile. All ask as soon as they are answered (a refused poll after a moment), so many times at most.
Needs root, and no account.
"""

import dataclasses
import json
import subprocess
import sys

from .settings import PATIENCE

REQUESTS_MAX = 20_000  # of a thread
POLLS_MAX = 10_000  # the same

SOURCE = r"""
import http.client, itertools, json, socket, sys, threading, time

path, patience, requests_max, polls_max = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
names = sys.argv[5:]
over = threading.Event()
found, numbers = [], {}  # header sets and tokens, each once

class Connection(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("localhost", timeout=patience)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(path)

def keep(kind, value):
    key = (kind, json.dumps(value, sort_keys=True))
    number = numbers.setdefault(key, len(numbers))
    return number

def ask(connection, target, headers):
    try:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers.get("ETag"), response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return repr(error), None, b""

def note(answers, profile, kind, began, status, tag, body):
    generation = int(tag[2:-1]) if tag else None
    handed = None
    if status == 200:
        value = json.loads(body)
        handed = keep("headers", value) if kind == "headers" else keep("token", value["access_token"])
    answers.append((profile, kind, began, time.monotonic(), status, generation, handed))
    return generation

def kept(answers, kind):
    connection = Connection()
    for profile in itertools.islice(itertools.cycle(names), requests_max):
        if over.is_set():
            return
        began = time.monotonic()
        note(answers, profile, kind, began, *ask(connection, f"/v1/profiles/{profile}/{kind}", {}))

def one_shot(answers):
    for i in range(requests_max):
        if over.is_set():
            return
        profile, kind = names[i // 2 % len(names)], ("token", "headers")[i % 2]
        connection, began = Connection(), time.monotonic()
        note(answers, profile, kind, began, *ask(connection, f"/v1/profiles/{profile}/{kind}", {"Connection": "close"}))
        connection.close()

def poll(answers, profile):
    connection, seen = Connection(), None
    for _ in range(polls_max):
        if over.is_set():
            return
        headers = {} if seen is None else {"If-None-Match": f'"g{seen}"'}
        target, began = f"/v1/profiles/{profile}/token" + ("?wait=1" if headers else ""), time.monotonic()
        answer = ask(connection, target, headers)
        generation = note(answers, profile, "poll", began, *answer)
        seen = seen if generation is None else generation
        if answer[0] == 404:
            over.wait(0.01)

told = [[] for _ in range(3 + len(names))]
threads = [threading.Thread(target=kept, args=(told[0], "token")),
           threading.Thread(target=kept, args=(told[1], "headers")),
           threading.Thread(target=one_shot, args=(told[2],))]
threads += [threading.Thread(target=poll, args=(told[3 + i], name)) for i, name in enumerate(names)]
for thread in threads:
    thread.start()
print("asking", flush=True)
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
json.dump({"told": told, "handed": [[kind, json.loads(value)] for kind, value in numbers]}, sys.stdout)
"""


@dataclasses.dataclass
class Told:
    """One answer: when it was asked for and when it was there (CLOCK_MONOTONIC), and what it was."""

    thread: str
    uid: int
    profile: str
    kind: str  # token, headers, poll
    began: float
    ended: float
    status: int  # or what broke the connection, in words
    generation: int
    handed: str  # ("token" or "headers", the value) as JSON


class Witness:
    """See above; a context manager, behind whose end testimony() is there."""

    def __init__(self, daemon, uid, profiles):
        self.uid = uid
        numbers = map(str, (PATIENCE, REQUESTS_MAX, POLLS_MAX))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", SOURCE, str(daemon.socket), *numbers, *profiles],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            user=uid,
            group=uid,
            extra_groups=[],
        )
        self._found = None
        assert self._process.stdout.readline() == "asking\n"

    def end(self):
        """Hears no more answers."""
        if self._found is None:
            text, _ = self._process.communicate(timeout=2 * PATIENCE)
            self._found = json.loads(text)

    def testimony(self):
        """All answers, thread by thread in their order."""
        handed = [json.dumps(one) for one in self._found["handed"]]
        for number, answers in enumerate(self._found["told"]):
            for *rest, index in answers:
                yield Told(f"{self.uid}/{number}", self.uid, *rest, None if index is None else handed[index])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
