# SPDX-License-Identifier: MIT
"""From nothing to ready: when READY=1 is sent, what the first seconds look like, and what a start leaves alone."""

import time

import pytest
from lib import profiles
from lib.settings import TIME_FACTOR
from lib.watch import ERROR, INFO, NOTICE


def test_ready_with_all_tokens(daemon, upstream):
    clients = {name: upstream.vipps_client() for name in ("one", "two", "three")}
    for name, client in clients.items():
        profiles.vipps(daemon, name, upstream, client)
    daemon.start()

    for name, client in clients.items():
        status = daemon.status(name)
        assert (status["state"], status["generation"], status["consecutive_failures"]) == ("fresh", 1, 0)
        assert status["last_error"] is None
        assert upstream.stats(client["client_id"])["requests"] == 1
        assert daemon.metrics().value("bearerd_upstream_requests_total", profile=name, outcome="ok") == 1
        assert daemon.metrics().state(name) == "fresh"
        [line] = daemon.log.find("token-fetched", name)
        assert line.level == INFO
        assert status["fingerprint"] in line.message
    assert daemon.get("/readyz").status == 200
    [started] = daemon.log.find("started")
    assert started.level == NOTICE


def test_ready_waits_for_the_first_answer(daemon, upstream):
    client = upstream.vipps_client()
    quick = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], hang=True)
    profiles.vipps(daemon, "slow", upstream, client)
    profiles.vipps(daemon, "quick", upstream, quick)
    daemon.start(wait=False)

    upstream.wait(client["client_id"], held=1)
    daemon.log.wait_for("token-fetched", "quick")
    daemon.wait_socket()
    # It serves who can be served, says that it is not ready, and has not told the manager anything else.
    assert daemon.token("quick")["profile"] == "quick"
    assert daemon.status("slow")["state"] == "fetching"
    refusal = daemon.get("/readyz")
    assert (refusal.status, refusal.problem_type) == (503, "not-ready")
    assert "slow (fetching)" in refusal.problem["detail"]
    assert not daemon.manager.has(READY="1")

    upstream.clear()
    daemon.wait_ready()
    assert daemon.status("slow")["state"] == "fresh"


def test_ready_when_every_profile_answered_one_way_or_the_other(daemon, upstream):
    good, refused, hanging = (upstream.vipps_client() for _ in range(3))
    upstream.revoke(refused["client_id"], "secret")
    upstream.fault(client_id=hanging["client_id"], hang=True)
    profiles.vipps(daemon, "good", upstream, good)
    profiles.vipps(daemon, "refused", upstream, refused)
    profiles.vipps(daemon, "hanging", upstream, hanging, refresh={"Timeout": f"{int(2 * TIME_FACTOR)}s"})
    began = time.monotonic()
    daemon.start(wait=False)

    upstream.wait(good["client_id"], ok=1)
    daemon.log.wait_for("profile-failed", "refused")
    daemon.wait_socket()
    daemon.status("good")  # a turn of the loop later there is still no READY, as long as there is time to answer
    assert not daemon.manager.has(READY="1") or time.monotonic() - began >= 2 * TIME_FACTOR

    daemon.wait_ready()
    assert daemon.log.wait_for("profile-failed", "hanging").level == ERROR
    assert daemon.status("good")["state"] == "fresh"
    failed = daemon.status("refused")
    assert (failed["state"], failed["last_error"]["reason"]) == ("failed", "invalid-keys")
    assert failed["last_error"]["http_status"] == 401
    status = daemon.status("hanging")
    assert status["state"] == "failed"
    assert (status["last_error"]["reason"], status["last_error"]["http_status"]) == ("timeout", None)
    assert "did not answer in time" in status["last_error"]["message"]
    ready = daemon.get("/readyz")
    assert ready.status == 503
    assert ready.headers["Retry-After"] == "1"
    assert ready.problem["detail"].startswith("2 of 3 profiles")
    assert daemon.manager.status and "2" in daemon.manager.status


def test_callers_at_a_cold_start_wait_for_the_first_token(daemon, upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], hang=True)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start(wait=False)
    upstream.wait(client["client_id"], held=1)
    daemon.wait_socket()

    with daemon.connection() as connection:
        connection.request("GET", "/v1/profiles/shop/token?wait=60")
        daemon.wait_metric("bearerd_waiters", 1)
        upstream.clear()
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    assert upstream.stats(client["client_id"])["requests"] == 1
    daemon.wait_ready()


def test_started_anew_it_asks_anew(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    first = daemon.token("shop")
    daemon.restart()
    second = daemon.token("shop")

    assert second["generation"] == 1
    assert second["access_token"] != first["access_token"]
    assert upstream.stats(client["client_id"])["requests"] == 2


@pytest.mark.parametrize("number", [2, 15])
def test_both_signals_end_it(daemon, upstream, number):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.start()
    daemon.signal(number)
    assert daemon.wait_exit() == 0
    assert daemon.manager.has(STOPPING="1")
    assert daemon.log.find("stopping")
    assert not daemon.socket.exists()


def test_a_hundred_profiles_start_within_the_limit_of_fetches(daemon, own_upstream):
    names = [f"shop-{i:03}" for i in range(100)]
    for name in names:
        profiles.vipps(daemon, name, own_upstream, own_upstream.vipps_client())
    daemon.main(ConcurrentFetches=8)
    daemon.start()

    listed = daemon.get("/v1/profiles").json["profiles"]
    assert [status["name"] for status in listed] == names
    assert {status["state"] for status in listed} == {"fresh"}
    stats = own_upstream.stats()
    assert (stats["requests"], stats["issued"]) == (100, 100)
    assert stats["max_in_flight"] <= 8
