# SPDX-License-Identifier: MIT
"""Applications that ask for a token all the time while packages come and go: threads of one process in a unit of a box.

Each request has a connection of its own, so that nothing excuses a failure: not connect(), not a broken connection, not another
status than 200. (Connections that are kept are a matter of tests/systemd.)
"""

import json
import subprocess

from boxlib.box import PATIENCE
from shop import SOCKET

USER = "www-data"
N_ASKERS = 16

# Answers each line on standard input when every thread was answered to a request that it made since then.
SOURCE = """
import http.client, json, socket, sys, threading
n_askers = int(sys.argv[1])
lock = threading.Condition()
over = threading.Event()
n_lines, answered = 0, {}
result = {"n_answers": 0, "failures": [], "tokens": []}

def ask():
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(PATH)
        sock.sendall(b"GET /v1/profiles/shop/token HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status, json.loads(answer.read())

def go_on(number):
    while not over.is_set():
        with lock:
            line = n_lines
        try:
            status, body = ask()
            token = body.get("access_token")
            failure = None if status == 200 else f"{status}: {body}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure = repr(error)
        with lock:
            if failure:
                result["failures"].append(failure)
            elif token not in result["tokens"]:
                result["tokens"].append(token)
            result["n_answers"] += not failure
            answered[number] = line
            lock.notify_all()
        over.wait(0.005)

threads = [threading.Thread(target=go_on, args=[number]) for number in range(n_askers)]
for thread in threads:
    thread.start()
for line in sys.stdin:
    with lock:
        n_lines += 1
        lock.wait_for(lambda: len(answered) == n_askers and min(answered.values()) >= n_lines)
    print("ok", flush=True)
over.set()
for thread in threads:
    thread.join()
print(json.dumps(result), flush=True)
""".replace("TIMEOUT", str(PATIENCE)).replace("PATH", repr(SOCKET))


class Askers:
    """See above; a context manager that checks at its end that nobody failed."""

    def __init__(self, box):
        line = box.as_unit(
            "/usr/bin/python3", "-I", "-c", SOURCE, N_ASKERS, unit="web.service", user=USER,
            properties=["SupplementaryGroups=bearerd"],
        )
        self._process = box.popen(*line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.tokens = None

    def wait_all(self):
        """Until everybody was answered again."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ok\n"

    def __enter__(self):
        self.wait_all()
        return self

    def __exit__(self, kind, *_):
        try:
            self._process.stdin.close()
            text = self._process.stdout.readline()
        finally:
            self._process.stdout.close()
            self._process.wait(PATIENCE)
        if kind is None:
            result = json.loads(text)
            assert result["failures"] == []
            assert result["n_answers"] >= N_ASKERS
            self.tokens = result["tokens"]
