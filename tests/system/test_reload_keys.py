# SPDX-License-Identifier: MIT
"""Keys that change by a reload: new ones are proven while the old token is handed out, and nobody gets a token of
another client; what is in flight goes on or begins anew."""

import contextlib
import json

import pytest
from lib import profiles
from lib.gate import Gate, can_be_had
from lib.http import read_answer, request_bytes
from lib.reload import changes, edit, reload
from lib.settings import PATIENCE

TOKEN = "/v1/profiles/shop/token"
# Failed keys are not tried again within a test: each request is one that the test has set off.
SLOW = {"RetryMin": "60s", "RetryMax": "120s"}


@pytest.fixture
def shop(daemon, upstream):
    """A daemon, started, with the profiles "shop" and "other"; the client of "shop"."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, refresh=SLOW)
    profiles.vipps(daemon, "other", upstream, upstream.vipps_client())
    daemon.start()
    return client


def n_requests(upstream, client):
    return upstream.stats(client["client_id"])["requests"]


def new_secret(daemon, upstream, client):
    """The issuer gives the client another secret, and the operator puts it where the daemon will look."""
    secret = client["client_secret"][::-1]
    upstream.change(client["client_id"], client_secret=secret)
    daemon.key("shop.client-secret", secret)
    return client | {"client_secret": secret}


@contextlib.contextmanager
def reload_under_way(daemon, upstream, client, requests):
    """POST /v1/reload while the upstream does not answer this client; the socket its answer will come on."""
    with daemon.connect() as admin:
        upstream.fault(client_id=client["client_id"], hang=True)
        admin.sendall(request_bytes("/v1/reload", "POST"))
        upstream.wait(client["client_id"], requests=requests, held=1)
        yield admin


# --- the same client --------------------------------------------------------------------------------------------------


def test_right_keys_are_proven_while_the_old_token_is_handed_out(daemon, upstream, shop):
    old = daemon.token("shop")
    shop = new_secret(daemon, upstream, shop)
    with reload_under_way(daemon, upstream, shop, requests=2) as admin:
        for _ in range(10):
            assert daemon.token("shop", "?wait=0")["fingerprint"] == old["fingerprint"]
        assert upstream.ping(daemon.headers("shop")) == (200, {"client": shop["client_id"]})
        upstream.clear()
        assert changes(read_answer(admin).json) == {"shop": ("keys", "proven")}
    new = daemon.token("shop", "?wait=0")
    assert new["generation"] == old["generation"] + 1 and new["fingerprint"] != old["fingerprint"]
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": shop["client_id"]})
    assert n_requests(upstream, shop) == 2


def test_wrong_keys_do_no_harm_to_the_old_token(daemon, upstream, shop):
    old = daemon.token("shop")
    right = daemon.key_folder / "shop.client-secret"
    saved = right.read_text()
    right.write_text("d3Jvbmc=")
    outcome = reload(daemon)
    assert changes(outcome) == {"shop": ("keys", "failed")}
    [change] = outcome["changed"]
    assert "401" in change["message"] and "d3Jvbmc=" not in json.dumps(outcome)
    token = daemon.token("shop", "?wait=0")
    assert token["fingerprint"] == old["fingerprint"]
    status = daemon.status("shop")
    assert (status["state"], status["generation"], status["consecutive_failures"]) == ("stale", 1, 1)
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": shop["client_id"]})
    # A reload of something else tries them no second time: the back-off stands.
    edit(daemon.profile_folder / "other.conf", "Allow=any", "Allow=any\nAllow=user:4242")
    assert changes(reload(daemon)) == {"other": ("access", None)}
    assert n_requests(upstream, shop) == 2
    # Back to right: at once, whatever the back-off says.
    right.write_text(saved)
    assert changes(reload(daemon)) == {"shop": ("keys", "proven")}
    assert (daemon.status("shop")["state"], daemon.token("shop")["generation"]) == ("fresh", 2)
    assert n_requests(upstream, shop) == 3


def test_a_wrong_subscription_key_does_no_harm_to_the_header_set(daemon, upstream, shop):
    """Header sets are handed out with the keys that the token was got with, not with ones that were just refused."""
    right = daemon.key_folder / "shop.subscription-key"
    saved = right.read_text()
    right.write_text("0" * 32)
    assert changes(reload(daemon)) == {"shop": ("keys", "failed")}
    assert daemon.status("shop")["state"] == "stale"
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": shop["client_id"]})
    right.write_text(saved)
    assert changes(reload(daemon)) == {"shop": ("keys", "proven")}
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": shop["client_id"]})


def test_keys_that_failed_at_the_start_are_repaired(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client | {"client_secret": "d3Jvbmc="}, refresh=SLOW)
    daemon.start()
    assert daemon.get(f"{TOKEN}?wait=0").status == 503
    profiles.vipps(daemon, "shop", upstream, client, refresh=SLOW)
    assert changes(reload(daemon)) == {"shop": ("keys", "proven")}
    assert daemon.token("shop", "?wait=0")["generation"] == 1
    assert n_requests(upstream, client) == 2


def test_keys_that_change_again_before_the_first_are_proven(daemon, upstream, shop):
    """The second reload calls the first one's request off; both are told what became of the second one's."""
    first = new_secret(daemon, upstream, shop)
    with reload_under_way(daemon, upstream, first, requests=2) as one:
        second = new_secret(daemon, upstream, first) | {"client_secret": shop["client_secret"]}
        profiles.vipps(daemon, "shop", upstream, second, refresh=SLOW | {"Timeout": "20s"})
        with daemon.connect() as two:
            two.sendall(request_bytes("/v1/reload", "POST"))
            upstream.wait(shop["client_id"], requests=3)
            upstream.clear()
            for sock in (one, two):
                assert changes(read_answer(sock).json) == {"shop": ("keys", "proven")}
    assert daemon.token("shop")["generation"] == 2
    assert n_requests(upstream, shop) == 3


@pytest.mark.needs_root
def test_keys_that_fail_are_told_whoever_else_reloads(daemon, upstream, shop):
    """The reading that finds them is followed by another, since somebody else has asked, too."""
    if not can_be_had(daemon.config):
        pytest.skip("no fanotify permission events here")
    daemon.key("shop.client-secret", "d3Jvbmc=")
    with daemon.connect() as one, daemon.connect() as two:
        with Gate(daemon.key_folder / "shop.subscription-key") as gate:  # behind the secret
            one.sendall(request_bytes("/v1/reload", "POST"))
            gate.wait()
            two.sendall(request_bytes("/v1/reload", "POST"))
            daemon.wait_metric("bearerd_waiters", 2)
        assert changes(read_answer(one).json) == {"shop": ("keys", "failed")}
        assert changes(read_answer(two).json) == {"shop": ("keys", "failed")}
    assert n_requests(upstream, shop) == 2


# --- another client ---------------------------------------------------------------------------------------------------


def test_no_token_of_the_old_client_is_handed_out(daemon, upstream, shop):
    """From the moment the new client is asked for; who waits gets the new one's, who polls sees the change."""
    old = daemon.token("shop")
    new = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, new)
    with contextlib.ExitStack() as stack:
        polls = stack.enter_context(daemon.connect())
        polls.sendall(request_bytes(f"{TOKEN}?wait=60", headers=['If-None-Match: "g1"']))
        daemon.wait_metric("bearerd_waiters", 1)
        admin = stack.enter_context(reload_under_way(daemon, upstream, new, requests=1))
        answer = daemon.get(f"{TOKEN}?wait=0&min_ttl=0")
        assert (answer.status, answer.problem_type) == (503, "no-usable-token")
        assert daemon.get("/v1/profiles/shop/headers?wait=0").status == 503
        status = daemon.status("shop")
        assert (status["state"], status["fingerprint"], status["expires_at"]) == ("fetching", None, None)
        waits = stack.enter_context(daemon.connect())
        waits.sendall(request_bytes(TOKEN))
        daemon.wait_metric("bearerd_waiters", 3)
        upstream.clear()
        for sock in (waits, polls):
            body = read_answer(sock).json
            assert body["generation"] == old["generation"] + 1 and body["fingerprint"] != old["fingerprint"]
        assert changes(read_answer(admin).json) == {"shop": ("identity", "proven")}
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": new["client_id"]})
    assert n_requests(upstream, new) == 1 and n_requests(upstream, shop) == 1


