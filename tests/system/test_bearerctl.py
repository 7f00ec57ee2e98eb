# SPDX-License-Identifier: MIT
"""bearerctl as its users meet it: the real program against a small daemon made for each test.

The daemon here says whatever a test wants, nonsense among it. Nothing sleeps: who must wait, waits for an event.
"""

import contextlib
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

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
        "expires_in": 1800 if has_token else None, "next_refresh_at": rfc3339(605),
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


class Daemon:
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
    path = os.environ.get("BEARERCTL") or Path(__file__).parents[2] / "build" / "client" / "bearerctl"
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
        daemons.append(Daemon(folder / "s", reply if callable(reply) else lambda request: reply))
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


# ---- token ----


def test_token_is_printed_with_a_newline(serve, run):
    daemon = serve(answer(token_body()))
    done = run("token", "shop")
    assert (done.returncode, done.stdout, done.stderr) == (0, TOKEN + "\n", "")
    request = daemon.requests[0]
    assert (request.method, request.target) == ("GET", "/v1/profiles/shop/token")


def test_token_json_is_the_answer_as_it_came(serve, run):
    body = json.dumps(token_body(new_member={"a": [1]}), indent=3)
    serve(response(200, body, "application/json"))
    done = run("token", "--json", "shop")
    assert (done.returncode, done.stdout) == (0, body + "\n")


def test_token_lengths_are_rounded_up_to_seconds(serve, run):
    daemon = serve(answer(token_body()))
    assert run("token", "shop", "--min-ttl", "1min 200ms", "--wait=1.5s").returncode == 0
    assert daemon.requests[0].query == {"min_ttl": "61", "wait": "2"}


def test_token_of_64_kib_is_too_much_and_of_16_kib_is_not(serve, run):
    big = "x" * 16384
    daemon = serve(answer(token_body(access_token=big)))
    assert run("token", "shop").stdout == big + "\n"
    daemon.reply = lambda request: answer(token_body(access_token="x" * 65536))
    says(run("token", "shop"), 3, "larger")


@pytest.mark.parametrize("status", [400, 404, 409, 429, 500, 503])
def test_refusal_shows_the_detail(serve, run, status):
    serve(problem(status, "no profile of this name", "Retry-After: 3"))
    says(run("token", "shop"), 1, "bearerctl: shop: no profile of this name\n")


def test_failed_upstream_is_not_a_time_out(serve, run):
    serve(problem(503, "vipps answered 401", state="failed", last_error=last_error("vipps answered 401")))
    says(run("token", "shop"), 1, "vipps answered 401")


def test_fetch_that_is_not_over_in_time_is_a_time_out(serve, run):
    serve(problem(503, "still fetching after 1s", state="fetching", last_error=None))
    says(run("token", "shop", "--wait", "1"), 4, "still fetching after 1s")


def test_refusal_without_a_reason(serve, run):
    serve(response(502, "<html>", "text/html"))
    says(run("token", "shop"), 1, "502")


def test_redirect_is_not_followed(serve, run):
    daemon = serve(response(302, "", "text/plain", "Location: http://localhost/v1/profiles/other/token"))
    says(run("token", "shop"), 3, "302")
    assert len(daemon.requests) == 1


def test_terminal_sequences_in_a_detail_are_defused(serve, run):
    serve(problem(503, "bad\x1b]0;owned\x07 news\r\n"))
    done = run("token", "shop")
    assert done.stderr == "bearerctl: shop: bad?]0;owned? news??\n"


# ---- the socket ----


def test_daemon_that_does_not_run(run, folder):
    says(run("token", "shop"), 3, f"{folder}/s", "No such file", "systemctl status bearerd")


def test_daemon_that_has_died(serve, run):
    serve(HANG_UP).close()
    says(run("token", "shop"), 3, "refused", "systemctl status bearerd")


def test_socket_of_a_group_that_one_is_not_in(serve, run, bearerctl, folder):
    daemon = serve(answer(token_body()))
    os.chmod(daemon.path, 0o600 if os.geteuid() == 0 else 0)
    program, more = bearerctl, {}
    if os.geteuid() == 0:
        # A copy, since the build folder need not be open to everybody.
        program = shutil.copy(bearerctl, folder)
        more = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    done = subprocess.run([program, "--socket", daemon.path, "token", "shop"], capture_output=True, text=True,
                          timeout=PATIENCE, check=False, **more)
    says(done, 3, "Permission denied", "not in group bearerd")


