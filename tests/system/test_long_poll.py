# SPDX-License-Identifier: MIT
"""The long poll: If-None-Match and wait. Who has the current token sleeps until there is a newer one, in any number,
at nobody's cost."""

import signal
import socket
import time

import pytest
from lib import profiles
from lib.crowd import Crowd
from lib.http import read_answer, read_to_end, request_bytes
from lib.settings import TIME_FACTOR

TOKEN = "/v1/profiles/shop/token"
HEADERS = "/v1/profiles/shop/headers"
HAS_FIRST = ['If-None-Match: "g1"']


@pytest.fixture
def shop(daemon, upstream):
    """A daemon with the profile "shop", started; its client."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    return client


def refresh(daemon):
    return daemon.call("POST", "/v1/profiles/shop/refresh")


def poll(daemon, tag, query="", target=TOKEN):
    return daemon.get(target + query, headers={"If-None-Match": tag})


def n_requests(upstream, client):
    return upstream.stats(client["client_id"])["requests"]


# --- sleeping and waking ----------------------------------------------------------------------------------------------


def test_one_refresh_wakes_a_thousand(daemon, upstream, shop):
    first = daemon.token("shop")
    with Crowd(daemon, 1000) as crowd:
        crowd.ask(f"{TOKEN}?wait=60", headers=HAS_FIRST)
        daemon.wait_metric("bearerd_waiters", 1000)
        daemon.wait_metric("bearerd_connections", 1001)  # and the one that asks
        # They are in nobody's way.
        with daemon.connection() as other:
            for _ in range(100):
                assert other.call("GET", f"{TOKEN}?wait=0").json["access_token"] == first["access_token"]
        assert n_requests(upstream, shop) == 1, "waiting costs the upstream nothing"
        answer = refresh(daemon)
        assert (answer.status, answer.json["generation"]) == (200, 2)
        answers = crowd.answers()
    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["ETag"] for answer in answers} == {'"g2"'}
    [token] = {answer.json["access_token"] for answer in answers}
    assert token == daemon.token("shop")["access_token"] != first["access_token"]
    assert n_requests(upstream, shop) == 2
    daemon.wait_metric("bearerd_waiters", 0)
    daemon.wait_metric("bearerd_connections", 1)


def test_a_scheduled_refresh_wakes_as_well(daemon, upstream, shop):
    """The scheduled requests are held until somebody polls: the clock goes on, however late the poller is."""
    upstream.change(shop["client_id"], lifetime=2)
    assert refresh(daemon).json["generation"] == 2
    upstream.fault(client_id=shop["client_id"], hang=True)
    with daemon.connect() as sock:
        for generation in (3, 4):
            sock.sendall(request_bytes(f"{TOKEN}?wait=60", headers=[f'If-None-Match: "g{generation - 1}"']))
            daemon.wait_metric("bearerd_waiters", 1)
            upstream.wait(shop["client_id"], requests=generation, held=1)
            assert upstream.release(shop["client_id"]) == 1
            answer = read_answer(sock)
            assert (answer.status, answer.json["generation"]) == (200, generation)
    stats = upstream.stats(shop["client_id"])
    assert (stats["ok"], stats["requests"] - stats["in_flight"]) == (4, 4)


def test_a_kept_connection_polls_on_and_on(daemon, upstream, shop):
    with daemon.connect() as sock:
        for generation in range(1, 20):
            sock.sendall(request_bytes(f"{TOKEN}?wait=60", headers=[f'If-None-Match: "g{generation}"']))
            daemon.wait_metric("bearerd_waiters", 1)
            assert refresh(daemon).status == 200
            assert read_answer(sock).json["generation"] == generation + 1


@pytest.mark.parametrize("accept", [None, "text/plain"])
def test_header_sets_are_polled_for_too(daemon, upstream, shop, accept):
    lines = HAS_FIRST + ([f"Accept: {accept}"] if accept else [])
    with daemon.connect() as sock:
        sock.sendall(request_bytes(f"{HEADERS}?wait=60", headers=lines))
        daemon.wait_metric("bearerd_waiters", 1)
        assert refresh(daemon).status == 200
        answer = read_answer(sock)
    assert (answer.status, answer.headers["ETag"]) == (200, '"g2"')
    assert answer.media_type == (accept or "application/json")
    headers = dict(line.split(": ", 1) for line in answer.text.splitlines()) if accept else answer.json
    assert upstream.ping(headers) == (200, {"client": shop["client_id"]})
    assert headers["Authorization"] == f"Bearer {daemon.token('shop')['access_token']}"


def test_a_rejected_token_wakes_the_others(daemon, upstream, shop):
    with daemon.connect() as sock:
        sock.sendall(request_bytes(f"{TOKEN}?wait=60", headers=HAS_FIRST))
        daemon.wait_metric("bearerd_waiters", 1)
        body = b'{"fingerprint": "%s"}' % daemon.token("shop")["fingerprint"].encode()
        assert daemon.call("POST", "/v1/profiles/shop/rejected", body).json["generation"] == 2
        assert read_answer(sock).json["generation"] == 2


# --- nothing new ------------------------------------------------------------------------------------------------------


def is_unchanged(answer, tag='"g1"'):
    return (
        (answer.status, answer.headers["ETag"], answer.headers["Cache-Control"], answer.body)
        == (304, tag, "no-store", b"")
    )  # fmt: skip


@pytest.mark.parametrize("target", [TOKEN, HEADERS])
def test_nothing_new_at_the_end_of_the_wait(daemon, upstream, shop, target):
    with daemon.connection() as connection:
        began = time.monotonic()
        answer = connection.call("GET", f"{target}?wait=1", headers={"If-None-Match": '"g1"'})
        took = time.monotonic() - began
        assert is_unchanged(answer)
        assert 0.99 <= took <= 1.5 + 2 * TIME_FACTOR
        assert connection.call("GET", "/healthz").status == 200, "the connection is good for more"
    assert n_requests(upstream, shop) == 1
    assert daemon.metrics().value("bearerd_api_requests_total", profile="shop", code="304") == 1
    daemon.wait_metric("bearerd_waiters", 0)


@pytest.mark.parametrize("query", ["", "?wait=0", "?min_ttl=5", "?min_ttl=5&wait=0"])
def test_without_a_wait_it_is_a_plain_conditional_request(daemon, shop, query):
    with daemon.connection() as connection:
        for _ in range(50):  # ten seconds each would be noticed
            assert is_unchanged(connection.call("GET", TOKEN + query, headers={"If-None-Match": '"g1"'}))


@pytest.mark.parametrize("tag", ['"g1"', 'W/"g1"', "*", '"g7", "g1"', '"x",W/"g1" , "y"', '  "g1"  '])
def test_tags_that_name_the_current_token(daemon, shop, tag):
    assert is_unchanged(poll(daemon, tag, "?wait=0"))


@pytest.mark.parametrize("tag", ['"g0"', '"g2"', '"g11"', '"g01"', "g1", "'g1'", '"G1"', '"g1', '"1"', '""', ""])
def test_tags_that_do_not(daemon, shop, tag):
    answer = poll(daemon, tag, "?wait=60")
    assert (answer.status, answer.headers["ETag"], answer.json["generation"]) == (200, '"g1"', 1)


def test_head_polls_too(daemon, shop):
    answer = daemon.call("HEAD", f"{TOKEN}?wait=0", headers={"If-None-Match": '"g1"'})
    assert is_unchanged(answer)


def test_other_endpoints_do_not_poll(daemon, shop):
    for target in ("/v1/profiles/shop", "/v1/profiles", "/metrics", "/healthz"):
        assert poll(daemon, '"g1"', target=target).status == 200


def test_more_life_than_there_is_to_be_had(daemon, shop):
    answer = poll(daemon, '"g1"', "?wait=60&min_ttl=99999")
    assert (answer.status, answer.problem_type) == (409, "min-ttl-too-long")


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [{"status": 503}, {"status": 401}, {"drop": "request"}], ids=str)
def test_a_failing_refresh_wakes_nobody(daemon, upstream, shop, rule):
    profiles.vipps(daemon, "shop", upstream, shop, refresh={"RetryMin": "30s", "RetryMax": "60s"})
    daemon.restart()
    with Crowd(daemon, 20) as crowd:
        crowd.ask(f"{TOKEN}?wait=60", headers=HAS_FIRST)
        daemon.wait_metric("bearerd_waiters", 20)
        [number] = upstream.fault({"client_id": shop["client_id"], **rule})
        for _ in range(3):
            assert refresh(daemon).status == 503
            assert daemon.metrics().value("bearerd_waiters") == 20
        assert daemon.status("shop")["state"] == "stale"
        upstream.clear(number)
        assert refresh(daemon).status == 200
        assert {answer.json["generation"] for answer in crowd.answers()} == {2}


def test_a_token_that_runs_out_meanwhile(daemon, upstream, shop):
    """The wait ends without a usable token: no 304 may say that the old one is still good."""
    upstream.change(shop["client_id"], lifetime=2)
    assert refresh(daemon).status == 200
    upstream.fault(client_id=shop["client_id"], status=503)
    tag = f'"g{daemon.status("shop")["generation"]}"'
    for query in ("?wait=3", "?wait=0"):
        answer = poll(daemon, tag, query)
        assert (answer.status, answer.problem_type) == (503, "no-usable-token")
        assert answer.problem["state"] == "failed" and answer.problem["last_error"]["http_status"] == 503
    upstream.clear()
    answer = poll(daemon, tag, "?wait=60")
    assert answer.status == 200 and answer.headers["ETag"] != tag


def test_a_cold_profile(daemon, upstream, shop):
    """A tag from another life waits for the first token like everybody."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    upstream.fault(client_id=client["client_id"], hang=True)
    daemon.stop()
    daemon.start(wait=False)
    upstream.wait(client["client_id"], held=1)
    daemon.wait_socket()
    with Crowd(daemon, 3) as crowd:
        for sock, tag in zip(crowd.sockets, ('"g0"', '"g1"', "*"), strict=True):
            sock.sendall(request_bytes(f"{TOKEN}?wait=60", headers=[f"If-None-Match: {tag}"]))
        daemon.wait_metric("bearerd_waiters", 3)
        upstream.clear()
        assert [answer.json["generation"] for answer in crowd.answers()] == [1, 1, 1]
    daemon.wait_ready()


