# SPDX-License-Identifier: MIT
"""Upstreams that are away, refuse keys or ask for patience: what callers get meanwhile, and that the end of the
trouble is noticed without anybody's help."""

import time

import pytest
from lib import profiles
from lib.settings import TIME_FACTOR
from lib.watch import ERROR, NOTICE, WARNING


def refresh(daemon, profile="shop"):
    return daemon.call("POST", f"/v1/profiles/{profile}/refresh")


# --- shorter than the token -------------------------------------------------------------------------------------------


def test_outage_shorter_than_the_token(daemon, own_upstream):
    client = own_upstream.vipps_client()
    profiles.vipps(daemon, "shop", own_upstream, client)
    daemon.start()
    before = daemon.token("shop")
    own_upstream.down("http")

    answer = refresh(daemon)
    assert (answer.status, answer.problem_type) == (503, "refresh-failed")
    assert answer.problem["state"] == "stale"
    assert answer.problem["last_error"]["reason"] == "connect"
    line = daemon.log.wait_for("refresh-failed", "shop")
    assert line.level == WARNING
    daemon.wait_status("shop", lambda s: s["consecutive_failures"] >= 3)
    status = daemon.status("shop")
    assert status["state"] == "stale"
    assert (status["last_error"]["reason"], status["last_error"]["http_status"]) == ("connect", None)
    metrics = daemon.metrics()
    assert metrics.state("shop") == "stale"
    assert metrics.value("bearerd_upstream_requests_total", profile="shop", outcome="connect") >= 3
    # The token is still good, and so it is handed out, at once; the daemon is ready.
    assert daemon.token("shop", "?wait=0")["access_token"] == before["access_token"]
    assert daemon.get("/readyz").status == 200
    assert not daemon.log.find("profile-failed")

    own_upstream.up("http")
    line = daemon.log.wait_for("recovered", "shop")
    assert line.level == NOTICE
    status = daemon.wait_status("shop", state="fresh")
    assert (status["generation"], status["consecutive_failures"]) == (before["generation"] + 1, 0)
    assert own_upstream.ping(daemon.headers("shop"))[0] == 200


# --- longer than the token --------------------------------------------------------------------------------------------


