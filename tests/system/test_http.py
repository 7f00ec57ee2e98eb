# SPDX-License-Identifier: MIT
"""The HTTP of the API: what is refused and how, what is odd and still served, and that no client's nonsense disturbs
another's request or reaches the upstream."""

import random
import signal
import socket

import pytest
from lib import profiles
from lib.daemon import Daemon
from lib.http import read_answer, read_to_end, request_bytes
from lib.settings import TIME_FACTOR

TOKEN = "/v1/profiles/shop/token"


@pytest.fixture(scope="module")
def daemon(shared_upstream):
    """One daemon for all of this file: none of it may leave a trace."""
    client = shared_upstream.vipps_client()
    with Daemon() as one:
        profiles.vipps(one, "shop", shared_upstream, client)
        one.start()
        yield one
        assert shared_upstream.stats(client["client_id"])["requests"] == 1, "a refused request reached the upstream"
        assert one.status("shop")["generation"] == 1


@pytest.fixture(autouse=True)
def others_are_served(daemon):
    """After, and on a connection opened before, each test."""
    with daemon.connection() as kept:
        assert kept.call("GET", TOKEN).status == 200
        yield
        assert kept.call("GET", TOKEN).status == 200
    assert daemon.get(TOKEN).status == 200


def exchange(daemon, data, end=True):
    """Bytes out, bytes in until the daemon closes; with `end`, the sending half is closed."""
    with daemon.connect() as sock:
        try:
            sock.sendall(data)
            if end:
                sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was all sent
        return read_to_end(sock)


def status_of(data):
    """The status of raw bytes, None when there are none."""
    return int(data.split(b" ", 2)[1]) if data.startswith(b"HTTP/1.") else None


# --- methods and paths ------------------------------------------------------------------------------------------------

GETS = ["/v1/profiles", "/v1/profiles/shop", TOKEN, "/v1/profiles/shop/headers", "/healthz", "/readyz", "/metrics"]


@pytest.mark.parametrize("path", GETS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO", "get"])
def test_wrong_method(daemon, path, method):
    answer = daemon.call(method, path)
    assert (answer.status, answer.problem_type) == (405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, HEAD"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_wrong_method_for_refresh(daemon, method):
    answer = daemon.call(method, "/v1/profiles/shop/refresh")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v1/profiles/",
        "/v1/profiles/shop/",
        "/v1/profiles/shop/token/",
        "/v1/profiles/shop/tokens",
        "/v1/profiles//token",
        "/v1/profiles/a/b/token",
        "/v1/profiles/../profiles/shop/token",
        "/V1/profiles/shop/token",
        "/v2/profiles/shop/token",
        "/v1/profiles/shop/reject",
        "/v1/explain",
        "/healthz/",
        "/metrics.txt",
        "/favicon.ico",
    ],
)
def test_unknown_path(daemon, path):
    for method in ("GET", "POST"):
        answer = daemon.call(method, path)
        assert answer.status == 404
        assert answer.problem_type in ("not-found", "unknown-profile")


@pytest.mark.parametrize("name", ["nobody", "SHOP", "shop%20", "sh%6fp2", "a" * 63, "a" * 64, "a" * 300, "%C3%A9", "?"])
def test_unknown_profile(daemon, name):
    answer = daemon.get(f"/v1/profiles/{name}/token")
    if name == "?":
        assert answer.status in (400, 404)
        return
    assert (answer.status, answer.problem_type) == (404, "unknown-profile")
    assert set(answer.problem) == {"type", "title", "status", "detail", "profile"}


@pytest.mark.parametrize("name", ["%", "%2", "%zz", "shop%00", "%0a", "sh%7fop"])
def test_unreadable_profile_name(daemon, name):
    answer = daemon.get(f"/v1/profiles/{name}/token")
    assert (answer.status, answer.problem_type) == (400, "bad-request")


# --- HEAD, 1.0, keep-alive, pipelining --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_the_body(daemon, path):
    with daemon.connection() as connection:
        whole = connection.call("GET", path)
        head = connection.call("HEAD", path)
        assert (head.status, head.body) == (whole.status, b"")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]
        assert head.headers.get("ETag") == whole.headers.get("ETag")
        assert connection.call("GET", path).status == whole.status, "the connection is still in step"


def test_http_1_0(daemon):
    data = exchange(daemon, b"GET /v1/profiles/shop/token HTTP/1.0\r\n\r\n", end=False)  # it closes by itself
    assert status_of(data) == 200
    assert b'"access_token"' in data


def test_connection_close(daemon):
    data = exchange(daemon, request_bytes("/healthz", headers=["Connection: close"]), end=False)
    assert status_of(data) == 200
    assert b"connection: close" in data.lower()


def test_keep_alive(daemon):
    with daemon.connection() as connection:
        connection.connect()
        sock = connection.sock
        for _ in range(200):
            assert connection.call("GET", TOKEN).status == 200
            assert connection.call("GET", "/nowhere").status == 404
        assert connection.sock is sock


def test_pipelining(daemon):
    targets = [TOKEN, "/healthz", "/nowhere", "/v1/profiles/shop", "/v1/profiles/none/token", TOKEN] * 20
    with daemon.connect() as sock:
        sock.sendall(b"".join(request_bytes(target) for target in targets))
        answers = [read_answer(sock) for _ in targets]
    assert [answer.status for answer in answers] == [200, 200, 404, 200, 404, 200] * 20
    assert all(answer.json["profile"] == "shop" for answer in answers[::6])


