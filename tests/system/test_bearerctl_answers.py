# SPDX-License-Identifier: MIT
"""bearerctl: a daemon that is not there, answers nonsense, or does not answer."""

import contextlib
import json
import os
import shutil
import socket
import subprocess

import pytest
from lib.ctl import bearerctl, environment, folder, run, serve  # noqa: F401 (fixtures)
from lib.ctl import HANG_UP, NOBODY, PATIENCE, SILENCE, TOKEN, answer, response, says, token_body


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