# --- leaving ----------------------------------------------------------------------------------------------------------


def test_pollers_who_hang_up_free_their_places(daemon, upstream, shop):
    for how in ("close", "shutdown"):
        with Crowd(daemon, 500) as crowd:
            crowd.ask(f"{TOKEN}?wait=60", headers=HAS_FIRST)
            daemon.wait_metric("bearerd_waiters", 500)
            if how == "shutdown":
                for sock in crowd.sockets:
                    sock.shutdown(socket.SHUT_RDWR)
        daemon.wait_metric("bearerd_waiters", 0)
        daemon.wait_metric("bearerd_connections", 1)
    assert refresh(daemon).status == 200
    assert n_requests(upstream, shop) == 2


def test_a_poller_who_only_closes_its_sending_half_is_answered(daemon, upstream, shop):
    with Crowd(daemon, 20) as crowd, daemon.connect() as brief:
        crowd.ask(f"{TOKEN}?wait=60", headers=HAS_FIRST)
        for sock in crowd.sockets:
            sock.shutdown(socket.SHUT_WR)
        daemon.wait_metric("bearerd_waiters", 20)
        brief.sendall(request_bytes(f"{TOKEN}?wait=1", headers=HAS_FIRST))
        brief.shutdown(socket.SHUT_WR)
        assert is_unchanged(read_answer(brief))
        assert refresh(daemon).status == 200
        for sock in crowd.sockets:
            assert read_answer(sock).json["generation"] == 2
            assert read_to_end(sock) == b""


def test_the_end_of_the_daemon_answers_all(daemon, upstream, shop):
    with Crowd(daemon, 200) as crowd:
        crowd.ask(f"{TOKEN}?wait=60", headers=HAS_FIRST)
        daemon.wait_metric("bearerd_waiters", 200)
        daemon.signal(signal.SIGTERM)
        answers = crowd.answers()
        assert all(is_unchanged(answer) for answer in answers), "the token is still good"
        for sock in crowd.sockets:
            assert read_to_end(sock) == b""
        assert daemon.wait_exit() == 0