def test_another_sales_unit_is_another_identity(daemon, upstream):
    """With partner keys it is the header that says for whom a token is."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, headers={"Merchant-Serial-Number": "111111"})
    daemon.start()
    profiles.vipps(daemon, "shop", upstream, client, headers={"Merchant-Serial-Number": "222222"})
    with reload_under_way(daemon, upstream, client, requests=2):
        assert daemon.get(f"{TOKEN}?wait=0").status == 503
        upstream.clear()
    assert daemon.headers("shop")["Merchant-Serial-Number"] == "222222"


def test_wrong_keys_of_another_client_leave_nothing(daemon, upstream, shop):
    stranger = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, stranger | {"client_secret": "d3Jvbmc="}, refresh=SLOW)
    assert changes(reload(daemon)) == {"shop": ("identity", "failed")}
    answer = daemon.get(TOKEN)
    assert (answer.status, answer.problem["state"]) == (503, "failed")
    assert daemon.get("/readyz").status == 503
    # Back to the first client: the token that it had is gone, another comes.
    profiles.vipps(daemon, "shop", upstream, shop, refresh=SLOW)
    assert changes(reload(daemon)) == {"shop": ("identity", "proven")}
    assert daemon.token("shop")["generation"] == 2
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": shop["client_id"]})


# --- while something is in flight -------------------------------------------------------------------------------------


def test_a_request_in_flight_outlives_a_reload_that_is_not_its_business(daemon, upstream, shop):
    """Exactly one request, though the reload changed rules, moments and another profile's keys."""
    upstream.fault(client_id=shop["client_id"], hang=True)
    with daemon.connect() as waits:
        waits.sendall(request_bytes("/v1/profiles/shop/refresh", "POST"))
        upstream.wait(shop["client_id"], held=1)
        file = daemon.profile_folder / "shop.conf"
        edit(file, "Allow=any", "Allow=user:0")
        assert changes(reload(daemon)) == {"shop": ("access", None)}
        edit(file, "RetryMax=120s", "RetryMax=180s")
        assert changes(reload(daemon)) == {"shop": ("policy", None)}
        profiles.vipps(daemon, "other", upstream, upstream.vipps_client())
        assert changes(reload(daemon)) == {"other": ("identity", "proven")}
        assert upstream.stats(shop["client_id"])["held"] == 1
        upstream.clear()
        assert read_answer(waits).json["generation"] == 2
    stats = upstream.stats(shop["client_id"])
    assert (stats["requests"], stats["ok"]) == (2, 2)


