# SPDX-License-Identifier: MIT
"""min_ttl and wait: how much life a caller wants, how long it is willing to wait, and what it is told when neither
works out."""

import time

import pytest
from lib import profiles
from lib.http import read_answer, request_bytes
from lib.settings import TIME_FACTOR

TOKEN = "/v1/profiles/shop/token"


@pytest.fixture
def shop(daemon, upstream):
    """A daemon with the profile "shop", not started; its client."""
    client = upstream.vipps_client(lifetime=600)
    profiles.vipps(daemon, "shop", upstream, client)
    return client


def hold(daemon, upstream, client):
    """Starts while the first fetch is held."""
    upstream.fault(client_id=client["client_id"], hang=True)
    daemon.start(wait=False)
    upstream.wait(client["client_id"], held=1)
    daemon.wait_socket()


# --- min_ttl ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("min_ttl", [0, 1, 30, 590])
def test_a_token_with_enough_life_is_given_at_once(daemon, upstream, shop, min_ttl):
    daemon.start()
    assert daemon.token("shop", f"?min_ttl={min_ttl}&wait=0")["generation"] == 1
    assert daemon.get(f"/v1/profiles/shop/headers?min_ttl={min_ttl}").status == 200
    assert upstream.stats(shop["client_id"])["requests"] == 1


@pytest.mark.parametrize("min_ttl", [601, 3600, 100_000_000])
def test_more_than_the_issuer_gives_is_a_conflict(daemon, upstream, shop, min_ttl):
    daemon.start()
    answer = daemon.get(f"{TOKEN}?min_ttl={min_ttl}")
    assert (answer.status, answer.problem_type) == (409, "min-ttl-too-long")
    assert f"min_ttl={min_ttl}" in answer.problem["detail"] and "600 s" in answer.problem["detail"]
    assert (answer.problem["profile"], answer.problem["state"]) == ("shop", "fresh")
    assert "Retry-After" not in answer.headers
    assert upstream.stats(shop["client_id"])["requests"] == 1, "a refusal costs the upstream nothing"
    assert daemon.metrics().value("bearerd_api_requests_total", profile="shop", code="409") == 1


def test_more_life_than_is_left_sets_off_a_refresh(daemon, upstream, shop):
    """Of 4 s one has passed: who wants 3.5 gets a new token, everybody else keeps the old one meanwhile."""
    upstream.change(shop["client_id"], lifetime=4)
    profiles.vipps(daemon, "shop", upstream, shop, refresh={"At": "95%", "Jitter": "0%"})
    daemon.start()
    first = daemon.token("shop")
    upstream.fault(client_id=shop["client_id"], hang=True)
    left = daemon.metrics().value("bearerd_token_expiry_timestamp_seconds", profile="shop") - time.time()
    time.sleep(max(0, left - 2.9))  # the subject is a remaining time
    with daemon.connect() as sock:
        sock.sendall(request_bytes(f"{TOKEN}?min_ttl=3&wait=60"))
        upstream.wait(shop["client_id"], held=1)
        upstream.clear()
        second = read_answer(sock).json
    assert second["generation"] == 2 and second["access_token"] != first["access_token"]
    assert upstream.stats(shop["client_id"])["requests"] == 2


def test_a_crowd_that_wants_more_is_held_to_the_budget(daemon, upstream):
    """min_ttl just under the lifetime, asked for all the time: not a request upstream for each."""
    client = upstream.vipps_client(lifetime=600)
    profiles.vipps(daemon, "shop", upstream, client, refresh={"RetryMin": "1s", "RetryMax": "5s"})
    daemon.start()
    with daemon.connection() as connection:
        for _ in range(300):
            status = connection.call("GET", f"{TOKEN}?min_ttl=600&wait=0").status
            assert status in (409, 503)
    assert upstream.stats(client["client_id"])["requests"] <= 12


def test_the_default_is_a_tenth_of_the_lifetime(daemon, upstream):
    """A token of 10 s is absent for its last second, but not to a caller who says so."""
    lifetime = int(10 * min(TIME_FACTOR, 3))
    client = upstream.vipps_client(lifetime=lifetime)
    profiles.vipps(daemon, "shop", upstream, client, refresh={"RetryMin": "5s", "RetryMax": "5s", "At": "50%"})
    daemon.start()
    upstream.fault(client_id=client["client_id"], status=503, retry_after=3600)
    assert daemon.call("POST", "/v1/profiles/shop/refresh").status == 503
    daemon.wait_status("shop", state="failed")
    refused, taken = daemon.get(f"{TOKEN}?wait=0"), daemon.get(f"{TOKEN}?wait=0&min_ttl=0")
    assert refused.status == 503
    assert taken.status == 200 and taken.json["expires_in"] < lifetime / 10
    ends = daemon.metrics().value("bearerd_token_expiry_timestamp_seconds", profile="shop")
    assert time.time() >= ends - lifetime / 10 - 0.05


BAD = [
    "min_ttl=",
    "min_ttl",
    "min_ttl=-1",
    "min_ttl=%2B1",
    "min_ttl=1.5",
    "min_ttl=1s",
    "min_ttl=0x10",
    "min_ttl=100000001",
    "min_ttl=99999999999999999999",
    "min_ttl=1&min_ttl=1",
    "min_ttl=%zz",
    "min_ttl=1%00",
    "wait=",
    "wait=-1",
    "wait=61",
    "wait=1.0",
    "wait=ten",
    "wait=10&wait=10",
    "wait=1&min_ttl=1&wait=1",
    "minttl=1",
    "MIN_TTL=1",
    "unknown=1",
    "wait=1&",
    "&wait=1",
    "wait=1&&min_ttl=1",
    "=1",
]


