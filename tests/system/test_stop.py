# SPDX-License-Identifier: MIT
"""The end: who waits is answered, who was heard is served, and nothing is left behind."""

import os
import signal
import threading
import time

import pytest
from lib import profiles
from lib.http import read_answer, read_to_end, request_bytes
from lib.manager import ServiceManager
from lib.reload import wait_until
from lib.settings import TIME_FACTOR

TOKEN = "/v1/profiles/shop/token"
# How long an end waits for upstreams (FINISH_FOR of daemon.c).
FINISH_FOR = 1.0
N_TRIES = 4


def hold(daemon, upstream, client):
    upstream.fault(client_id=client["client_id"], hang=True)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start(wait=False)
    upstream.wait(client["client_id"], held=1)
    daemon.wait_socket()


def test_waiting_callers_are_answered(daemon, upstream):
    client = upstream.vipps_client()
    hold(daemon, upstream, client)
    callers = [daemon.connect() for _ in range(100)]
    for sock in callers:
        sock.sendall(request_bytes(f"{TOKEN}?wait=60"))
    daemon.wait_metric("bearerd_waiters", 100)
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    for sock in callers:
        answer = read_answer(sock)
        assert (answer.status, answer.problem_type) == (503, "stopping")
        assert answer.headers["Retry-After"] == "1"
        assert answer.problem["profile"] == "shop" and "state" not in answer.problem
        assert read_to_end(sock) == b""
        sock.close()
    assert daemon.wait_exit() == 0
    assert time.monotonic() - began < 3 + 5 * TIME_FACTOR, "a stop does not wait for the upstream for long"
    assert not daemon.socket.exists()
    line = daemon.log.find("stopping")[0]
    assert "with 100 waiting requests" in line.message
    assert daemon.manager.has(STOPPING="1")


def end_as_the_answer_comes(daemon, upstream, client):
    """The answer comes once the daemon has begun to stop, and two callers wait for it: what they get."""
    hold(daemon, upstream, client)
    with daemon.connect() as first, daemon.connect() as second:
        for sock in (first, second):
            sock.sendall(request_bytes(f"{TOKEN}?wait=60"))
        daemon.wait_metric("bearerd_waiters", 2)
        daemon.signal(signal.SIGTERM)
        daemon.log.wait_for("stopping")
        upstream.release(client["client_id"])
        answers = [read_answer(sock) for sock in (first, second)]
        assert read_to_end(first) == read_to_end(second) == b""
    assert daemon.wait_exit() == 0
    return answers


def test_an_answer_that_is_on_its_way_is_waited_for(daemon, upstream):
    """Those who wait get the token, and the upstream is not asked in vain. A busy machine is late at times."""
    for _ in range(N_TRIES):
        client = upstream.vipps_client()
        answers = end_as_the_answer_comes(daemon, upstream, client)
        assert {answer.headers.get("Connection") for answer in answers} == {"close"}
        if {answer.status for answer in answers} == {200}:
            break
        assert {answer.problem_type for answer in answers} == {"stopping"}
    assert {answer.status for answer in answers} == {200}
    assert len(upstream.requests(client["client_id"])) == 1
    # To the manager it goes on stopping, whatever comes in.
    stop = [i for i, message in enumerate(daemon.manager.items) if message.get("STOPPING") == "1"]
    assert len(stop) == 1 and not any("STATUS" in message for message in daemon.manager.items[stop[0] + 1 :])


def test_idle_connections_do_not_hold_it_up(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.start()
    idle = [daemon.connect() for _ in range(50)]
    half = daemon.connect()
    half.sendall(b"GET /healthz HTTP/1.1\r\nHo")
    daemon.wait_metric("bearerd_connections", 52)
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit() == 0
    assert time.monotonic() - began < 3 + 5 * TIME_FACTOR
    for sock in [*idle, half]:
        assert b"200 OK" not in read_to_end(sock)
        sock.close()


def test_what_was_written_before_the_stop_is_answered(daemon, upstream):
    """The daemon is held still while requests are written to connections it has, and to ones it has not yet seen."""
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.start()
    known = [daemon.connect() for _ in range(20)]
    for sock in known:
        sock.sendall(request_bytes(TOKEN))
        assert read_answer(sock).status == 200
    daemon.signal(signal.SIGSTOP)
    fresh = [daemon.connect() for _ in range(20)]
    for sock in known + fresh:
        sock.sendall(request_bytes(TOKEN))
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGCONT)
    for sock in known + fresh:
        answer = read_answer(sock)
        assert answer.status == 200 or (answer.status, answer.problem_type) == (503, "stopping")
        sock.close()
    assert daemon.wait_exit() == 0


