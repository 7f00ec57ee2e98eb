# SPDX-License-Identifier: MIT
"""Nobody can take the daemon for himself: connections are counted, slow clients are dropped."""

import contextlib
import os
import time

import pytest
from lib import profiles
from lib.caller import Caller
from lib.http import read_answer, read_to_end, request_bytes
from lib.reload import wait_until
from lib.settings import TIME_FACTOR
from lib.watch import INFO

ALICE, BOB = 3_000_000_001, 3_000_000_002
TOKEN = "/v1/profiles/shop/token"


def is_refused(sock):
    """Whether a connection was refused because of a limit; the answer comes without a request."""
    data = read_to_end(sock)
    return data.startswith(b"HTTP/1.1 429 ") and b"urn:bearerd:problem:too-many-connections" in data


def is_served(daemon):
    """Whether one more connection is admitted."""
    with daemon.connect() as sock:
        with contextlib.suppress(BrokenPipeError):  # closed again already; the refusal can be read all the same
            sock.sendall(request_bytes("/healthz"))
        return read_answer(sock).status == 200


def start(daemon, upstream, **limits):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.main(SocketMode="0666", **limits)
    daemon.start()


def fill(daemon, stack, number):
    """Opens connections that are all counted, each with a request behind it."""
    for _ in range(number):
        sock = stack.enter_context(daemon.connect())
        sock.sendall(request_bytes("/healthz"))
        assert read_answer(sock).status == 200
        yield sock


def metrics_by(sock):
    """The metrics, over a connection that is there already."""
    sock.sendall(request_bytes("/metrics"))
    return read_answer(sock).text


@pytest.mark.needs_root
def test_connections_of_one_user(daemon, upstream):
    start(daemon, upstream, MaxConnectionsPerUser=10)
    with contextlib.ExitStack() as stack, Caller(daemon, ALICE) as alice:
        first, *_ = fill(daemon, stack, 10)
        for _ in range(3):
            with daemon.connect() as sock:
                assert is_refused(sock)
        # Others have their own count, and those who are in are served.
        assert alice.get(TOKEN).status == 200
        wait_until(lambda: "\nbearerd_connections 10\n" in metrics_by(first), "that of Alice is still counted")
        assert "\nbearerd_connections_refused_total 3\n" in metrics_by(first)
        first.close()
        deadline = time.monotonic() + 10 * TIME_FACTOR
        while not is_served(daemon):  # the place is free once the daemon has seen the end
            assert time.monotonic() < deadline
    daemon.wait_metric("bearerd_connections", 1)


@pytest.mark.needs_root
def test_connections_of_all(daemon, upstream):
    start(daemon, upstream, MaxConnections=10, MaxConnectionsPerUser=8)
    with contextlib.ExitStack() as stack, Caller(daemon, ALICE) as alice, Caller(daemon, BOB) as bob:
        list(fill(daemon, stack, 8))
        with daemon.connect() as sock:
            assert is_refused(sock)
        assert alice.get(TOKEN).status == 200 and bob.get(TOKEN).status == 200
    daemon.wait_metric("bearerd_connections", 1)


def test_a_crowd_of_refused_connections_does_not_stop_accepting(daemon, upstream):
    start(daemon, upstream, MaxConnections=2)
    for _ in range(20):
        with contextlib.ExitStack() as stack:
            list(fill(daemon, stack, 2))
            crowd = [stack.enter_context(daemon.connect()) for _ in range(100)]
            for sock in crowd:
                assert is_refused(sock)
        daemon.wait_metric("bearerd_connections", 1)


def test_a_refused_connection_says_so(daemon, upstream):
    start(daemon, upstream, MaxConnections=1)
    with contextlib.ExitStack() as stack:
        list(fill(daemon, stack, 1))
        with daemon.connect() as sock:
            with contextlib.suppress(BrokenPipeError):
                sock.sendall(request_bytes(TOKEN))
            answer = read_answer(sock)
            assert (answer.status, answer.problem_type) == (429, "too-many-connections")
            assert answer.headers["Retry-After"] == "1"
            assert answer.headers["Cache-Control"] == "no-store"
            assert read_to_end(sock) == b""


def test_ten_thousand_connections_one_after_the_other(daemon, upstream):
    start(daemon, upstream)
    files = f"/proc/{daemon.pid}/fd"
    n_files = len(os.listdir(files))
    for i in range(10_000):
        with daemon.connect() as sock:
            if i % 3 == 0:
                sock.sendall(request_bytes("/healthz"))
                assert read_answer(sock).status == 200
            elif i % 3 == 1:
                sock.sendall(b"GET /v1/pro")
    daemon.wait_metric("bearerd_connections", 1)
    assert len(os.listdir(files)) <= n_files + 4, "descriptors were left open"


def drip_until_closed(sock, meanwhile):
    """Sends a byte every now and then; what the daemon says in the end."""
    sock.settimeout(0.3)
    while True:
        with contextlib.suppress(BrokenPipeError):
            sock.sendall(b"x")
        try:
            return sock.recv(1000)
        except TimeoutError:
            assert meanwhile().status == 200


def test_a_request_that_does_not_end_is_dropped(daemon, upstream):
    """Ten seconds from its first byte, whatever trickles in; others are served all the while."""
    start(daemon, upstream)
    with daemon.connect() as whole, daemon.connect() as drip, daemon.connect() as idle:
        start_of_request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "
        began = time.monotonic()
        whole.sendall(start_of_request)
        drip.sendall(start_of_request)
        assert drip_until_closed(drip, lambda: daemon.get(TOKEN)).startswith(b"HTTP/1.1 408 ")
        assert 9.5 <= time.monotonic() - began <= 12 + 5 * TIME_FACTOR
        assert read_to_end(whole).startswith(b"HTTP/1.1 408 ")
        # A connection without a request may rest for longer.
        idle.sendall(request_bytes("/healthz"))
        assert read_answer(idle).status == 200
    line = daemon.log.wait_for("client-dropped", "no whole request")
    assert line.level == INFO


def test_a_body_that_does_not_come_is_dropped(daemon, upstream):
    start(daemon, upstream)
    with daemon.connect() as sock:
        sock.sendall(b"POST /v1/profiles/shop/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        assert read_to_end(sock).startswith(b"HTTP/1.1 408 ")
    daemon.log.wait_for("client-dropped")
    assert daemon.status("shop")["generation"] == 1


def test_a_client_that_never_reads(daemon, upstream):
    """Its answers pile up in its own socket until that is full, and in nobody's way."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    with daemon.connect() as sock:
        sock.setblocking(False)
        sent = 0
        request = request_bytes(TOKEN)
        with contextlib.suppress(BlockingIOError):
            while sent < 64 << 20:
                sent += sock.send(request * 100)
        assert sent < 64 << 20, "the daemon reads on and on though nobody takes its answers"
        with daemon.connection() as other:
            for _ in range(100):
                assert other.call("GET", TOKEN).status == 200
    daemon.wait_metric("bearerd_connections", 1)
