# SPDX-License-Identifier: MIT
"""What a machine does to a daemon: names that do not resolve, sleep, no descriptors, no memory to lock."""

import os
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest
from lib import profiles
from lib.http import read_answer, request_bytes
from lib.process import cpu_time
from lib.settings import TIME_FACTOR
from lib.watch import WARNING

TOKEN = "/v1/profiles/shop/token"


# --- DNS that hangs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def silent_resolver(daemon):
    """A name server that takes questions and never answers; (its socket, the command that makes it the only one)."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a mount namespace with another resolv.conf")
    address = f"127.53.{os.getpid() % 250 + 1}.{threading.get_native_id() % 250 + 1}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind((address, 53))
        except OSError as error:
            pytest.skip(f"no port 53 to be had: {error}")
        server.settimeout(30 * TIME_FACTOR)
        path = daemon.folder / "resolv.conf"
        path.write_text(f"nameserver {address}\noptions timeout:30 attempts:5\n")
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(path)]
        if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
            pytest.skip("no mount namespaces here")
        yield server, prefix


def test_dns_that_hangs_holds_up_nobody_else(daemon, upstream, silent_resolver):
    server, prefix = silent_resolver
    profiles.vipps(daemon, "lost", upstream, upstream.vipps_client(), base="https://lost.example.com")
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.start(prefix=prefix, wait=False)
    assert b"\x04lost\x07example\x03com" in server.recv(4096)
    daemon.log.wait_for("token-fetched", "shop")
    daemon.wait_socket()
    with daemon.connection() as connection:
        for generation in range(2, 12):
            assert connection.call("POST", "/v1/profiles/shop/refresh").json["generation"] == generation
            assert connection.call("GET", TOKEN).json["generation"] == generation
    assert daemon.status("lost")["state"] == "fetching"
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit() == 0
    assert time.monotonic() - began < 3 + 5 * TIME_FACTOR, "the end waits for a lookup"


def test_dns_that_hangs_is_a_time_out(daemon, upstream, silent_resolver):
    server, prefix = silent_resolver
    refresh = {"Timeout": "1s", "RetryMin": "100ms", "RetryMax": "100ms"}
    profiles.vipps(daemon, "lost", upstream, upstream.vipps_client(), base="https://lost.example.com", refresh=refresh)
    daemon.start(prefix=prefix)
    status = daemon.wait_status("lost", lambda s: s["consecutive_failures"] >= 3)
    assert status["last_error"]["reason"] == "timeout"
    n_threads = len(os.listdir(f"/proc/{daemon.pid}/task"))
    assert n_threads <= 8, "lookups that were given up pile up"
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit() == 0
    assert time.monotonic() - began < 3 + 5 * TIME_FACTOR


def test_a_name_that_does_not_exist(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client(), base="https://does-not-exist.invalid")
    daemon.start()
    error = daemon.status("shop")["last_error"]
    assert error["reason"] in ("connect", "timeout")
    assert error["http_status"] is None


# --- sleep ------------------------------------------------------------------------------------------------------------


def test_after_a_sleep_no_expired_token_is_handed_out(daemon, upstream):
    """SIGSTOP for longer than the token lives. The request is there before the daemon wakes up."""
    client = upstream.vipps_client(lifetime=2)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    with daemon.connect() as sock:
        sock.sendall(request_bytes("/healthz"))
        assert read_answer(sock).status == 200
        before = daemon.token("shop")
        daemon.signal(signal.SIGSTOP)
        ends = max(r["epoch"] for r in upstream.requests(client["client_id"])) + 2
        sock.sendall(request_bytes(TOKEN) + request_bytes("/v1/profiles/shop/headers"))
        fresh = daemon.connect()
        fresh.sendall(request_bytes(TOKEN + "?wait=60"))
        time.sleep(max(0, ends - time.time()) + 0.1)  # the subject is time that passes
        daemon.signal(signal.SIGCONT)
        tokens = [read_answer(sock).json, read_answer(fresh).json]
        fresh.close()
    for token in tokens:
        assert token["generation"] > before["generation"]
        assert token["access_token"] != before["access_token"]
    assert daemon.get("/healthz").status == 200


def test_after_a_sleep_in_an_outage_the_callers_are_told(daemon, own_upstream):
    client = own_upstream.vipps_client(lifetime=2)
    profiles.vipps(daemon, "shop", own_upstream, client)
    daemon.start()
    daemon.signal(signal.SIGSTOP)
    own_upstream.down("http")
    time.sleep(2.1)
    daemon.signal(signal.SIGCONT)
    answer = daemon.get(TOKEN + "?wait=0")
    assert answer.status == 503
    assert "access_token" not in answer.text
    daemon.log.wait_for("profile-failed", "shop")
    own_upstream.up("http")
    assert daemon.token("shop", "?wait=60")["generation"] >= 2


# --- scarcity ---------------------------------------------------------------------------------------------------------


def test_out_of_descriptors_it_goes_on_when_there_are_some(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.main(MaxConnections=4096)

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (72, 72))

    daemon.start(preexec_fn=few)
    assert daemon.log.wait_for(match="only 72 file descriptors are allowed.*LimitNOFILE=").level == WARNING
    first = daemon.connect()
    first.sendall(request_bytes(TOKEN))
    assert read_answer(first).status == 200
    crowd = [daemon.connect(timeout=0.2) for _ in range(100)]
    for sock in crowd:
        sock.sendall(request_bytes("/healthz"))
    for _ in range(20):
        first.sendall(request_bytes(TOKEN))
        assert read_answer(first).status == 200, "who is in is served"
    busy = cpu_time(daemon.pid)
    time.sleep(0.5)
    assert cpu_time(daemon.pid) - busy < 0.25 * TIME_FACTOR, "it spins"
    for sock in crowd:
        sock.close()
    assert daemon.get(TOKEN).status == 200
    assert daemon.call("POST", "/v1/profiles/shop/refresh").status == 200
    first.close()


def test_too_few_descriptors_to_serve_anybody(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.main()
    result = daemon.run(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    assert result.returncode == 1
    assert "only 24 file descriptors are allowed, at least 64 are needed" in result.stderr


@pytest.mark.needs_root
@pytest.mark.plain_build
def test_without_memory_to_lock_it_says_so_and_serves(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    for path in (daemon.run_folder, daemon.key_folder, *daemon.key_folder.iterdir()):
        os.chown(path, 65534, 65534)
    daemon.main(SocketGroup="65534", SocketMode="0666")

    def none():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))

    daemon.start(user=65534, group=65534, extra_groups=[], preexec_fn=none)
    line = daemon.log.wait_for(match="could not be locked")
    assert line.level == WARNING and "LimitMEMLOCK=" in line.message
    assert daemon.get(TOKEN).status == 200


def test_stderr_that_nobody_reads_any_more(daemon, upstream):
    """The reader of its log ends: the daemon does not."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start("--log-level", "debug", prefix=["sh", "-c", 'exec "$@" 2>/dev/full', "sh"])
    for generation in range(2, 6):
        assert daemon.call("POST", "/v1/profiles/shop/refresh").json["generation"] == generation
