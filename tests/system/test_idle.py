# SPDX-License-Identifier: MIT
"""Preload=no: nothing is asked for until somebody wants it, and nothing any more when nobody has wanted it for long."""

import pytest
from lib import profiles
from lib.crowd import Crowd, Load
from lib.http import read_answer, request_bytes
from lib.settings import PATIENCE
from lib.watch import INFO

TOKEN = "/v1/profiles/shop/token"
ON_DEMAND = {"Preload": "no", "IdleAfter": "1min"}
# Of a token of 20 s: long before its end, so that no busy machine is late for it.
EACH_SECOND = {"At": "5%", "Jitter": "0%"}


@pytest.fixture
def shop(daemon, upstream):
    """A daemon with the profile "shop" that is fetched on first use, started; its client."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, profile=ON_DEMAND)
    daemon.start()
    return client


def n_requests(upstream, client):
    return upstream.stats(client["client_id"])["requests"]


# --- until the first use ----------------------------------------------------------------------------------------------


def test_nothing_is_asked_for_at_start(daemon, upstream, shop):
    status = daemon.status("shop")
    assert (status["state"], status["preload"], status["generation"]) == ("empty", False, 0)
    assert status["next_refresh_at"] is None and status["fingerprint"] is None and status["last_error"] is None
    assert daemon.get("/readyz").status == 200
    daemon.manager.wait_status(r"^0 of 1 profiles usable, 1 not in use$")
    # To look is not to use.
    for target in ("/v1/profiles", "/v1/profiles/shop", "/v1/profiles/shop/explain?uid=0", "/healthz", "/metrics"):
        assert daemon.get(target).status == 200
    assert daemon.metrics().state("shop") == "empty"
    assert n_requests(upstream, shop) == 0


def test_ready_waits_for_the_preloaded_ones_only(daemon, upstream):
    lazy, eager = upstream.vipps_client(), upstream.vipps_client()
    profiles.vipps(daemon, "lazy", upstream, lazy, profile=ON_DEMAND)
    profiles.vipps(daemon, "eager", upstream, eager)
    upstream.fault(client_id=eager["client_id"], hang=True)
    daemon.start(wait=False)
    upstream.wait(eager["client_id"], held=1)
    daemon.wait_socket()
    assert daemon.get("/readyz").status == 503
    assert not daemon.manager.has(READY="1")
    assert daemon.token("lazy")["generation"] == 1
    assert daemon.get("/readyz").status == 503
    upstream.clear()
    daemon.wait_ready()
    assert daemon.get("/readyz").status == 200


@pytest.mark.parametrize("is_held", [True, False], ids=["held", "quick"])
def test_a_thousand_first_callers_make_one_request(daemon, upstream, shop, is_held):
    if is_held:
        upstream.fault(client_id=shop["client_id"], hang=True)
    with Crowd(daemon, 1000) as crowd:
        crowd.ask(f"{TOKEN}?wait=60")
        if is_held:
            daemon.wait_metric("bearerd_waiters", 1000)
            assert daemon.status("shop")["state"] == "fetching"
            upstream.clear()
        answers = crowd.answers()
    assert {(answer.status, answer.json["generation"]) for answer in answers} == {(200, 1)}
    assert len({answer.json["access_token"] for answer in answers}) == 1
    assert n_requests(upstream, shop) == 1
    assert daemon.status("shop")["state"] == "fresh"
    daemon.manager.wait_status(r"^1 of 1 profiles usable; next: shop at ")


@pytest.mark.parametrize(
    "method, rest, body, headers",
    [
        ("GET", "token", b"", {}),
        ("GET", "token?wait=60&min_ttl=60", b"", {}),
        ("GET", "token?wait=60", b"", {"If-None-Match": '"g0"'}),
        ("GET", "headers", b"", {}),
        ("POST", "rejected", b'{"fingerprint": "0123456789abcdef"}', {}),
        ("POST", "refresh", b"", {}),
    ],
    ids=["token", "min_ttl", "poll", "headers", "rejected", "refresh"],
)
def test_every_use_is_a_use(daemon, upstream, shop, method, rest, body, headers):
    answer = daemon.call(method, f"/v1/profiles/shop/{rest}", body, headers)
    assert answer.status == 200
    assert daemon.status("shop")["generation"] == 1
    assert n_requests(upstream, shop) == 1


def test_who_may_not_have_it_does_not_wake_it(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, profile=ON_DEMAND, allow=None)
    daemon.start()
    assert daemon.get(TOKEN).status == 404
    assert daemon.call("POST", "/v1/profiles/shop/rejected", b'{"fingerprint": "0123456789abcdef"}').status == 404
    assert daemon.get("/v1/profiles/shop").json["state"] == "empty", "an admin sees it all the same"
    assert n_requests(upstream, client) == 0


def test_who_does_not_wait_sets_it_off_all_the_same(daemon, upstream, shop):
    upstream.fault(client_id=shop["client_id"], hang=True)
    answer = daemon.get(f"{TOKEN}?wait=0")
    assert (answer.status, answer.problem["state"]) == (503, "fetching")
    upstream.wait(shop["client_id"], held=1)
    upstream.clear()
    assert daemon.token("shop")["generation"] == 1
    assert n_requests(upstream, shop) == 1


def test_keys_that_are_bad_are_found_out_on_first_use(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(
        daemon, "shop", upstream, client, profile=ON_DEMAND, refresh={"RetryMin": "30s", "RetryMax": "60s"}
    )
    upstream.revoke(client["client_id"])
    daemon.start()
    assert not daemon.log.find("profile-failed")
    for _ in range(20):
        answer = daemon.get(TOKEN)
        assert (answer.status, answer.problem["state"]) == (503, "failed")
    assert n_requests(upstream, client) == 1
    assert daemon.get("/readyz").status == 200, "it is not among those that are kept ready"
    daemon.stop()
    assert len(daemon.log.find("profile-failed")) == 1


def test_while_it_is_used_it_is_refreshed(daemon, upstream):
    client = upstream.vipps_client(lifetime=20)
    profiles.vipps(daemon, "shop", upstream, client, profile=ON_DEMAND, refresh=EACH_SECOND)
    daemon.start()
    assert daemon.token("shop")["expires_in"] <= 20
    with Load(daemon, [f"{TOKEN}?wait=0"], threads=1) as load:
        load.wait_generation(4)
    assert load.failures == [], "never made to wait, as with Preload=yes"
    daemon.stop()
    assert not daemon.log.find("profile-idle")


# --- after the last use -----------------------------------------------------------------------------------------------

# Tokens of 16 s that are renewed every 4 s: 12 s of their life are left when refreshing stops.
SIXTEEN = {"At": "25%", "Jitter": "0%"}


def is_idle(daemon, name):
    status = daemon.status(name)
    return (status["state"], status["next_refresh_at"], daemon.metrics().state(name)) == ("idle", None, "idle")


def test_a_minute_without_a_request(daemon, upstream):
    """IdleAfter= is a minute at least, and so is this test; it does all that takes one."""
    names = ["token", "rejected", "poll", "refresh", "used"]
    clients = {name: upstream.vipps_client(lifetime=16) for name in names}
    for name in names:
        profiles.vipps(daemon, name, upstream, clients[name], profile=ON_DEMAND, refresh=SIXTEEN)
    clients |= {"brief": upstream.vipps_client(lifetime=2), "preloaded": upstream.vipps_client(lifetime=20)}
    profiles.vipps(daemon, "brief", upstream, clients["brief"], profile=ON_DEMAND)
    profiles.vipps(daemon, "preloaded", upstream, clients["preloaded"], refresh=EACH_SECOND)
    daemon.start()
    for name in clients:
        for _ in range(3):
            daemon.token(name)

    # Half a minute later somebody wants one of them again. Everything else here looks, and uses nothing.
    upstream.wait(clients["used"]["client_id"], requests=8, timeout=2 * PATIENCE)
    daemon.token("used", "?wait=0")
    for _ in range(10):
        for target in ("/v1/profiles", "/readyz", "/metrics"):
            assert daemon.get(target).status == 200

    # The audit's minute is the same one: what followed the first handout is told, to the last one.
    line = daemon.log.wait_for("token-handouts", r"^token: ", timeout=4 * PATIENCE)
    assert line.message.startswith("token: 2 more tokens handed to ")

    asleep = [name for name in clients if name not in ("used", "preloaded")]
    for name in asleep:
        line = daemon.log.wait_for("profile-idle", f"^{name}: idle, nobody has asked for 1min ", timeout=4 * PATIENCE)
        assert line.level == INFO
        assert is_idle(daemon, name)
    counts = {name: n_requests(upstream, clients[name]) for name in asleep}
    tokens = {name: daemon.status(name)["fingerprint"] for name in asleep}
    assert daemon.get("/readyz").status == 200
    assert not is_idle(daemon, "used") and not is_idle(daemon, "preloaded")

    # A token that is still good is handed out while the one request is made that it sets off.
    upstream.fault(client_id=clients["token"]["client_id"], hang=True)
    token = daemon.token("token", "?wait=0")
    assert token["fingerprint"] == tokens["token"] and token["expires_in"] > 1
    upstream.wait(clients["token"]["client_id"], held=1)
    assert daemon.status("token")["state"] == "refreshing"
    assert daemon.token("token", "?wait=0")["fingerprint"] == tokens["token"]
    upstream.clear()
    newer = daemon.wait_status("token", generation=token["generation"] + 1)
    assert newer["state"] == "fresh" and newer["next_refresh_at"] is not None

    # The other ways to wake one.
    body = b'{"fingerprint": "%s"}' % tokens["rejected"].encode()
    answer = daemon.call("POST", "/v1/profiles/rejected/rejected", body)
    assert answer.status == 200 and answer.json["fingerprint"] != tokens["rejected"]
    with daemon.connect() as sock:
        tag = f'If-None-Match: "g{daemon.status("poll")["generation"]}"'
        sock.sendall(request_bytes("/v1/profiles/poll/token?wait=60", headers=[tag]))
        assert read_answer(sock).json["fingerprint"] != tokens["poll"]
    assert daemon.call("POST", "/v1/profiles/refresh/refresh").json["state"] == "fresh"
    for name in ("token", "rejected", "poll", "refresh"):
        assert n_requests(upstream, clients[name]) == counts[name] + 1

    # One that slept on until its token was over: three lives of such a token later nothing was asked for.
    go_on = n_requests(upstream, clients["preloaded"])
    upstream.wait(clients["preloaded"]["client_id"], requests=go_on + 6)
    status = daemon.status("brief")
    assert (status["state"], status["expires_at"], status["fingerprint"]) == ("idle", None, None)
    assert n_requests(upstream, clients["brief"]) == counts["brief"]
    assert daemon.token("brief")["generation"] == status["generation"] + 1
    assert n_requests(upstream, clients["brief"]) == counts["brief"] + 1
    # Awake for good: the schedule goes on.
    upstream.wait(clients["brief"]["client_id"], requests=counts["brief"] + 3)
    daemon.stop()
    assert len(daemon.log.find("profile-idle", "^brief: ")) == 1
    assert not daemon.log.find("refresh-failed") and not daemon.log.find("profile-failed")