def test_a_request_in_flight_begins_anew_with_new_keys(daemon, upstream, shop):
    """Who waited for the first one waits on, and gets what the second one brings."""
    upstream.fault(client_id=shop["client_id"], hang=True, times=1)
    with daemon.connect() as refreshes, daemon.connect() as reports:
        refreshes.sendall(request_bytes("/v1/profiles/shop/refresh", "POST"))
        upstream.wait(shop["client_id"], held=1)
        report = json.dumps({"fingerprint": daemon.token("shop")["fingerprint"]}).encode()
        reports.sendall(request_bytes("/v1/profiles/shop/rejected", "POST", body=report))
        daemon.wait_metric("bearerd_waiters", 2)
        new_secret(daemon, upstream, shop)
        assert changes(reload(daemon)) == {"shop": ("keys", "proven")}
        assert read_answer(refreshes).json["generation"] == 2
        assert read_answer(reports).json["generation"] == 2
    stats = upstream.wait(shop["client_id"], requests=3, in_flight_max=0)
    assert (stats["requests"], stats["ok"]) == (3, 2)


# --- when to ask ------------------------------------------------------------------------------------------------------


def test_another_moment_to_refresh_costs_no_request(daemon, upstream, shop):
    before = daemon.status("shop")
    file = daemon.profile_folder / "shop.conf"
    edit(file, "[Refresh]", "[Refresh]\nAt=90%\nJitter=0%")
    assert changes(reload(daemon)) == {"shop": ("policy", None)}
    after = daemon.status("shop")
    assert after["next_refresh_at"] > before["next_refresh_at"]
    assert (after["generation"], after["fingerprint"]) == (1, before["fingerprint"])
    edit(file, "At=90%", "At=20%")
    reload(daemon)
    assert daemon.status("shop")["next_refresh_at"] < before["next_refresh_at"]
    assert n_requests(upstream, shop) == 1


def test_a_moment_that_has_passed_is_now(daemon, upstream):
    """At=1% of a token that is seconds old: no later than the spacing allows."""
    client = upstream.vipps_client(lifetime=40)
    profiles.vipps(daemon, "shop", upstream, client, refresh={"At": "90%", "Jitter": "0%"})
    daemon.start()
    profiles.vipps(daemon, "shop", upstream, client, refresh={"At": "1%", "Jitter": "0%", "RetryMin": "100ms"})
    reload(daemon)
    upstream.wait(client["client_id"], requests=2, timeout=PATIENCE)


def test_preload_on_and_off(daemon, upstream, shop):
    """Off: the token stays and is handed out. On: fetched without anybody asking, where there is none."""
    client = upstream.vipps_client()
    lazy = profiles.vipps(daemon, "lazy", upstream, client, profile={"Preload": "no"})
    assert reload(daemon)["added"] == ["lazy"]
    assert daemon.status("lazy")["state"] == "empty"
    edit(lazy, "Preload=no", "Preload=yes")
    assert changes(reload(daemon))["lazy"][0] == "policy"
    upstream.wait(client["client_id"], ok=1)
    daemon.wait_status("lazy", state="fresh")
    edit(lazy, "Preload=yes", "Preload=no")
    reload(daemon)
    assert daemon.token("lazy", "?wait=0")["generation"] == 1
    assert n_requests(upstream, client) == 1


def test_a_lazy_profile_in_use_keeps_its_users_through_new_keys(daemon, upstream):
    """Preload=no: new keys are proven where a token is in use, and left alone where none ever was."""
    used, unused = upstream.vipps_client(), upstream.vipps_client()
    for name, client in (("shop", used), ("unused", unused)):
        profiles.vipps(daemon, name, upstream, client, profile={"Preload": "no"}, refresh=SLOW)
    daemon.start()
    assert daemon.token("shop")["generation"] == 1
    new_secret(daemon, upstream, used)
    daemon.key("unused.client-secret", "d3Jvbmc=")
    assert changes(reload(daemon)) == {"shop": ("keys", "proven"), "unused": ("keys", None)}
    assert daemon.token("shop")["generation"] == 2
    assert (n_requests(upstream, used), n_requests(upstream, unused)) == (2, 0)