def test_no_request_is_lost_in_a_stop(daemon, upstream):
    """Clients that never pause, one connection a request: each is answered, or finds nobody there to connect to."""
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.start()
    served, lost = [0], []
    going = threading.Event()

    def use():
        while True:
            try:
                sock = daemon.connect()
            except (FileNotFoundError, ConnectionRefusedError):
                return
            with sock:
                try:
                    sock.sendall(request_bytes(TOKEN))
                    answer = read_answer(sock)
                except OSError as error:
                    lost.append(error)
                    return
                if answer.status not in (200, 503):
                    lost.append(answer)
                served[0] += 1
                if served[0] > 200:
                    going.set()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert going.wait(30 * TIME_FACTOR)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit() == 0
    for thread in threads:
        thread.join()
    assert not lost


def test_a_client_that_does_not_read_is_not_waited_for_long(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.start()
    with daemon.connect() as sock:
        sock.setblocking(False)
        try:
            while True:
                sock.send(request_bytes(TOKEN) * 100)
        except BlockingIOError:
            pass
        assert daemon.get("/healthz").status == 200
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait_exit() == 0
        assert time.monotonic() - began < 8 + 5 * TIME_FACTOR


def end_with_several_signals(daemon):
    """With a caller who waits for an upstream that does not answer. Seconds."""
    with daemon.connect() as sock:
        sock.sendall(request_bytes(f"{TOKEN}?wait=60"))
        daemon.wait_metric("bearerd_waiters", 1)
        began = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            daemon.signal(number)
        assert read_answer(sock).problem_type == "stopping"
        seconds = time.monotonic() - began
    assert daemon.wait_exit() == 0
    return seconds


def test_further_signals_do_no_harm(daemon, upstream):
    """The second one stops waiting for the upstream, and the next change nothing. A busy machine is late at times."""
    hold(daemon, upstream, upstream.vipps_client())
    ends = [end_with_several_signals(daemon)]
    while min(ends) > FINISH_FOR and len(ends) < N_TRIES:
        daemon.start(wait=False)
        daemon.wait_socket()
        ends.append(end_with_several_signals(daemon))
    assert min(ends) < FINISH_FOR, ends


def end_before_the_answer(manager, upstream, client):
    """The answer comes once the daemon has begun to stop, and nobody waits for it. Whether it was taken."""
    upstream.fault(client_id=client["client_id"], hang=True)
    n_stops = manager.text.count("stopping on")
    manager.start(wait=False)
    upstream.wait(client["client_id"], held=1)
    os.kill(manager.pid, signal.SIGTERM)
    wait_until(lambda: manager.text.count("stopping on") > n_stops, "the stop begins")
    upstream.release(client["client_id"])
    assert manager.wait_end() == 0
    upstream.clear()
    manager.start()
    assert manager.end() == 0
    return len(upstream.requests(client["client_id"])) == 1


def test_an_answer_on_its_way_is_kept_for_the_next_process(daemon, own_upstream):
    """No caller waits, but the next process would have to ask again. A busy machine is late at times."""
    with ServiceManager(daemon) as manager:
        for _ in range(N_TRIES):
            client = own_upstream.vipps_client()
            profiles.vipps(daemon, "shop", own_upstream, client)
            if end_before_the_answer(manager, own_upstream, client):
                return
    raise AssertionError(manager.text)


def test_during_start(daemon, upstream):
    """A stop before the first token is as orderly as any."""
    client = upstream.vipps_client()
    hold(daemon, upstream, client)
    daemon.stop()
    assert not daemon.manager.has(READY="1")


def end_alone(daemon, upstream):
    """Without a manager, and so without a next process that could have the answer; no caller waits for it. Seconds."""
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], hang=True)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start(wait=False, prefix=["env", "-u", "NOTIFY_SOCKET"])
    upstream.wait(client["client_id"], held=1)
    began = time.monotonic()
    daemon.stop()
    return time.monotonic() - began


def test_an_answer_that_nobody_would_have_is_not_waited_for(daemon, upstream):
    """A busy machine is late at times."""
    ends = [end_alone(daemon, upstream)]
    while min(ends) > FINISH_FOR and len(ends) < N_TRIES:
        ends.append(end_alone(daemon, upstream))
    assert min(ends) < FINISH_FOR, ends


@pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGURG])
def test_signals_that_mean_nothing(daemon, upstream, number):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.start()
    daemon.signal(number)
    assert daemon.get(TOKEN).status == 200


def test_killed_it_leaves_a_socket_that_the_next_one_replaces(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.start()
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()
    assert daemon.get(TOKEN).status == 200


def test_settings_are_not_said_to_be_read_that_were_not(daemon, upstream):
    """While a stop waits for the upstream it serves on, but reads no settings any more, and says so."""
    hold(daemon, upstream, upstream.vipps_client())
    with daemon.connect() as waiting, daemon.connect() as admin:
        waiting.sendall(request_bytes(f"{TOKEN}?wait=60"))
        daemon.wait_metric("bearerd_waiters", 1)
        daemon.signal(signal.SIGTERM)
        daemon.log.wait_for("stopping")
        admin.sendall(request_bytes("/v1/reload", "POST"))
        answer = read_answer(admin)
        assert (answer.status, answer.problem_type) == (503, "stopping"), answer
        assert read_answer(waiting).problem_type == "stopping"
    assert daemon.wait_exit() == 0
