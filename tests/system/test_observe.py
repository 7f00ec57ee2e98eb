# SPDX-License-Identifier: MIT
"""What there is to see: health, readiness, metrics, the service manager's messages, the log, and a quiet process."""

import os
import re
import time

import pytest
from lib import profiles
from lib.http import Metrics, request_bytes
from lib.settings import PATIENCE, TIME_FACTOR
from lib.watch import EVENTS, parse_line


@pytest.fixture
def shop(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    return client


# --- health -----------------------------------------------------------------------------------------------------------


def test_healthz(daemon, shop, upstream):
    upstream.revoke(shop["client_id"], "all")
    daemon.start()
    answer = daemon.get("/healthz")  # the daemon is well, whatever the keys are
    assert (answer.status, answer.json, answer.headers["Cache-Control"]) == (200, {"status": "ok"}, "no-store")


def test_readyz_follows_the_profiles(daemon, own_upstream):
    client = own_upstream.vipps_client(lifetime=2)
    profiles.vipps(daemon, "brief", own_upstream, client)
    profiles.vipps(daemon, "lasting", own_upstream, own_upstream.vipps_client())
    daemon.start()
    answer = daemon.get("/readyz")
    assert (answer.status, answer.json) == (200, {"status": "ready"})
    own_upstream.down("http")
    daemon.wait_status("brief", state="failed")
    answer = daemon.get("/readyz")
    assert (answer.status, answer.problem_type) == (503, "not-ready")
    assert answer.problem["detail"] == "1 of 2 profiles have no usable token: brief (failed)"
    own_upstream.change(client["client_id"], lifetime=3600)
    own_upstream.up("http")
    daemon.log.wait_for("recovered", "brief")
    assert daemon.get("/readyz").status == 200


# --- metrics ----------------------------------------------------------------------------------------------------------

CONTRACT = {
    "bearerd_token_expiry_timestamp_seconds": ("gauge", {"profile"}),
    "bearerd_token_next_refresh_timestamp_seconds": ("gauge", {"profile"}),
    "bearerd_profile_state": ("gauge", {"profile", "state"}),
    "bearerd_upstream_requests_total": ("counter", {"profile", "outcome"}),
    "bearerd_upstream_request_duration_seconds": ("histogram", set()),
    "bearerd_api_requests_total": ("counter", {"profile", "code"}),
    "bearerd_denied_total": ("counter", {"profile"}),
    "bearerd_connections": ("gauge", set()),
    "bearerd_waiters": ("gauge", set()),
    "bearerd_build_info": ("gauge", {"version"}),
}
STATES = {"empty", "fetching", "fresh", "refreshing", "stale", "failed", "idle"}


def test_metrics_of_the_contract(daemon, shop, upstream):
    daemon.start()
    began = time.time()
    daemon.get("/v1/profiles/shop/token")
    daemon.get("/v1/profiles/shop/token?min_ttl=99999")
    daemon.get("/v1/profiles/none/token")
    daemon.get("/nowhere")
    answer = daemon.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    metrics = Metrics(answer.text)  # strict
    for name, (kind, labels) in CONTRACT.items():
        assert metrics.types[name] == kind
        for seen in metrics.labels(name):
            assert set(seen) == labels
        assert kind == "histogram" or metrics.labels(name), f"no sample of {name}"
    assert all(name.startswith("bearerd_") for name in metrics.types)

    assert abs(metrics.value("bearerd_token_expiry_timestamp_seconds", profile="shop") - began - 3600) < 60
    planned = metrics.value("bearerd_token_next_refresh_timestamp_seconds", profile="shop")
    assert 0.4 * 3600 - 60 < planned - began < 0.5 * 3600 + 60
    assert metrics.state("shop") == "fresh"
    assert {labels["state"] for labels in metrics.labels("bearerd_profile_state")} == STATES
    assert metrics.value("bearerd_upstream_requests_total", profile="shop", outcome="ok") == 1
    assert metrics.value("bearerd_upstream_request_duration_seconds_count") == 1
    assert 0 < metrics.value("bearerd_upstream_request_duration_seconds_sum") < 30 * TIME_FACTOR
    assert metrics.value("bearerd_api_requests_total", profile="shop", code="200") == 1
    assert metrics.value("bearerd_api_requests_total", profile="shop", code="409") == 1
    assert metrics.value("bearerd_api_requests_total", profile="", code="404") == 2
    assert metrics.value("bearerd_denied_total", profile="shop") == 0
    assert metrics.value("bearerd_waiters") == 0
    daemon.wait_metric("bearerd_connections", 1)  # the daemon may not have seen yet that another one is closed
    [info] = metrics.labels("bearerd_build_info")
    assert info["version"] in daemon.run("--version", config=False).stdout


def test_counters_only_grow(daemon, shop, upstream):
    daemon.start()
    before = daemon.metrics()
    upstream.fault(client_id=shop["client_id"], status=503, times=1)
    daemon.call("POST", "/v1/profiles/shop/refresh")
    daemon.call("POST", "/v1/profiles/shop/refresh")
    after = daemon.metrics()
    for (name, labels), value in before.samples.items():
        if after.types.get(name) == "counter" or name.endswith(("_bucket", "_count", "_sum")):
            assert after.samples[name, labels] >= value
    assert after.value("bearerd_upstream_requests_total", profile="shop", outcome="server-error") == 1
    assert after.value("bearerd_upstream_request_duration_seconds_count") >= 3


def test_waiters_and_connections_are_what_they_are(daemon, shop, upstream):
    upstream.fault(client_id=shop["client_id"], hang=True)
    daemon.start(wait=False)
    upstream.wait(shop["client_id"], held=1)
    daemon.wait_socket()
    sockets = [daemon.connect() for _ in range(7)]
    for sock in sockets[:4]:
        sock.sendall(request_bytes("/v1/profiles/shop/token?wait=60"))
    daemon.wait_metric("bearerd_waiters", 4)
    daemon.wait_metric("bearerd_connections", 8)  # and the one that asks
    for sock in sockets:
        sock.close()
    daemon.wait_metric("bearerd_waiters", 0)
    daemon.wait_metric("bearerd_connections", 1)
    upstream.clear()
    daemon.wait_ready()


# --- the service manager ----------------------------------------------------------------------------------------------


def test_messages_to_the_manager(daemon, own_upstream):
    client = own_upstream.vipps_client()
    profiles.vipps(daemon, "shop", own_upstream, client)
    daemon.start()
    messages = daemon.manager.items
    assert sum("READY" in message for message in messages) == 1
    daemon.manager.wait_status(r"^1 of 1 profiles usable; next: shop at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    own_upstream.down("http")
    daemon.call("POST", "/v1/profiles/shop/refresh")
    daemon.manager.wait_status(r"^1 of 1 profiles usable; .*failing: shop \(connect\)$")
    own_upstream.up("http")
    daemon.log.wait_for("recovered")
    mark = len(messages)
    daemon.stop()
    assert any(message.get("STOPPING") == "1" for message in messages[mark - 1 :])
    assert sum("READY" in message for message in messages) == 1
    assert not any("access_token" in repr(message) for message in messages)


def test_watchdog(daemon, shop):
    daemon.environment["WATCHDOG_USEC"] = str(int(400_000 * TIME_FACTOR))
    daemon.start()
    began = time.monotonic()
    daemon.manager.drain()  # what came before is not counted
    daemon.manager.wait_for(since=len(daemon.manager.items), WATCHDOG="1", count=5)
    assert time.monotonic() - began > 3 * 0.15 * TIME_FACTOR, "pings come by the clock"
    assert not daemon.manager.has(WATCHDOG="trigger")


def test_no_watchdog_without_being_asked(daemon, shop):
    daemon.start()
    for _ in range(10):
        daemon.token("shop")
    assert not daemon.manager.has(WATCHDOG="1")


def test_without_a_manager(daemon, shop):
    """NOTIFY_SOCKET is not set, as on a terminal."""
    daemon.start(wait=False, prefix=["env", "-u", "NOTIFY_SOCKET"])
    daemon.log.wait_for("started")
    assert daemon.token("shop")["generation"] == 1


# --- quiet ------------------------------------------------------------------------------------------------------------


def wake_ups(pid):
    """How often its threads were put on a processor."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as file:
            total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return total


def wait_for_sleep(pid):
    """Until a start is over, which takes a busy machine longer: its wake-ups when there was none for a while."""
    deadline, before = time.monotonic() + PATIENCE, None
    while (now := wake_ups(pid)) != before:
        assert time.monotonic() < deadline, "it does not come to rest"
        before = now
        time.sleep(0.5)
    return now


@pytest.mark.plain_build
def test_nothing_to_do_is_nothing_done(daemon, shop, upstream):
    """Not one wake-up in five seconds, with a token that is due in half an hour."""
    daemon.start()
    daemon.log.wait_for("token-fetched")
    before = wait_for_sleep(daemon.pid)
    time.sleep(5)
    assert wake_ups(daemon.pid) == before


@pytest.mark.plain_build
def test_waiting_is_nothing_done_either(daemon, shop, upstream):
    """Callers who wait for an upstream that hangs, and idle connections, cost nothing while they do."""
    upstream.fault(client_id=shop["client_id"], hang=True)
    daemon.start(wait=False)
    upstream.wait(shop["client_id"], held=1)
    daemon.wait_socket()
    sockets = [daemon.connect() for _ in range(20)]
    for sock in sockets[:10]:
        sock.sendall(request_bytes("/v1/profiles/shop/token?wait=60"))
    daemon.wait_metric("bearerd_waiters", 10)
    daemon.wait_metric("bearerd_connections", 21)
    before = wait_for_sleep(daemon.pid)
    time.sleep(3)
    # One time-out of a connection that is gone may still come, and libcurl looks at its own clock once.
    assert wake_ups(daemon.pid) - before <= 3
    upstream.clear()
    for sock in sockets:
        sock.close()
    daemon.wait_ready()


# --- the log ----------------------------------------------------------------------------------------------------------


def test_every_line_has_its_form(daemon, own_upstream):
    client = own_upstream.vipps_client(lifetime=2)
    profiles.vipps(daemon, "shop", own_upstream, client)
    daemon.start("--log-level", "debug")
    token = daemon.token("shop")
    own_upstream.down("http")
    daemon.log.wait_for("refresh-failed")
    daemon.log.wait_for("profile-failed")
    own_upstream.up("http")
    daemon.log.wait_for("recovered")
    daemon.get("/v1/profiles/shop%0a%1b[31mfake/token")
    daemon.stop()
    for line in daemon.log.items:
        assert re.fullmatch(r"<[3-7]>[\x20-\x7e]+", line.raw), line
    events = {line.event for line in daemon.log.items if line.event}
    assert {"started", "token-fetched", "refresh-failed", "profile-failed", "recovered", "stopping"} <= events
    [fetched] = daemon.log.find("token-fetched", r"generation 1 ")
    assert token["fingerprint"] in fetched.message
    failed = daemon.log.find("profile-failed")[0]
    assert re.search(r"^shop: .*connect.*vipps cannot be reached.*next attempt", failed.message)


def test_the_parser_of_this_suite_knows_the_form():
    assert parse_line("<6>token-fetched: shop: x").event == "token-fetched"
    line = parse_line("<7>http: no event")
    assert (line.event, line.message, line.level) == (None, "http: no event", 7)
    assert parse_line("==12== Invalid read").level is None
    assert len(EVENTS) == 18
