# SPDX-License-Identifier: MIT
"""bearerctl as its users meet it: the real program against a small daemon made for each test.

The daemon here says whatever a test wants, nonsense among it. Nothing sleeps: who must wait, waits for an event.
The fixtures are for the test files to import: bearerctl, environment, folder, run, serve.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

LONG = "vipps answered 401: Access denied due to invalid subscription key; are these keys for the other environment?"
TOKEN = "eyJ0eXAiOiJKV1QifQ.c2VjcmV0LXRva2Vu.U2lnbmF0dXJl-_"
NOBODY = 65534

# A call that hangs is a failure of its own, far above any limit that bearerctl keeps.
PATIENCE = 60

HANG_UP = object()  # close without another byte
SILENCE = object()  # say nothing until the test is over


def rfc3339(seconds_from_now):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds_from_now))


def response(status, body, content_type, *headers):
    body = body if isinstance(body, bytes) else body.encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer(value, status=200):
    return response(status, json.dumps(value), "application/json")


def text(lines):
    return response(200, lines, "text/plain; charset=utf-8")


def problem(status, detail, *headers, **members):
    body = {"type": "about:blank", "title": "Problem", "status": status, "detail": detail, **members}
    return response(status, json.dumps(body), "application/problem+json", *headers)


def token_body(**members):
    return {
        "access_token": TOKEN, "token_type": "Bearer", "expires_in": 3000, "expires_at": rfc3339(3000),
        "issued_at": rfc3339(-600), "next_refresh_at": rfc3339(1200), "generation": 1,
        "fingerprint": "0123456789abcdef", "profile": "shop", **members}


def status_body(name="shop", state="fresh", **members):
    has_token = state in ("fresh", "refreshing", "stale")
    return {
        "name": name, "description": None, "provider": "vipps", "state": state, "generation": 1 if has_token else 0,
        "issued_at": rfc3339(-1800) if has_token else None, "expires_at": rfc3339(1800) if has_token else None,
        "expires_in": 1800 if has_token else None, "next_refresh_at": rfc3339(630),
        "fingerprint": "0123456789abcdef" if has_token else None, "consecutive_failures": 0, "last_error": None,
        **members}


def last_error(message, **members):
    return {"at": rfc3339(-120), "reason": "invalid-keys", "http_status": 401, "message": message, **members}


class Request:
    def __init__(self, head):
        line, *headers = head.decode().split("\r\n")
        self.method, self.target, _ = line.split(" ")
        self.path = self.target.partition("?")[0]
        self.query = dict(pair.split("=") for pair in self.target.partition("?")[2].split("&") if pair)
        self.headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in headers)}
        self.size = int(self.headers.get("content-length", 0))
        self.body = b""


class FakeDaemon:
    """Listens at .path. Answers with what reply(request) returns: bytes, an iterable of bytes, HANG_UP or SILENCE."""

    def __init__(self, path, reply):
        self.path = str(path)
        self.reply = reply
        self.requests = []
        self.over = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.over.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    more = connection.recv(65536)
                    if not more:
                        return
                    pending += more
                head, _, pending = pending.partition(b"\r\n\r\n")
                request = Request(head)
                while len(pending) < request.size:
                    pending += connection.recv(65536) or b"\0" * request.size
                request.body, pending = pending[: request.size], pending[request.size :]
                self.requests.append(request)
                reply = self.reply(request)
                if reply is HANG_UP:
                    return
                if reply is SILENCE:
                    self.over.wait(PATIENCE)
                    return
                if isinstance(reply, bytes):
                    connection.sendall(reply)
                    continue
                for piece in reply:
                    connection.sendall(piece)
                return


@pytest.fixture(scope="session")
def bearerctl():
    path = os.environ.get("BEARERCTL") or Path(__file__).parents[3] / "build" / "client" / "bearerctl"
    return str(Path(path).resolve(strict=True))


@pytest.fixture
def folder():
    # Not tmp_path: that can be longer than a socket's path may be.
    path = Path(tempfile.mkdtemp(prefix="ctl"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def serve(folder):
    daemons = []

    def start(reply):
        daemons.append(FakeDaemon(folder / "s", reply if callable(reply) else lambda request: reply))
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.close()


@pytest.fixture
def environment():
    keep = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS") if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **keep}


@pytest.fixture
def run(bearerctl, environment, folder):
    """Runs bearerctl against the daemon of this test, and holds every run to: no token on standard error."""

    def run_one(*arguments, socket_path=folder / "s", env=None, stdout=subprocess.PIPE, **more):
        command = [bearerctl, *(["--socket", str(socket_path)] if socket_path else []), *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True,
                              timeout=PATIENCE, env={**environment, **(env or {})}, check=False, **more)
        assert TOKEN not in done.stderr
        assert "Sanitizer" not in done.stderr
        return done

    return run_one


def says(done, status, *words):
    """Nothing on standard output, these words on standard error, and the exit status."""
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stderr.startswith("bearerctl: ")


@contextlib.contextmanager
def started(bearerctl, environment, *arguments):
    with subprocess.Popen([bearerctl, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process):
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert TOKEN not in stdout + stderr
    return process.returncode, stdout, stderr


class Profiles:
    """A reply() for profiles whose states a test sets, and whose tokens block until the state is usable."""

    def __init__(self, **states):
        self.states = states
        self.changed = threading.Condition()
        self.has_asked = {name: threading.Event() for name in states}

    def set(self, name, state):
        with self.changed:
            self.states[name] = state
            self.changed.notify_all()

    def _is_usable(self, name):
        return self.states[name] in ("fresh", "refreshing", "stale")

    def _ask(self, name):
        """The first request for a token wakes what is idle."""
        if self.states[name] == "idle":
            self.set(name, "fetching")
        self.has_asked[name].set()

    def __call__(self, request):
        name = request.path.split("/")[3]
        if name not in self.states:
            return problem(404, f"no profile {name}")
        if not request.path.endswith("/token"):
            failed = last_error(LONG) if self.states[name] == "failed" else None
            return answer(status_body(name, self.states[name], last_error=failed))
        self._ask(name)
        with self.changed:
            self.changed.wait_for(lambda: self._is_usable(name), timeout=int(request.query["wait"]))
        if self._is_usable(name):
            return answer(token_body())
        return problem(503, "not yet", state=self.states[name], last_error=None)
