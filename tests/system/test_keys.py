# SPDX-License-Identifier: MIT
"""Two keys of a kind: the secondary subscription key steps in when the primary one dies, and a client secret is
rotated while everybody works on."""

import pytest
from lib import memory, profiles
from lib.crowd import Load
from lib.watch import NOTICE, WARNING

STATUS = "/v1/profiles/shop"

# Requests are counted here: none by the way.
SLOW = {"RetryMin": "30s", "RetryMax": "60s"}


def refresh(daemon):
    return daemon.call("POST", f"{STATUS}/refresh")


def n_requests(upstream, client):
    return upstream.stats(client["client_id"])["requests"]


# --- subscription keys ------------------------------------------------------------------------------------------------


def two_keys(daemon, upstream, client, **refresh):
    """The profile "shop" with both subscription keys."""
    path = daemon.key("shop.secondary", client["subscription_keys"][1] + "\n")
    keys = {"SecondarySubscriptionKeyFile": path}
    profiles.vipps(daemon, "shop", upstream, client, keys=keys, refresh=SLOW | refresh)


@pytest.fixture
def shop(daemon, upstream):
    """A daemon with the profile "shop" and both its keys, not started; its client."""
    client = upstream.vipps_client()
    two_keys(daemon, upstream, client)
    return client


def check_set(daemon, upstream, client, index):
    """The header set carries the key of this index, and works."""
    headers = daemon.headers("shop")
    assert headers["Ocp-Apim-Subscription-Key"] == client["subscription_keys"][index]
    assert upstream.ping(headers) == (200, {"client": client["client_id"]})
    assert daemon.status("shop")["subscription_key"] == ("primary", "secondary")[index]


def test_both_alive_is_the_primary(daemon, upstream, shop):
    daemon.start()
    check_set(daemon, upstream, shop, 0)
    assert refresh(daemon).status == 200
    assert n_requests(upstream, shop) == 2
    daemon.stop()
    assert not daemon.log.find("key-fallback")


def test_the_secondary_steps_in_within_the_attempt(daemon, upstream, shop):
    daemon.start()
    upstream.revoke(shop["client_id"], "subscription_key", 0)
    answer = refresh(daemon)
    assert (answer.status, answer.json["generation"], answer.json["consecutive_failures"]) == (200, 2, 0)
    assert n_requests(upstream, shop) == 1 + 2
    check_set(daemon, upstream, shop, 1)
    line = daemon.log.wait_for("key-fallback")
    assert line.level == WARNING and line.message.startswith("shop: works with the secondary subscription key")
    # It stays in use: no further request is wasted on the dead one, and nothing further is said.
    for n, generation in enumerate((3, 4), start=1):
        assert refresh(daemon).json["generation"] == generation
        assert n_requests(upstream, shop) == 3 + n
    check_set(daemon, upstream, shop, 1)
    metrics = daemon.metrics()
    assert metrics.value("bearerd_upstream_requests_total", profile="shop", outcome="ok") == 4
    assert metrics.value("bearerd_upstream_requests_total", profile="shop", outcome="subscription-key") == 1
    in_use = {labels["kind"]: labels["key"] for labels in metrics.labels("bearerd_key_in_use")}
    assert in_use == {"client_secret": "current", "subscription_key": "secondary"}
    daemon.stop()
    assert len(daemon.log.find("key-fallback")) == 1
    assert not daemon.log.find("refresh-failed") and not daemon.log.find("profile-failed")


def test_callers_see_nothing_of_it(daemon, upstream):
    """A token that is refreshed by the clock, long before its end, and the primary key dies in between."""
    client = upstream.vipps_client(lifetime=20)
    two_keys(daemon, upstream, client, RetryMin="1s", At="5%", Jitter="0%")
    daemon.start()
    with Load(daemon, ["/v1/profiles/shop/token?wait=0", "/v1/profiles/shop/headers?wait=0", "/readyz"]) as load:
        load.wait_generation(1)
        upstream.revoke(client["client_id"], "subscription_key", 0)
        daemon.log.wait_for("key-fallback")
        fallen = daemon.status("shop")["generation"]
        load.wait_generation(fallen + 2)
    assert load.failures == []
    daemon.stop()
    stats = upstream.stats(client["client_id"])
    assert stats["requests"] == stats["ok"] + 1, "one request was refused, and the next was right"
    assert len(daemon.log.find("key-fallback")) == 1
    assert not daemon.log.find("refresh-failed") and not daemon.log.find("profile-failed")