def test_pipelining_with_an_end(daemon):
    """All sent at once, the end of the stream too: each request is answered, and then the daemon closes."""
    targets = [TOKEN, "/healthz", "/nowhere"] * 30
    data = exchange(daemon, b"".join(request_bytes(target) for target in targets))
    assert [int(part.split(b" ")[0]) for part in data.split(b"HTTP/1.1 ")[1:]] == [200, 200, 404] * 30


@pytest.mark.parametrize("data", [b"", b"GET", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", request_bytes("/healthz")])
def test_the_end_of_the_stream_ends_the_connection(daemon, data):
    """At once, not when some time is over; `printf ... | nc -UN` relies on it."""
    with daemon.connect(timeout=5 * TIME_FACTOR) as sock:
        daemon.signal(signal.SIGSTOP)  # so that the bytes and their end are seen at the same moment
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        daemon.signal(signal.SIGCONT)
        assert (b" 200 OK" in read_to_end(sock)) == data.endswith(b"\r\n\r\n")


def test_byte_by_byte(daemon):
    with daemon.connect() as sock:
        for byte in request_bytes(TOKEN):
            sock.sendall(bytes([byte]))
        assert read_answer(sock).status == 200


def test_any_host(daemon):
    for host in ("localhost", "example.com:99", ""):
        assert status_of(exchange(daemon, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())) == 200


def test_expect_continue(daemon):
    with daemon.connect() as sock:
        sock.sendall(b"POST /v1/profiles/none/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n")
        sock.sendall(b"Expect: 100-continue\r\n\r\n")
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"{}")
        assert read_answer(sock).status == 404


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4096])
def test_a_small_body_is_ignored(daemon, size):
    assert daemon.call("POST", "/v1/profiles/none/refresh", body=b"x" * size).status == 404
    assert daemon.call("GET", TOKEN, body=b"x" * size).status == 200


@pytest.mark.parametrize("size", [4097, 5000, 10**6])
@pytest.mark.parametrize("target", ["/v1/profiles/shop/refresh", "/v1/profiles/none/refresh"])
def test_a_large_body_is_too_large(daemon, size, target):
    data = exchange(daemon, request_bytes(target, "POST", body=b"x" * size))
    assert status_of(data) == 413
    assert b"urn:bearerd:problem:body-too-large" in data


def test_an_announced_body_is_refused_before_it_comes(daemon):
    with daemon.connect() as sock:
        sock.sendall(b"POST /v1/profiles/shop/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        answer = read_answer(sock)
        assert (answer.status, answer.problem_type) == (413, "body-too-large")


def chunked(size):
    return b"%x\r\n" % size + b"x" * size + b"\r\n"


def test_chunked_bodies(daemon):
    head = b"POST /v1/profiles/%s/refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status_of(exchange(daemon, head % b"none" + chunked(100) + b"0\r\n\r\n")) == 404
    data = exchange(daemon, head % b"shop" + chunked(3000) * 2 + b"0\r\n\r\n")
    assert status_of(data) == 413


# --- malformed --------------------------------------------------------------------------------------------------------

MALFORMED = {
    "no-version": b"GET /healthz\r\n\r\n",
    "bad-version": b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    "bad-protocol": b"GET /healthz FOO/1.1\r\nHost: x\r\n\r\n",
    "no-host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "one-word": b"HELLO\r\n\r\n",
    "header-without-colon": b"GET /healthz HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "bad-length": b"POST /v1/profiles/none/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: four\r\n\r\n",
    "negative-length": b"POST /v1/profiles/none/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "length-overflow": b"POST /v1/profiles/none/refresh HTTP/1.1\r\nHost: x\r\n"
    b"Content-Length: 99999999999999999999999\r\n\r\n",
    "bad-chunk": b"POST /v1/profiles/none/refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "bad-encoding": b"POST /v1/profiles/none/refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    "tls": bytes.fromhex("16030100a5010000a10303") + bytes(150),
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(daemon, data):
    """Refused, by an answer or by the end of the connection; never served."""
    assert status_of(exchange(daemon, data)) in (None, 400, 404, 405, 413, 501, 505)


@pytest.mark.parametrize(
    "headers",
    [
        ["X: " + "y" * 100_000],
        [f"X-{i}: y" for i in range(10_000)],
        ["x" * 100_000 + ": y"],
    ],
    ids=["value", "count", "name"],
)
def test_header_bombs(daemon, headers):
    data = exchange(daemon, request_bytes(TOKEN, headers=headers))
    assert status_of(data) in (None, 400, 413, 431)
    assert b"access_token" not in data


def test_a_long_target(daemon):
    assert status_of(exchange(daemon, request_bytes("/" + "x" * 100_000))) in (None, 400, 404, 414, 431)
    assert daemon.get("/" + "x" * 3000).status == 404


def test_garbage(daemon):
    """Random bytes, and good requests with a byte changed, by a fixed seed."""
    dice = random.Random(20261122)
    for _ in range(150):
        exchange(daemon, dice.randbytes(dice.randrange(1, 2000)))
    for _ in range(300):
        data = bytearray(request_bytes(TOKEN + "?wait=0", headers=["Accept: text/plain"]))
        data[dice.randrange(len(data))] = dice.randrange(256)
        exchange(daemon, bytes(data))


def test_request_smuggling(daemon):
    """Length and chunks at once: what follows is never taken as a request of its own by mistake."""
    inner = request_bytes(TOKEN)
    data = exchange(
        daemon,
        b"POST /v1/profiles/none/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % (len(inner) + 5)
        + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + inner,
    )
    assert b"access_token" not in data or data.count(b"HTTP/1.1 ") <= 2