@pytest.fixture(scope="module")
def ready(shared_upstream):
    """One daemon for questions that change nothing."""
    from lib.daemon import Daemon

    client = shared_upstream.vipps_client()
    with Daemon() as daemon:
        profiles.vipps(daemon, "shop", shared_upstream, client)
        yield daemon.start()


@pytest.mark.parametrize("query", BAD)
@pytest.mark.parametrize("endpoint", ["token", "headers"])
def test_bad_parameters(ready, endpoint, query):
    answer = ready.get(f"/v1/profiles/shop/{endpoint}?{query}")
    assert (answer.status, answer.problem_type) == (400, "bad-request")
    name = query.split("=")[0]
    if name in ("min_ttl", "wait"):
        assert name in answer.problem["detail"]
    assert "state" not in answer.problem


@pytest.mark.parametrize("query", ["?", "?wait=0", "?wait=60", "?min_ttl=0", "?wait=1&min_ttl=1", "?min%5fttl=1"])
def test_good_parameters(ready, query):
    assert ready.get(TOKEN + query).status == (400 if "%5f" in query else 200)


@pytest.mark.parametrize("target", ["/v1/profiles?x=1", "/v1/profiles/shop?wait=1", "/healthz?a", "/metrics?x="])
def test_parameters_where_none_are_taken(ready, target):
    answer = ready.get(target)
    assert (answer.status, answer.problem_type) == (400, "bad-request")


# --- wait -------------------------------------------------------------------------------------------------------------


def test_wait_0_does_not_wait(daemon, upstream, shop):
    hold(daemon, upstream, shop)
    answer = daemon.get(f"{TOKEN}?wait=0")
    assert (answer.status, answer.problem_type) == (503, "no-usable-token")
    assert answer.headers["Retry-After"] == "1"
    assert answer.problem["state"] == "fetching"
    assert answer.problem["last_error"] is None
    assert "has not answered yet" in answer.problem["detail"]
    upstream.clear()
    daemon.wait_ready()


def test_wait_ends_when_its_time_is_over(daemon, upstream, shop):
    hold(daemon, upstream, shop)
    began = time.monotonic()
    answer = daemon.get(f"{TOKEN}?wait=1")
    took = time.monotonic() - began
    assert answer.status == 503 and answer.headers["Retry-After"] == "1"
    assert 0.99 <= took <= 1.5 + 2 * TIME_FACTOR
    assert upstream.stats(shop["client_id"])["held"] == 1, "the fetch goes on"
    upstream.clear()
    daemon.wait_ready()
    assert daemon.token("shop")["generation"] == 1


def test_each_waits_as_long_as_it_said(daemon, upstream, shop):
    hold(daemon, upstream, shop)
    with daemon.connect() as patient, daemon.connect() as hurried:
        patient.sendall(request_bytes(f"{TOKEN}?wait=60"))
        hurried.sendall(request_bytes(f"{TOKEN}?wait=1"))
        assert read_answer(hurried).status == 503
        daemon.wait_metric("bearerd_waiters", 1)
        upstream.clear()
        assert read_answer(patient).status == 200
    daemon.wait_ready()


def test_without_wait_it_is_ten_seconds(daemon, upstream, shop):
    hold(daemon, upstream, shop)
    with daemon.connect() as sock:
        began = time.monotonic()
        sock.sendall(request_bytes(TOKEN))
        assert read_answer(sock).status == 503
        assert 9.9 <= time.monotonic() - began <= 12 + 5 * TIME_FACTOR
    upstream.clear()
    daemon.wait_ready()


def test_a_waiter_survives_failures_that_may_pass(daemon, upstream, shop):
    client_id = shop["client_id"]
    upstream.fault([{"client_id": client_id, "status": 503, "times": 3}, {"client_id": client_id, "hang": True}])
    daemon.start(wait=False)
    daemon.wait_socket()
    with daemon.connect() as sock:
        sock.sendall(request_bytes(f"{TOKEN}?wait=60"))
        upstream.wait(client_id, held=1)  # three failures later
        daemon.wait_metric("bearerd_waiters", 1)
        upstream.clear()
        assert read_answer(sock).json["generation"] == 1
    daemon.wait_ready()


def test_a_forced_refresh_tells_its_outcome(daemon, upstream, shop):
    profiles.vipps(daemon, "shop", upstream, shop, refresh={"RetryMin": "30s", "RetryMax": "60s"})  # nothing but what is forced
    daemon.start()
    upstream.fault(client_id=shop["client_id"], status=503)
    answer = daemon.call("POST", "/v1/profiles/shop/refresh")
    assert (answer.status, answer.problem_type) == (503, "refresh-failed")
    assert answer.problem["detail"] == "vipps answered 503: made to fail"
    assert int(answer.headers["Retry-After"]) >= 1
    upstream.clear()
    answer = daemon.call("POST", "/v1/profiles/shop/refresh")
    assert (answer.status, answer.json["state"], answer.json["generation"]) == (200, "fresh", 2)


def test_admins_who_force_at_once_share_one_request(daemon, upstream, shop):
    daemon.start()
    upstream.fault(client_id=shop["client_id"], hang=True)
    admins = [daemon.connect() for _ in range(10)]
    for sock in admins:
        sock.sendall(request_bytes("/v1/profiles/shop/refresh", "POST"))
    daemon.wait_metric("bearerd_waiters", 10)
    upstream.clear()
    assert {read_answer(sock).json["generation"] for sock in admins} == {2}
    for sock in admins:
        sock.close()
    assert upstream.stats(shop["client_id"])["requests"] == 2