def test_a_dead_primary_at_start(daemon, upstream, shop):
    upstream.revoke(shop["client_id"], "subscription_key", 0)
    daemon.start()
    assert daemon.token("shop", "?wait=0")["generation"] == 1
    check_set(daemon, upstream, shop, 1)
    assert n_requests(upstream, shop) == 2
    daemon.stop()
    assert len(daemon.log.find("key-fallback")) == 1 and not daemon.log.find("profile-failed")


def test_the_way_back(daemon, upstream, shop):
    """The primary key is regenerated, and the secondary one in its turn."""
    daemon.start()
    upstream.revoke(shop["client_id"], "subscription_key", 0)
    assert refresh(daemon).status == 200
    upstream.restore(shop["client_id"], "subscription_key", 0)
    upstream.revoke(shop["client_id"], "subscription_key", 1)
    assert refresh(daemon).status == 200
    assert n_requests(upstream, shop) == 1 + 2 + 2
    check_set(daemon, upstream, shop, 0)
    daemon.stop()
    first, second = daemon.log.find("key-fallback")
    assert (first.level, second.level) == (WARNING, NOTICE)
    assert second.message.startswith("shop: works with the primary subscription key")


def test_both_dead(daemon, upstream, shop):
    daemon.start()
    old = daemon.token("shop")
    upstream.revoke(shop["client_id"], "subscription_key")
    answer = refresh(daemon)
    assert (answer.status, answer.problem["last_error"]["reason"]) == (503, "subscription-key")
    assert answer.problem["detail"].startswith("vipps answered 401 to the secondary subscription key: Access denied")
    assert n_requests(upstream, shop) == 1 + 2
    assert daemon.token("shop", "?wait=0")["access_token"] == old["access_token"]
    status = daemon.status("shop")
    assert (status["state"], status["consecutive_failures"]) == ("stale", 1)
    daemon.log.wait_for("refresh-failed")
    upstream.restore(shop["client_id"], "subscription_key", 1)
    assert refresh(daemon).status == 200
    check_set(daemon, upstream, shop, 1)


def test_both_dead_at_start(daemon, upstream, shop):
    upstream.revoke(shop["client_id"], "subscription_key")
    daemon.start()
    answer = daemon.get(f"{STATUS}/token?wait=60")
    assert (answer.status, answer.problem["state"]) == (503, "failed")
    assert "subscription key" in answer.problem["detail"]
    assert n_requests(upstream, shop) == 2
    line = daemon.log.wait_for("profile-failed")
    assert "subscription key" in line.message
    # What is refused names no key, and holds none.
    for key in shop["subscription_keys"]:
        assert key not in daemon.log.text and key not in answer.text


def test_without_a_secondary_it_is_one_request(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, refresh=SLOW)
    daemon.start()
    upstream.revoke(client["client_id"], "subscription_key", 0)
    answer = refresh(daemon)
    assert (answer.status, answer.problem["last_error"]["reason"]) == (503, "subscription-key")
    assert n_requests(upstream, client) == 2
    assert daemon.status("shop")["subscription_key"] == "primary"


def test_a_wrong_secret_is_not_blamed_on_the_subscription_key(daemon, upstream, shop):
    daemon.start()
    upstream.revoke(shop["client_id"], "secret", 0)
    assert refresh(daemon).problem["last_error"]["reason"] == "invalid-keys"
    assert n_requests(upstream, shop) == 2
    check_set(daemon, upstream, shop, 0)


def test_an_api_key_of_its_own_stays(daemon, upstream):
    """Old key sets: the subscription key for API calls is another, and none of this is its business."""
    client = upstream.vipps_client(api_subscription_key="0123456789abcdef0123456789abcdef")
    two_keys(daemon, upstream, client)
    daemon.start()
    upstream.revoke(client["client_id"], "subscription_key", 0)
    assert refresh(daemon).status == 200
    headers = daemon.headers("shop")
    assert headers["Ocp-Apim-Subscription-Key"] == client["api_subscription_key"]
    assert upstream.ping(headers) == (200, {"client": client["client_id"]})
    assert daemon.status("shop")["subscription_key"] == "secondary"


# --- client secrets ---------------------------------------------------------------------------------------------------

NEXT = "the/secret that=follows+%41"
KINDS = ["vipps", "vipps-oauth", "basic", "post"]


def register(upstream, kind, **members):
    return upstream.vipps_client(**members) if kind == "vipps" else upstream.oauth_client(kind, **members)