def test_outage_longer_than_the_token(daemon, own_upstream):
    client = own_upstream.vipps_client(lifetime=2)
    profiles.vipps(daemon, "shop", own_upstream, client)
    daemon.start()
    assert daemon.token("shop", "?wait=0")
    own_upstream.down("http")

    daemon.log.wait_for("refresh-failed", "shop")
    failed = daemon.log.wait_for("profile-failed", "shop")
    assert failed.level == ERROR
    assert daemon.manager.wait_status(r"\b1\b")
    status = daemon.wait_status("shop", state="failed", expires_in=None)
    assert (status["fingerprint"], status["expires_at"]) == (None, None)
    answer = daemon.get("/v1/profiles/shop/token?wait=0")
    assert (answer.status, answer.problem_type) == (503, "no-usable-token")
    assert answer.problem["profile"] == "shop"
    assert answer.problem["state"] == "failed"
    assert answer.problem["last_error"]["reason"] == "connect"
    assert "vipps cannot be reached" in answer.problem["detail"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert daemon.get("/readyz").status == 503
    daemon.wait_status("shop", lambda s: s["consecutive_failures"] >= status["consecutive_failures"] + 3)

    # A caller who waits is served by the retry that succeeds: nobody had to do anything.
    own_upstream.change(client["client_id"], lifetime=3600)
    own_upstream.up("http")
    assert daemon.token("shop", "?wait=60")["generation"] > status["generation"]
    daemon.log.wait_for("recovered", "shop")
    assert daemon.get("/readyz").status == 200
    assert own_upstream.ping(daemon.headers("shop"))[0] == 200


def test_recovery_comes_within_retry_max(daemon, own_upstream):
    client = own_upstream.vipps_client()
    profiles.vipps(daemon, "shop", own_upstream, client, refresh={"RetryMin": "100ms", "RetryMax": "1s"})
    own_upstream.fault(client_id=client["client_id"], status=503)
    daemon.start()
    daemon.wait_status("shop", lambda s: s["consecutive_failures"] >= 6)
    own_upstream.clear()
    cleared_at = time.monotonic()
    stats = own_upstream.wait(client["client_id"], ok=1)
    assert stats["last_at"] - cleared_at < 1 + 1 * TIME_FACTOR
    at = [request["at"] for request in own_upstream.requests(client["client_id"])]
    gaps = [later - earlier for earlier, later in zip(at, at[1:])]
    assert min(gaps) >= 0.1 * 0.95, "RetryMin holds from the first failure on"


# --- refused keys -----------------------------------------------------------------------------------------------------


def test_refused_keys_and_new_ones(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, refresh={"RetryMin": "10s", "RetryMax": "10s"})
    upstream.revoke(client["client_id"], "subscription_key")
    daemon.start()

    answer = daemon.get("/v1/profiles/shop/token")  # does not wait: only new keys can help
    assert (answer.status, answer.problem_type) == (503, "no-usable-token")
    problem = answer.problem
    assert problem["detail"].startswith("vipps answered 401: Access denied due to invalid subscription key")
    assert problem["detail"].endswith("are these keys for the other environment?")
    assert problem["state"] == "failed"
    assert (problem["last_error"]["reason"], problem["last_error"]["http_status"]) == ("subscription-key", 401)
    assert int(answer.headers["Retry-After"]) >= 1
    line = daemon.log.wait_for("profile-failed", "shop: .*invalid subscription key")
    assert line.level == ERROR
    # A permanent refusal is probed, slowly: 20 to 40 s after the first failure with RetryMin=10s.
    planned = daemon.metrics().value("bearerd_token_next_refresh_timestamp_seconds", profile="shop")
    asked = upstream.requests(client["client_id"])[-1]["epoch"]
    assert 19.9 <= planned - asked <= 40.1 + TIME_FACTOR
    for _ in range(20):
        assert daemon.get("/v1/profiles/shop/token").status == 503
    assert upstream.stats(client["client_id"])["requests"] == 1, "callers do not shorten the back-off"

    # New keys: written where the old ones were, and a restart.
    upstream.change(client["client_id"], subscription_keys=["a" * 32, "b" * 32])
    upstream.restore(client["client_id"])
    daemon.key("shop.subscription-key", "a" * 32 + "\n")
    daemon.restart()
    assert daemon.status("shop")["state"] == "fresh"
    assert upstream.ping(daemon.headers("shop"))[0] == 200


def test_keys_repaired_at_the_upstream_are_noticed(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    upstream.revoke(client["client_id"], "secret")
    daemon.start()
    assert daemon.status("shop")["last_error"]["reason"] == "invalid-keys"
    upstream.restore(client["client_id"], "secret")
    daemon.log.wait_for("recovered", "shop")
    assert daemon.status("shop")["state"] == "fresh"


def test_refused_keys_while_a_token_is_good(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    before = daemon.token("shop")
    upstream.revoke(client["client_id"], "all")
    assert refresh(daemon).problem["state"] == "stale"
    assert daemon.token("shop", "?wait=0")["access_token"] == before["access_token"]
    assert daemon.log.wait_for("refresh-failed", "shop").level == WARNING


def test_keys_of_the_other_environment(daemon, upstream):
    client = upstream.vipps_client()
    upstream.unregister(client["client_id"])
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    answer = daemon.get("/v1/profiles/shop/token")
    assert answer.status == 503
    detail = answer.problem["detail"]
    assert detail.startswith("vipps answered 400: ")
    assert "AADSTS70001" in detail and "directory testapivipps.no" in detail
    assert detail.endswith("are these keys for the other environment?")
    error = answer.problem["last_error"]
    assert (error["reason"], error["http_status"]) == ("invalid-keys", 400)


# --- Retry-After ------------------------------------------------------------------------------------------------------


def planned_after_refusal(daemon, upstream, client, refresh):
    """Starts; seconds between the refusal and the next attempt as it is planned."""
    profiles.vipps(daemon, "shop", upstream, client, refresh=refresh)
    daemon.start()
    status = daemon.status("shop")
    assert (status["state"], status["last_error"]["reason"]) == ("failed", "rate-limited")
    assert status["last_error"]["http_status"] == 429
    planned = daemon.metrics().value("bearerd_token_next_refresh_timestamp_seconds", profile="shop")
    return planned - upstream.requests(client["client_id"])[0]["epoch"]


@pytest.mark.parametrize(
    "value, low, high",
    [
        (20, 20, 20),
        ({"date_in": 20}, 18.9, 20.1),  # the date has whole seconds
        ("86400000", 3600, 3600),  # ten thousand days are taken as an hour
        (1, 5, 5.1),  # RetryMin is the floor
        (0, 5, 8),  # as if it were not there: the usual back-off
        ({"date_in": -3600}, 5, 8),  # gone by: the usual back-off
        ("soon", 5, 8),
    ],
)
def test_retry_after(daemon, upstream, value, low, high):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], status=429, retry_after=value)
    planned = planned_after_refusal(daemon, upstream, client, {"RetryMin": "5s", "RetryMax": "8s"})
    assert low - 0.1 <= planned <= high + TIME_FACTOR
    # And the callers are told the same: when it makes sense to come back.
    answer = daemon.get("/v1/profiles/shop/token?wait=0")
    assert answer.status == 503
    assert abs(int(answer.headers["Retry-After"]) - planned) <= 2 + TIME_FACTOR
    assert upstream.stats(client["client_id"])["requests"] == 1


def test_retry_after_is_kept_by_the_clock(daemon, upstream):
    """One second, to the millisecond not earlier, and then at once."""
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], status=429, retry_after=1, times=1)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    stats = upstream.wait(client["client_id"], ok=1)
    assert 0.99 <= stats["last_at"] - stats["first_at"] <= 1.5 + TIME_FACTOR


def test_a_caller_does_not_wait_for_what_cannot_come(daemon, upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], status=429, retry_after=600)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    began = time.monotonic()
    answer = daemon.get("/v1/profiles/shop/token?wait=60")
    assert answer.status == 503
    assert time.monotonic() - began < 30, "the next attempt is ten minutes away"
    assert 590 <= int(answer.headers["Retry-After"]) <= 600
