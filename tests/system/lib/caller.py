# SPDX-License-Identifier: MIT
"""A caller with another uid, gid and groups: a child process that sends requests and hands the answers back.

Needs root. The ids need no entry in /etc/passwd: the daemon asks the kernel, and the kernel knows numbers only.
"""

import json
import subprocess
import sys

from .http import Metrics, parse_answer, request_bytes
from .settings import PATIENCE

# Reads {"data": hex} a line, sends it on a connection of its own, answers {"data": hex} with all that came back.
SOURCE = """
import json, socket, sys
for line in sys.stdin:
    question, received = json.loads(line), bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(question["timeout"])
            sock.connect(question["socket"])
            sock.sendall(bytes.fromhex(question["data"]))
            while part := sock.recv(65536):
                received += part
        answer = {"data": received.hex()}
    except OSError as error:
        answer = {"error": type(error).__name__}
    print(json.dumps(answer), flush=True)
"""


class Caller:
    """One such process; a context manager."""

    def __init__(self, daemon, uid, gid=None, groups=()):
        self._daemon = daemon
        self.uid = uid
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", SOURCE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            user=uid,
            group=uid if gid is None else gid,
            extra_groups=list(groups),
        )

    @property
    def pid(self):
        return self._process.pid

    def exchange(self, data):
        """Bytes out, bytes in until the daemon closes. Raises PermissionError when it may not connect."""
        question = {"socket": str(self._daemon.socket), "data": data.hex(), "timeout": PATIENCE}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise {"PermissionError": PermissionError}.get(answer["error"], OSError)(answer["error"])
        return bytes.fromhex(answer["data"])

    def raw(self, method, target, body=b""):
        """The bytes of the answer to one request."""
        return self.exchange(request_bytes(target, method, ["Connection: close"], body))

    def call(self, method, target, body=b""):
        """One request; an Answer."""
        return parse_answer(self.raw(method, target, body), method)

    def get(self, target):
        return self.call("GET", target)

    def metrics(self):
        return Metrics(self.get("/metrics").text)

    def close(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