def write(daemon, upstream, kind, client, secret=None, following=None):
    """The profile "shop" of this kind, with the client's secret or `secret`, and perhaps the one to follow."""
    keys = {"NextClientSecretFile": daemon.key("shop.next", following + "\n") if following else None}
    client = client | ({"client_secret": secret} if secret else {})
    if kind == "vipps":
        profiles.vipps(daemon, "shop", upstream, client, keys=keys, refresh=SLOW)
    elif kind == "vipps-oauth":
        profiles.vipps_oauth(daemon, "shop", upstream, client, keys=keys, refresh=SLOW)
    else:
        profiles.oauth2(daemon, "shop", upstream, client, kind, keys=keys, refresh=SLOW)


def reload(daemon, proof="proven"):
    """Reload; the one profile has changed keys with this outcome."""
    answer = daemon.call("POST", "/v1/reload")
    assert answer.status == 200, answer
    [change] = answer.json["changed"]
    assert (change["profile"], change["change"], change["proof"]) == ("shop", "keys", proof), change


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_secret_steps_in_within_the_attempt(daemon, upstream, kind):
    client = register(upstream, kind, next_client_secret=NEXT)
    write(daemon, upstream, kind, client, following=NEXT)
    daemon.start()
    assert daemon.status("shop")["client_secret"] == "current"
    upstream.revoke(client["client_id"], "secret", 0)
    answer = refresh(daemon)
    assert (answer.status, answer.json["generation"], answer.json["client_secret"]) == (200, 2, "next")
    assert n_requests(upstream, client) == 1 + 2
    assert refresh(daemon).status == 200
    assert n_requests(upstream, client) == 4
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": client["client_id"]})
    daemon.stop()
    [line] = daemon.log.find("key-fallback")
    assert line.level == WARNING and line.message.startswith("shop: works with the next client secret")
    assert not daemon.log.find("refresh-failed")


@pytest.mark.parametrize("kind", KINDS)
def test_a_next_secret_that_is_not_good_yet(daemon, upstream, kind):
    """It is tried when it is set, and the current one goes on."""
    client = register(upstream, kind)
    write(daemon, upstream, kind, client)
    daemon.start()
    write(daemon, upstream, kind, client, following=NEXT)
    reload(daemon, proof="fallback")
    assert daemon.status("shop")["client_secret"] == "current"
    assert n_requests(upstream, client) == 1 + 2
    assert refresh(daemon).status == 200
    assert n_requests(upstream, client) == 4
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": client["client_id"]})
    # The day comes: the issuer takes the next one only.
    upstream.change(client["client_id"], next_client_secret=NEXT)
    upstream.revoke(client["client_id"], "secret", 0)
    assert refresh(daemon).json["client_secret"] == "next"
    assert n_requests(upstream, client) == 6
    daemon.stop()
    assert not daemon.log.find("refresh-failed")


@pytest.mark.parametrize("kind", KINDS)
def test_both_secrets_dead(daemon, upstream, kind):
    client = register(upstream, kind)
    write(daemon, upstream, kind, client, following=NEXT)
    daemon.start()
    old = daemon.token("shop")
    upstream.revoke(client["client_id"], "secret")
    answer = refresh(daemon)
    assert (answer.status, answer.problem["last_error"]["reason"]) == (503, "invalid-keys")
    assert "answered 401 to the next client secret: " in answer.problem["detail"]
    assert n_requests(upstream, client) == 1 + 2
    assert daemon.token("shop", "?wait=0")["access_token"] == old["access_token"]
    assert daemon.status("shop")["state"] == "stale"


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_under_load(daemon, upstream, kind):
    """As the documentation has it, from one secret to the next, and nobody who asks notices."""
    client = register(upstream, kind)
    client_id = client["client_id"]
    write(daemon, upstream, kind, client)
    daemon.start()
    with Load(daemon, ["/v1/profiles/shop/token?wait=0", "/v1/profiles/shop/headers?wait=0", "/readyz"]) as load:
        load.wait_generation(1)
        # The issuer makes a second secret; it is set beside the first, and proven while that still works.
        upstream.change(client_id, next_client_secret=NEXT)
        write(daemon, upstream, kind, client, following=NEXT)
        reload(daemon)
        assert daemon.status("shop")["client_secret"] == "next"
        load.wait_generation(2)
        # The issuer takes the first one back: nothing happens.
        upstream.revoke(client_id, "secret", 0)
        assert refresh(daemon).status == 200
        load.wait_generation(3)
        # The next one becomes the current one.
        write(daemon, upstream, kind, client, secret=NEXT)
        reload(daemon)
        assert daemon.status("shop")["client_secret"] == "current"
        assert refresh(daemon).status == 200
        load.wait_generation(5)
    assert load.failures == [] and load.answers > 0
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": client_id})
    daemon.stop()
    stats = upstream.stats(client_id)
    assert (stats["requests"], stats["ok"]) == (5, 5), "the old secret was not tried in vain"
    for event in ("refresh-failed", "profile-failed", "reload-refused", "key-fallback"):
        assert not daemon.log.find(event)
    for secret in (NEXT, client["client_secret"]):
        assert secret not in daemon.log.text


