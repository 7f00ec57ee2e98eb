# SPDX-License-Identifier: MIT
"""Refresh ahead of expiry: nobody is ever handed an expired token or made to wait, and the upstream is asked no more
often than the policy says."""

import time

import pytest
from lib import profiles
from lib.settings import TIME_FACTOR


def read_for(daemon, upstream, client, profile, generations):
    """Read the token again and again until so many generations were seen: [(asked at, token)] of every answer."""
    seen, reads = set(), []
    while len(seen) < generations:
        at = time.time()
        token = daemon.token(profile, "?wait=0")
        seen.add(token["generation"])
        reads.append((at, token))
    return reads


def truth(upstream, client, lifetime):
    """When each token really ends: {generation: epoch seconds}, as the upstream knows."""
    requests = [r for r in upstream.requests(client["client_id"]) if r["is_token_request"] and r["status"] == 200]
    return {i + 1: request["epoch"] + lifetime for i, request in enumerate(requests)}


@pytest.mark.parametrize("lifetime", [4, 8])  # a busy machine may well need a second or two for a request
def test_short_tokens_are_never_near_their_end(daemon, upstream, lifetime):
    client = upstream.vipps_client(lifetime=lifetime)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    started = time.monotonic()
    reads = read_for(daemon, upstream, client, "shop", 4)
    took = time.monotonic() - started

    ends = truth(upstream, client, lifetime)
    assert len(reads) >= 20
    for at, token in reads:
        # What a caller gets without asking for more is a tenth of the lifetime, at least.
        assert at + lifetime / 10 <= ends[token["generation"]], "an expired or nearly expired token"
        assert 0 <= token["expires_in"] <= lifetime
    generations = [token["generation"] for _, token in reads]
    assert generations == sorted(generations)
    # At=50%, Jitter=10%: two requests are at least 40% of a lifetime apart.
    stats = upstream.stats(client["client_id"])
    assert stats["requests"] <= took / (0.4 * lifetime) + 2
    assert stats["max_in_flight"] == 1
    assert daemon.metrics().value("bearerd_api_requests_total", profile="shop", code="503") == 0
    assert daemon.metrics().value("bearerd_api_requests_total", profile="shop", code="200") == len(reads)
    assert not daemon.log.find("refresh-failed") and not daemon.log.find("profile-failed")


def test_requests_are_spaced_as_the_policy_says(daemon, upstream):
    client = upstream.vipps_client(lifetime=2)
    profiles.vipps(daemon, "shop", upstream, client, refresh={"At": "50%", "Jitter": "10%"})
    daemon.start()
    upstream.wait(client["client_id"], ok=6)
    at = [request["at"] for request in upstream.requests(client["client_id"])]
    # Half of the life less at most a tenth, each. A loaded machine makes an arrival late, and the next seem early: so the
    # whole way counts, where only the first can be late to our disadvantage.
    assert at[5] - at[0] >= 5 * 0.8 - 0.5, at


def test_the_jitter_differs(daemon, upstream):
    clients = [upstream.vipps_client() for _ in range(8)]
    for i, client in enumerate(clients):
        profiles.vipps(daemon, f"shop{i}", upstream, client, refresh={"At": "50%", "Jitter": "20%"})
    daemon.start()
    metrics = daemon.metrics()
    planned = set()
    for i in range(8):
        at = metrics.value("bearerd_token_next_refresh_timestamp_seconds", profile=f"shop{i}")
        ends = metrics.value("bearerd_token_expiry_timestamp_seconds", profile=f"shop{i}")
        share = (3600 - (ends - at)) / 3600
        assert 0.2999 <= share <= 0.5001
        planned.add(round(share, 3))
    assert len(planned) > 4


def test_a_refresh_in_flight_makes_nobody_wait(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    before = daemon.token("shop")
    upstream.fault(client_id=client["client_id"], hang=True)
    with daemon.connection() as admin:
        admin.request("POST", "/v1/profiles/shop/refresh")
        upstream.wait(client["client_id"], held=1)
        status = daemon.status("shop")
        assert (status["state"], status["next_refresh_at"]) == ("refreshing", None)
        assert daemon.metrics().state("shop") == "refreshing"
        for _ in range(20):
            assert daemon.token("shop", "?wait=0")["access_token"] == before["access_token"]
        upstream.clear()
        response = admin.getresponse()
        assert response.status == 200
        response.read()
    after = daemon.token("shop")
    assert after["generation"] == before["generation"] + 1
    assert after["access_token"] != before["access_token"]


def test_life_counts_from_the_request(daemon, upstream):
    """The answer is held for most of the token's life: what arrives is nearly over, and is treated as such."""
    client = upstream.vipps_client(lifetime=3600)
    upstream.fault(client_id=client["client_id"], hang=True)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start(wait=False)
    upstream.wait(client["client_id"], held=1)
    asked_at = upstream.requests(client["client_id"])[0]["epoch"]
    daemon.wait_socket()
    time.sleep(1.5)  # the subject is a time: how long the answer was under way
    upstream.clear()
    daemon.wait_ready()
    ends = daemon.metrics().value("bearerd_token_expiry_timestamp_seconds", profile="shop")
    assert ends <= asked_at + 3600 + 0.1 * TIME_FACTOR


def test_a_token_that_is_over_when_it_comes_is_a_failure(daemon, upstream):
    client = upstream.vipps_client(lifetime=1)
    upstream.fault(client_id=client["client_id"], delay=1.2, times=1)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start(wait=False)
    daemon.log.wait_for("profile-failed", "life was over")
    daemon.wait_ready()
    error = daemon.wait_status("shop", lambda s: s["generation"] >= 1)["last_error"]
    assert (error["reason"], error["http_status"]) == ("expired-on-arrival", 200)
    outcomes = daemon.metrics()
    assert outcomes.value("bearerd_upstream_requests_total", profile="shop", outcome="expired-on-arrival") >= 1