def test_socket_comes_from_the_environment(serve, run, folder):
    daemon = serve(answer(token_body()))
    assert run("token", "shop", socket_path=None, env={"BEARERD_SOCKET": daemon.path}).returncode == 0
    says(run("token", "shop", socket_path=folder / "other", env={"BEARERD_SOCKET": daemon.path}), 3, "other")


def test_path_that_no_socket_can_have(run):
    says(run("token", "shop", socket_path="/" + 120 * "x"), 2, "too long")


def test_proxies_of_the_environment_are_ignored(serve, run):
    serve(answer(token_body()))
    proxies = {name: "http://127.0.0.1:9" for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")}
    assert run("token", "shop", env=proxies).stdout == TOKEN + "\n"


# ---- answers that are none ----

WHOLE = answer(token_body())


@pytest.mark.parametrize("reply", [
    pytest.param(HANG_UP, id="nothing"),
    pytest.param([WHOLE[:9]], id="within the status line"),
    pytest.param([WHOLE[:40]], id="within the headers"),
    pytest.param([WHOLE[:-9]], id="within the body"),
])
def test_daemon_that_hangs_up(serve, run, reply):
    serve(reply)
    says(run("token", "shop"), 3)


@pytest.mark.parametrize("reply", [
    b"SSH-2.0-OpenSSH_9.2p1\r\n",
    b"\x00\xff\x00\xff" * 100,
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 9999999999999999 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\nContent-Type: application/json\r\n\r\n",
    response(200, "<html>" + TOKEN, "text/html"),
    response(200, json.dumps(token_body()), "text/plain"),
    response(200, json.dumps(token_body()), "application/jsonish"),
    response(200, "", "application/json"),
    response(200, TOKEN, "application/json"),
    response(200, json.dumps(token_body())[:-1], "application/json"),
    response(200, json.dumps(token_body()) * 2, "application/json"),
    response(200, 60000 * "[", "application/json"),
    answer({}),
    answer([token_body()]),
    answer(token_body(access_token=None)),
    answer(token_body(access_token="")),
    answer(token_body(access_token=f"{TOKEN}\nX-Evil: yes")),
    answer(token_body(access_token=f"{TOKEN}\x00")),
    answer(token_body(expires_in="3000")),
    answer(token_body(expires_at="tomorrow")),
    answer(token_body(), status=204),
    answer(token_body(), status=201),
], ids=lambda reply: "")
def test_answer_that_is_not_bearerds(serve, run, reply):
    serve([reply])
    says(run("token", "shop"), 3)


def endless(first, piece):
    yield first
    while True:
        yield piece


@pytest.mark.parametrize("first, piece, words", [
    (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{", b" " * 65536, "larger"),
    (b"HTTP/1.1 503 X\r\nContent-Type: application/problem+json\r\n\r\n{", b" " * 65536, "larger"),
    (b"HTTP/1.1 200 OK\r\n", b"X-Header: of a normal length\r\n" * 100, "larger"),
    (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536, "header line without end"),
    (b"", b"x" * 65536, "not bearerd's"),
], ids=["body", "problem", "headers", "header", "garbage"])
def test_answer_without_end(serve, run, first, piece, words):
    serve(lambda request: endless(first, piece))
    says(run("token", "shop"), 3, words)


def test_list_without_end(serve, run):
    serve(lambda request: endless(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{", b" " * 65536))
    says(run("status"), 3, "larger")


# ---- time ----


def test_silent_daemon_is_a_time_out(serve, run):
    serve(SILENCE)
    says(run("token", "shop", "--wait", "0"), 4, "did not answer in time")


def test_daemon_that_accepts_nothing_is_a_time_out(run, folder):
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(folder / "s"))
        listener.listen(0)
        # Connections until the queue is full.
        with contextlib.suppress(BlockingIOError):
            while True:
                other = stack.enter_context(socket.socket(socket.AF_UNIX))
                other.setblocking(False)
                other.connect(str(folder / "s"))
        says(run("status"), 4, "queue is full")


# ---- standard output ----


@pytest.mark.parametrize("arguments", [("token", "shop"), ("token", "shop", "--json"), ("headers", "shop"),
                                       ("status",), ("status", "shop"), ("status", "--json")], ids=" ".join)
@pytest.mark.parametrize("broken", ["full", "pipe", "closed"])
def test_output_that_cannot_be_written(serve, run, arguments, broken):
    daemon = serve(lambda request: {
        "/v1/profiles": answer({"profiles": [status_body()]}),
        "/v1/profiles/shop": answer(status_body()),
        "/v1/profiles/shop/token": answer(token_body()),
        "/v1/profiles/shop/headers": text(f"Authorization: Bearer {TOKEN}\n"),
    }[request.path])
    with contextlib.ExitStack() as stack:
        more = {}
        if broken == "full":
            more = {"stdout": stack.enter_context(open("/dev/full", "wb"))}
        elif broken == "pipe":
            reader, writer = os.pipe()
            os.close(reader)
            stack.callback(os.close, writer)
            more = {"stdout": writer}
        else:
            more = {"preexec_fn": lambda: os.close(1)}
        done = run(*arguments, **more)
    assert done.returncode == 1
    assert "cannot write to standard output" in done.stderr
    assert all(TOKEN not in request.target for request in daemon.requests)


def test_help_that_cannot_be_written(run):
    with open("/dev/full", "wb") as full:
        assert run("--help", stdout=full).returncode == 1


# ---- headers ----


def test_headers_are_lines_for_curl(serve, run):
    lines = f"Authorization: Bearer {TOKEN}\nMerchant-Serial-Number: 123456\n"
    daemon = serve(text(lines))
    done = run("headers", "shop")
    assert (done.returncode, done.stdout, done.stderr) == (0, lines, "")
    assert daemon.requests[0].path == "/v1/profiles/shop/headers"
    assert daemon.requests[0].headers["accept"] == "text/plain"


def test_headers_json_is_the_object(serve, run):
    value = {"Authorization": f"Bearer {TOKEN}", "Merchant-Serial-Number": "123456"}
    daemon = serve(answer(value))
    done = run("headers", "shop", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, value)
    assert daemon.requests[0].headers["accept"] == "application/json"


@pytest.mark.parametrize("reply", [
    answer({"Authorization": f"Bearer {TOKEN}"}),
    text(f"Authorization: Bearer {TOKEN}"),
    text(f"Authorization: Bearer {TOKEN}\r\n"),
    text(""),
    text(TOKEN + "\n"),
], ids=["json", "cut off", "carriage return", "empty", "no header"])
def test_header_lines_that_are_none(serve, run, reply):
    serve(reply)
    says(run("headers", "shop"), 3)


# ---- status ----

LONG = "vipps answered 401: Access denied due to invalid subscription key; are these keys for the other environment?"

TWO = {"profiles": [
    status_body("shop"),
    status_body("partner", "failed", next_refresh_at=rfc3339(45.5), consecutive_failures=3,
                last_error=last_error(LONG))]}


def test_status_is_a_table(serve, run):
    daemon = serve(answer({"profiles": [status_body("shop"), status_body("partner", "failed")]}))
    done = run("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.requests[0].target == "/v1/profiles"
    head, shop, partner = done.stdout.splitlines()
    assert re.split(r"  +", head) == ["PROFILE", "STATE", "LEFT", "NEXT REFRESH", "LAST ERROR"]
    assert re.split(r"  +", shop) == ["shop", "fresh", "█████░░░░░ 30min", "in 10min"]
    assert re.split(r"  +", partner) == ["partner", "failed", "-", "in 10min"]
    assert "\x1b" not in done.stdout


def test_status_fits_the_terminal(serve, run):
    serve(answer(TWO))
    done = run("status", env={"COLUMNS": "60"})
    assert max(map(len, done.stdout.splitlines())) <= 60
    assert LONG in " ".join(done.stdout.split())
    assert LONG in run("status").stdout  # on one line into a pipe


def test_status_is_ascii_where_the_locale_is(serve, run):
    serve(answer({"profiles": [status_body("shop", description="blåbær")]}))
    done = run("status", env={"LC_ALL": "C"})
    assert "#####----- 30min" in done.stdout
    assert done.stdout.isascii()


@pytest.mark.parametrize("env, is_coloured", [
    ({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, False)],
    ids=["xterm", "NO_COLOR", "dumb", "no TERM"])
def test_status_is_coloured_on_a_terminal_that_wants_it(serve, run, env, is_coloured):
    serve(answer(TWO))
    leader, follower = pty.openpty()
    done = run("status", stdout=follower, env=env)
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the end
        while piece := os.read(leader, 65536):
            shown += piece
    os.close(leader)
    assert done.returncode == 0
    assert (b"\x1b[1;31mfailed\x1b[0m" in shown) == is_coloured
    assert (b"\x1b" in shown) == is_coloured


def test_status_of_one_shows_all_of_it(serve, run):
    serve(answer(status_body(description="Web shop", state="stale", consecutive_failures=3,
                             last_error=last_error(LONG))))
    done = run("status", "shop")
    assert done.returncode == 0
    shown = dict(line.strip().split(": ", 1) for line in done.stdout.splitlines())
    assert shown["Profile"] == "shop"
    assert shown["Description"] == "Web shop"
    assert shown["State"] == "stale"
    assert shown["Left"] == "█████░░░░░ 30min"
    assert shown["Failures"] == "3 in a row"
    assert shown["Last error"] == LONG
    assert shown["HTTP status"] == "401"
    assert shown["Next refresh"].endswith("(in 10min)")


def test_status_json_is_the_answer_as_it_came(serve, run):
    body = json.dumps(TWO, indent=1)
    serve(response(200, body, "application/json"))
    assert run("status", "--json").stdout == body + "\n"


def test_status_of_one_as_json(serve, run):
    body = json.dumps(status_body()) + "\n"
    serve(response(200, body, "application/json"))
    assert run("status", "shop", "--json").stdout == body


def test_status_of_ten_thousand(serve, run):
    profiles = [status_body(f"shop-{i}", "failed", description="x" * 200, last_error=last_error(LONG))
                for i in range(10000)]
    serve(answer({"profiles": profiles}))
    done = run("status")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 10001


def test_status_of_nothing(serve, run):
    serve(answer({"profiles": []}))
    says(run("status"), 0, "no profiles")


def test_status_of_an_unknown_profile(serve, run):
    serve(problem(404, "no such profile"))
    says(run("status", "shop"), 1, "shop: no such profile")


@pytest.mark.parametrize("value", [
    {}, {"profiles": {}}, {"profiles": ["shop"]}, {"profiles": [{"name": "shop"}]},
    {"profiles": [status_body(expires_in="soon")]}, {"profiles": [status_body(last_error=[])]}], ids=lambda value: "")
def test_status_that_is_not_bearerds(serve, run, value):
    serve(answer(value))
    says(run("status"), 3)


# ---- refresh ----


def test_refresh_asks_and_is_quiet(serve, run):
    daemon = serve(answer(status_body()))
    done = run("refresh", "shop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    request = daemon.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/profiles/shop/refresh")
    assert request.headers["content-length"] == "0"
    assert "content-type" not in request.headers


@pytest.mark.parametrize("state", ["stale", "failed"])
def test_refresh_that_failed_upstream(serve, run, state):
    serve(answer(status_body(state=state, last_error=last_error(LONG))))
    says(run("refresh", "shop"), 1, f"shop: {LONG}")


def test_refresh_that_is_refused(serve, run):
    serve(problem(403, "only for admins"))
    says(run("refresh", "shop"), 1, "shop: only for admins")


# ---- wait ----


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

    def __call__(self, request):
        name = request.path.split("/")[3]
        if name not in self.states:
            return problem(404, f"no profile {name}")
        if not request.path.endswith("/token"):
            failed = last_error(LONG) if self.states[name] == "failed" else None
            return answer(status_body(name, self.states[name], last_error=failed))
        self.has_asked[name].set()
        with self.changed:
            self.changed.wait_for(lambda: self._is_usable(name), timeout=int(request.query["wait"]))
        if self._is_usable(name):
            return answer(token_body())
        return problem(503, "not yet", state=self.states[name], last_error=None)


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


def test_wait_for_what_is_there(serve, run):
    daemon = serve(Profiles(a="fresh", b="refreshing", c="stale"))
    done = run("wait", "a", "b", "c")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not [request for request in daemon.requests if request.path.endswith("/token")]


def test_wait_blocks_until_the_fetch_ends(serve, bearerctl, environment):
    profiles = Profiles(shop="empty")
    daemon = serve(profiles)
    with started(bearerctl, environment, "wait", "--socket", daemon.path, "shop") as process:
        assert profiles.has_asked["shop"].wait(PATIENCE)
        profiles.set("shop", "fresh")
        assert ended(process) == (0, "", "")
    # One look, one request that blocked: nothing was polled.
    assert [request.path.rpartition("/")[2] for request in daemon.requests] == ["shop", "token"]


def test_wait_gives_up_and_says_on_whom(serve, run):
    serve(Profiles(a="fresh", b="fetching", c="failed"))
    done = run("wait", "a", "b", "c", "--timeout", "300ms")
    says(done, 4, "bearerctl: b: no usable token in time: it is fetching\n", "bearerctl: c: no usable token in time: ")
    assert "a:" not in done.stderr
    assert done.stderr.count(f"c: {LONG} (still waiting)") == 1


def test_wait_outlasts_a_failure(serve, bearerctl, environment):
    profiles = Profiles(shop="failed")
    daemon = serve(profiles)
    with started(bearerctl, environment, "--socket", daemon.path, "wait", "shop") as process:
        assert "still waiting" in process.stderr.readline()
        profiles.set("shop", "fresh")
        assert ended(process) == (0, "", "")


def test_wait_for_an_unknown_profile_ends_at_once(serve, run):
    serve(Profiles(shop="fetching"))
    says(run("wait", "shop", "ship"), 1, "ship: no profile ship")


def test_wait_polls_where_the_token_is_not_ours(serve, run):
    looks = []

    def reply(request):
        if request.path.endswith("/token"):
            return problem(404, "no profile shop")
        looks.append(request)
        return answer(status_body(state="fetching" if len(looks) < 3 else "fresh"))

    daemon = serve(reply)
    assert run("wait", "shop").returncode == 0
    assert len([request for request in daemon.requests if request.path.endswith("/token")]) == 1


def test_wait_for_a_daemon_that_is_not_there_yet(serve, bearerctl, environment, folder):
    with started(bearerctl, environment, "--socket", str(folder / "s"), "wait", "shop") as process:
        assert "still trying" in process.stderr.readline()
        serve(Profiles(shop="fresh"))
        assert ended(process) == (0, "", "")


def test_wait_outlasts_a_restart_of_the_daemon(serve, run):
    replies = [HANG_UP, answer(status_body(state="fetching")), HANG_UP, answer(status_body(state="fresh"))]
    serve(lambda request: replies.pop(0) if len(replies) > 1 else replies[0])
    assert run("wait", "shop").returncode == 0


def test_wait_for_a_daemon_that_never_comes(run):
    says(run("wait", "shop", "--timeout", "300ms"), 3, "No such file", "systemctl status bearerd",
         "shop: no usable token in time")


def test_wait_for_a_silent_daemon(serve, run):
    serve(SILENCE)
    says(run("wait", "shop", "--timeout", "100ms"), 4, "did not answer in time", "shop: no usable token in time")


def test_wait_for_a_daemon_that_has_no_connection_left(serve, run):
    replies = [problem(429, "too many connections"), answer(status_body())]
    serve(lambda request: replies.pop(0) if len(replies) > 1 else replies[0])
    assert run("wait", "shop").returncode == 0


# ---- check ----


def test_check_of_settings_that_are_not_there(run, folder):
    done = run("check", "--config", str(folder / "missing.conf"), socket_path=None)
    assert (done.returncode, done.stdout) == (1, "")
    assert "missing.conf" in done.stderr


def test_check_names_file_and_line(run, folder):
    config = folder / "bearerd.conf"
    config.write_text("[Daemon]\nBadKey=1\n")
    done = run("check", "--config", str(config), socket_path=None)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{config}:2: error: " in done.stderr
    assert len(done.stderr.splitlines()) > 1  # and a summary


# ---- the command line ----


def test_help_and_version(run):
    for arguments in (["--help"], ["help"], ["token", "--help"], ["-h"]):
        done = run(*arguments, socket_path=None)
        assert (done.returncode, done.stderr) == (0, "")
        for word in ("token", "headers", "status", "wait", "refresh", "check", "--min-ttl", "--socket"):
            assert word in done.stdout
    done = run("--version", socket_path=None)
    assert done.returncode == 0
    assert re.fullmatch(r"bearerctl \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("arguments, words", [
    ([], "which verb?"),
    (["tokn", "shop"], "did you mean token?"),
    (["token"], "name of a profile"),
    (["token", "a", "b"], "too many"),
    (["token", "shop", "--jsn"], "did you mean --json?"),
    (["token", "shop", "--wait", "61"], "at most 1min"),
    (["token", "shop", "--wait", "-1"], "length of time"),
    (["token", "shop", "--min-ttl", "soon"], "length of time"),
    (["token", "../etc"], "not the name of a profile"),
    (["token", "Shop"], "not the name of a profile"),
    (["token", "shop?wait=1"], "not the name of a profile"),
    (["token", ""], "not the name of a profile"),
    (["token", "x" * 64], "not the name of a profile"),
    (["wait", "shop", "Shop"], "not the name of a profile"),
    (["status", "--wait", "1"], "does not go with status"),
], ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "")
def test_usage(serve, run, arguments, words):
    daemon = serve(Profiles(shop="fetching"))
    says(run(*arguments), 2, words)
    assert [request for request in daemon.requests if request.path != "/v1/profiles/shop"] == []