def test_a_rotation_of_what_nobody_uses(daemon, upstream):
    """Preload=no: there is nothing to prove until somebody asks, and then it works."""
    client = upstream.vipps_client(next_client_secret=NEXT)
    profile = {"Preload": "no"}
    profiles.vipps(daemon, "shop", upstream, client, profile=profile)
    daemon.start()
    keys = {"NextClientSecretFile": daemon.key("shop.next", NEXT)}
    profiles.vipps(daemon, "shop", upstream, client, profile=profile, keys=keys)
    reload(daemon, proof=None)
    assert (n_requests(upstream, client), daemon.status("shop")["state"]) == (0, "empty")
    upstream.revoke(client["client_id"], "secret", 0)
    assert daemon.token("shop")["generation"] == 1
    assert (n_requests(upstream, client), daemon.status("shop")["client_secret"]) == (1, "next")


@pytest.mark.needs_root
@pytest.mark.plain_build
def test_no_old_secret_stays_in_memory(daemon, upstream):
    client = upstream.vipps_client(next_client_secret=NEXT)
    write(daemon, upstream, "vipps", client)
    daemon.start()
    write(daemon, upstream, "vipps", client, following=NEXT)
    reload(daemon)
    needles = {"old": client["client_secret"].encode(), "next": NEXT.encode()}
    for hits in memory.search(daemon.pid, needles).values():
        assert hits and all(mapping.is_locked for mapping in hits)
    write(daemon, upstream, "vipps", client, secret=NEXT)
    reload(daemon)
    hits = memory.search(daemon.pid, needles)
    assert not hits["old"]
    assert hits["next"] and all(mapping.is_locked for mapping in hits["next"])


def test_an_upstream_that_repeats_what_it_was_sent(daemon, upstream):
    """Both secrets and both keys go out in one attempt, come back in the refusals, and go no further."""
    client = upstream.vipps_client(next_client_secret=NEXT)
    keys = {
        "SecondarySubscriptionKeyFile": daemon.key("shop.secondary", client["subscription_keys"][1]),
        "NextClientSecretFile": daemon.key("shop.next", NEXT),
    }
    profiles.vipps(daemon, "shop", upstream, client, keys=keys, refresh=SLOW)
    daemon.start("--log-level", "debug")
    canaries = [client["client_secret"], NEXT, *client["subscription_keys"]]
    words = ["Access denied due to invalid subscription key", "invalid client"]
    seen = []
    for i, canary in enumerate(canaries):
        body = {"statusCode": 401, "message": f"{words[i // 2]}: {canary}"}
        [number] = upstream.fault({"client_id": client["client_id"], "status": 401, "body": body})
        answer = refresh(daemon)
        assert answer.status == 503
        seen += [answer.text, daemon.get(STATUS).text, daemon.get(f"{STATUS}/explain?uid=0").text]
        upstream.clear(number)
    upstream.fault(client_id=client["client_id"], echo_secrets=True)
    seen += [refresh(daemon).text, daemon.get("/v1/profiles").text]
    daemon.stop()
    for text in [*seen, daemon.log.text]:
        for canary in canaries:
            assert canary not in text and canary[4:20] not in text


def test_both_kinds_at_once(daemon, upstream):
    """The primary key and the current secret die together: three requests, one attempt."""
    client = upstream.vipps_client(next_client_secret=NEXT)
    keys = {
        "SecondarySubscriptionKeyFile": daemon.key("shop.secondary", client["subscription_keys"][1]),
        "NextClientSecretFile": daemon.key("shop.next", NEXT),
    }
    profiles.vipps(daemon, "shop", upstream, client, keys=keys, refresh=SLOW)
    daemon.start()
    upstream.revoke(client["client_id"], "subscription_key", 0)
    upstream.revoke(client["client_id"], "secret", 0)
    answer = refresh(daemon)
    assert (answer.status, answer.json["generation"]) == (200, 2)
    assert (answer.json["client_secret"], answer.json["subscription_key"]) == ("next", "secondary")
    assert n_requests(upstream, client) == 1 + 3
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": client["client_id"]})
    daemon.stop()
    [line] = daemon.log.find("key-fallback")
    assert "the next client secret and the secondary subscription key" in line.message
