# SPDX-License-Identifier: MIT
"""POST /rejected: a caller says that the upstream refused the token. One request upstream for all who say so, none for
those who are late, and a budget for those who say it all the time."""

import json
import signal
import time

import pytest
from lib import profiles
from lib.caller import Caller
from lib.crowd import Crowd
from lib.http import read_answer, request_bytes
from lib.settings import TIME_FACTOR
from lib.watch import NOTICE, WARNING

REJECTED = "/v1/profiles/shop/rejected"
TOKEN = "/v1/profiles/shop/token"
ALICE, BOB, CAROL = 3_000_000_001, 3_000_000_002, 3_000_000_003
UNKNOWN = "0123456789abcdef"


@pytest.fixture
def shop(daemon, upstream):
    """A daemon with the profile "shop", open to every user, not started; its client. A report is worth 180 s."""
    daemon.main(SocketMode="0666")
    client = upstream.vipps_client(lifetime=3600)
    profiles.vipps(daemon, "shop", upstream, client)
    return client


def body(fingerprint):
    return json.dumps({"fingerprint": fingerprint}).encode()


def report(daemon, fingerprint, query=""):
    return daemon.call("POST", REJECTED + query, body(fingerprint))


def n_requests(upstream, client):
    return upstream.stats(client["client_id"])["requests"]


# --- one request for all ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_held", [True, False], ids=["held", "quick"])
def test_a_thousand_reports_are_one_request(daemon, upstream, shop, is_held):
    """Held: all of them wait for the same answer. Quick: some come when the new token is there already."""
    daemon.start()
    old = daemon.token("shop")
    upstream.revoke(shop["client_id"], "tokens")
    assert upstream.ping(daemon.headers("shop")) == (401, {"error": "token revoked"})
    if is_held:
        upstream.fault(client_id=shop["client_id"], hang=True)
    with Crowd(daemon, 1000) as crowd:
        crowd.ask(f"{REJECTED}?wait=60", "POST", body=body(old["fingerprint"]))
        if is_held:
            daemon.wait_metric("bearerd_waiters", 1000)
            assert daemon.token("shop", "?wait=0")["generation"] == 1, "who does not complain is not made to wait"
            upstream.clear()
        answers = crowd.answers()
    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["ETag"] for answer in answers} == {'"g2"'}
    [token] = {answer.json["access_token"] for answer in answers}
    assert token != old["access_token"] and token == daemon.token("shop")["access_token"]
    assert upstream.ping(daemon.headers("shop")) == (200, {"client": shop["client_id"]})
    assert n_requests(upstream, shop) == 2
    daemon.wait_metric("bearerd_waiters", 0)
    daemon.stop()
    [line] = daemon.log.find("token-rejected")
    assert line.level == WARNING and old["fingerprint"] in line.message


def test_the_answer_is_that_of_token(daemon, upstream, shop):
    daemon.start()
    old = daemon.token("shop")
    answer = report(daemon, old["fingerprint"])
    assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
    assert answer.json.keys() == old.keys()
    assert answer.json | {"expires_in": 0} == daemon.token("shop") | {"expires_in": 0}


def test_an_old_fingerprint_costs_nothing(daemon, upstream, shop):
    daemon.start()
    first = daemon.token("shop")
    assert daemon.call("POST", "/v1/profiles/shop/refresh").status == 200
    for fingerprint in (first["fingerprint"], UNKNOWN):
        answer = report(daemon, fingerprint, "?wait=0")
        assert (answer.status, answer.json["generation"]) == (200, 2)
    assert n_requests(upstream, shop) == 2
    daemon.stop()
    assert not daemon.log.find("token-rejected")


def test_capital_digits_are_the_same(daemon, upstream, shop):
    daemon.start()
    assert report(daemon, daemon.token("shop")["fingerprint"].upper()).json["generation"] == 2


def test_only_the_profile_that_was_named(daemon, upstream, shop):
    other = upstream.vipps_client()
    profiles.vipps(daemon, "other", upstream, other)
    daemon.start()
    assert report(daemon, daemon.token("other")["fingerprint"]).json["generation"] == 1
    assert report(daemon, daemon.token("shop")["fingerprint"]).json["generation"] == 2
    assert (n_requests(upstream, shop), n_requests(upstream, other)) == (2, 1)


def test_a_report_joins_the_refresh_in_flight(daemon, upstream, shop):
    daemon.start()
    old = daemon.token("shop")
    upstream.fault(client_id=shop["client_id"], hang=True)
    with daemon.connect() as admin, daemon.connect() as reporter, daemon.connect() as hurried:
        admin.sendall(request_bytes("/v1/profiles/shop/refresh", "POST"))
        upstream.wait(shop["client_id"], held=1)
        reporter.sendall(request_bytes(f"{REJECTED}?wait=60", "POST", body=body(old["fingerprint"])))
        hurried.sendall(request_bytes(f"{REJECTED}?wait=1", "POST", body=body(old["fingerprint"])))
        answer = read_answer(hurried)
        assert (answer.status, answer.problem_type) == (503, "no-usable-token")
        assert "has not answered yet" in answer.problem["detail"] and answer.headers["Retry-After"] == "1"
        daemon.wait_metric("bearerd_waiters", 2)
        upstream.clear()
        assert read_answer(admin).json["generation"] == 2
        assert read_answer(reporter).json["generation"] == 2
    assert n_requests(upstream, shop) == 2


def test_a_reporter_who_hangs_up_leaves_the_fetch_alone(daemon, upstream, shop):
    daemon.start()
    old = daemon.token("shop")
    upstream.fault(client_id=shop["client_id"], hang=True)
    with daemon.connect() as sock:
        sock.sendall(request_bytes(REJECTED, "POST", body=body(old["fingerprint"])))
        upstream.wait(shop["client_id"], held=1)
        daemon.wait_metric("bearerd_waiters", 1)
    daemon.wait_metric("bearerd_waiters", 0)
    upstream.clear()
    assert daemon.wait_status("shop", generation=2)["state"] == "fresh"
    assert n_requests(upstream, shop) == 2


def test_reports_keep_the_spacing(daemon, upstream, shop):
    """RetryMin=1s: a report of a token that has just come waits for that, and is not lost."""
    profiles.vipps(daemon, "shop", upstream, shop, refresh={"RetryMin": "1s", "RetryMax": "1s"})
    daemon.start()
    # What is counted from is when the first one was sent, which may have been a while before it arrived.
    ends = daemon.metrics().value("bearerd_token_expiry_timestamp_seconds", profile="shop")
    sent = ends - shop["lifetime"]
    for generation in (2, 3):
        answer = report(daemon, daemon.token("shop")["fingerprint"])
        assert (answer.status, answer.json["generation"]) == (200, generation)
    at = [request["epoch"] for request in upstream.requests(shop["client_id"])]
    assert len(at) == 3
    assert at[2] - sent >= 1.98, (sent, at)


def test_who_cannot_wait_for_the_spacing_is_told_so(daemon, upstream, shop):
    """RetryMin=30s: the request is made, but not while this caller waits."""
    profiles.vipps(daemon, "shop", upstream, shop, refresh={"RetryMin": "30s", "RetryMax": "60s"})
    daemon.start()
    old = daemon.token("shop")
    for _ in range(3):
        answer = report(daemon, old["fingerprint"], "?wait=10")  # and is answered at once
        assert (answer.status, answer.problem["state"], answer.problem["last_error"]) == (503, "fresh", None)
        assert "a new token is asked for" in answer.problem["detail"]
        assert 10 < int(answer.headers["Retry-After"]) <= 30
    new = daemon.token("shop", "?wait=0")
    assert new["access_token"] == old["access_token"]
    assert new["next_refresh_at"] == daemon.status("shop")["next_refresh_at"] < old["next_refresh_at"]
    assert n_requests(upstream, shop) == 1
    daemon.stop()
    assert len(daemon.log.find("token-rejected")) == 1, "one report, that three callers made"


def test_the_end_of_the_daemon_answers_reporters(daemon, upstream, shop):
    daemon.start()
    old = daemon.token("shop")
    upstream.fault(client_id=shop["client_id"], hang=True)
    with Crowd(daemon, 50) as crowd:
        crowd.ask(f"{REJECTED}?wait=60", "POST", body=body(old["fingerprint"]))
        daemon.wait_metric("bearerd_waiters", 50)
        daemon.signal(signal.SIGTERM)
        assert {(answer.status, answer.problem_type) for answer in crowd.answers()} == {(503, "stopping")}
    assert daemon.wait_exit() == 0


# --- the upstream does not help ---------------------------------------------------------------------------------------


def test_with_the_upstream_down_only_the_reporter_hears_of_it(daemon, own_upstream):
    client = own_upstream.vipps_client()
    profiles.vipps(daemon, "shop", own_upstream, client)
    daemon.start()
    old = daemon.token("shop")
    own_upstream.down("http")
    began = time.monotonic()
    answer = report(daemon, old["fingerprint"], "?wait=1")
    assert time.monotonic() - began <= 1.5 + 5 * TIME_FACTOR
    assert (answer.status, answer.problem_type) == (503, "no-usable-token")
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.problem["state"] == "stale" and answer.problem["last_error"]["reason"] == "connect"
    assert daemon.token("shop", "?wait=0")["access_token"] == old["access_token"]
    own_upstream.up("http")
    daemon.log.wait_for("recovered")
    assert report(daemon, old["fingerprint"], "?wait=0").json["generation"] == 2


@pytest.mark.parametrize("status, reason", [(503, "server-error"), (401, "invalid-keys")])
def test_reports_do_not_shorten_the_back_off(daemon, upstream, shop, status, reason):
    upstream.change(shop["client_id"], lifetime=1000)  # callers get it until 30 s before its end
    profiles.vipps(daemon, "shop", upstream, shop, refresh={"RetryMin": "30s", "RetryMax": "60s"})
    daemon.start()
    upstream.fault(client_id=shop["client_id"], status=status)
    assert daemon.call("POST", "/v1/profiles/shop/refresh").status == 503
    old = daemon.token("shop", "?wait=0")
    for _ in range(50):
        answer = report(daemon, old["fingerprint"], "?wait=1")
        assert (answer.status, answer.problem["last_error"]["reason"]) == (503, reason)
        assert int(answer.headers["Retry-After"]) >= 25
        assert daemon.token("shop", "?wait=0")["generation"] == 1
    assert n_requests(upstream, shop) == 2


# --- the budget -------------------------------------------------------------------------------------------------------


def reject(daemon, caller):
    """The caller reports whatever is the current token."""
    return caller.call("POST", REJECTED, body(daemon.token("shop", "?wait=0")["fingerprint"]))


@pytest.mark.needs_root
def test_who_reports_every_token_is_stopped_and_nobody_else(daemon, upstream, shop):
    daemon.start()
    with Caller(daemon, ALICE) as alice, Caller(daemon, BOB) as bob, Caller(daemon, CAROL) as carol:
        for generation in (2, 3, 4):
            answer = reject(daemon, alice)
            assert (answer.status, answer.json["generation"]) == (200, generation)
        for _ in range(50):
            answer = reject(daemon, alice)
            assert (answer.status, answer.problem_type) == (429, "rejected-too-often")
            assert 1 <= int(answer.headers["Retry-After"]) <= 180
            assert alice.get(f"{TOKEN}?wait=0").json["generation"] == 4
        detail = answer.problem["detail"]
        assert "too many tokens of this profile" in detail and "/token goes on" in detail
        assert answer.problem["state"] == "fresh"
        assert n_requests(upstream, shop) == 4
        # The others are neither held up nor out-voted.
        assert bob.get(f"{TOKEN}?wait=0").json["generation"] == 4
        assert reject(daemon, bob).json["generation"] == 5
        assert reject(daemon, carol).json["generation"] == 6
        assert reject(daemon, alice).status == 429, "what others do is no pardon"
    assert n_requests(upstream, shop) == 6
    metrics = daemon.metrics()
    assert metrics.value("bearerd_api_requests_total", profile="shop", code="429") == 51
    assert metrics.value("bearerd_rejected_reports_total", profile="shop", outcome="taken") == 5
    assert metrics.value("bearerd_rejected_reports_total", profile="shop", outcome="refused") == 51
    daemon.stop()
    taken, refused = daemon.log.find("token-rejected", level=WARNING), daemon.log.find("token-rejected", level=NOTICE)
    assert len(taken) == 5
    assert len(refused) == 2, "told once after each report that was taken"
    assert f"uid {ALICE}, " in refused[0].message and "too many" in refused[0].message


@pytest.mark.needs_root
def test_the_budget_fills_up_again(daemon, upstream, shop):
    """A token of 20 s: a report a second. Retry-After says when, and is no lie."""
    upstream.change(shop["client_id"], lifetime=20)
    profiles.vipps(daemon, "shop", upstream, shop, refresh={"At": "95%", "Jitter": "0%"})
    daemon.start()
    with Caller(daemon, ALICE) as alice:
        began = time.monotonic()
        for _ in range(3):
            assert reject(daemon, alice).status == 200
        refused = reject(daemon, alice)
        assert refused.status == 429 or time.monotonic() - began > 0.9
        if refused.status == 429:
            assert refused.headers["Retry-After"] == "1"
            time.sleep(1)  # as a caller who obeys
            assert reject(daemon, alice).status == 200
    assert n_requests(upstream, shop) <= 1 + 3 + (time.monotonic() - began) + 1


# --- what is no report ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ready(shared_upstream):
    """One daemon for questions that change nothing; its client."""
    from lib.daemon import Daemon

    client = shared_upstream.vipps_client()
    with Daemon() as daemon:
        profiles.vipps(daemon, "shop", shared_upstream, client)
        profiles.vipps(daemon, "closed", shared_upstream, shared_upstream.vipps_client(), allow=None)
        yield daemon.start(), client


MALFORMED = [
    b"",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b'"0123456789abcdef"',
    b'{"fingerprint": null}',
    b'{"fingerprint": 123456789012345}',
    b'{"fingerprint": ""}',
    b'{"fingerprint": "0123456789abcde"}',
    b'{"fingerprint": "0123456789abcdef0"}',
    b'{"fingerprint": "0123456789abcdeg"}',
    b'{"fingerprint": "0123456789abcde\xff"}',
    b'{"fingerprint": "0123456789abcde\\u0000"}',
    b'{"fingerprint": ["0123456789abcdef"]}',
    b'{"Fingerprint": "0123456789abcdef"}',
    b'{"fingerprint": "0123456789abcdef"} x',
    b'{"fingerprint": "0123456789abcdef"}{"fingerprint": "0123456789abcdef"}',
    b'{"fingerprint": "0123456789abcdef", "fingerprint": "fedcba9876543210"}',
    b"fingerprint=0123456789abcdef",
    b"[" * 4000,
]


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_bodies(ready, upstream, data):
    daemon, client = ready
    answer = daemon.call("POST", REJECTED, data)
    assert (answer.status, answer.problem_type) == (400, "bad-request")
    assert "fingerprint" in answer.problem["detail"] and "16 hex digits" in answer.problem["detail"]
    assert n_requests(upstream, client) == 1


def test_other_members_do_no_harm(ready):
    daemon, _ = ready
    assert daemon.call("POST", REJECTED, b'{"status": 401, "fingerprint": "0123456789abcdef"}').status == 200


def test_a_body_that_is_too_large(ready):
    daemon, _ = ready
    whole = body(UNKNOWN)
    assert daemon.call("POST", REJECTED, whole + b" " * (4096 - len(whole))).status == 200
    with daemon.connect() as sock:
        sock.sendall(request_bytes(REJECTED, "POST", body=whole + b" " * (4097 - len(whole))))
        answer = read_answer(sock)
    assert (answer.status, answer.problem_type) == (413, "body-too-large")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_other_methods(ready, method):
    daemon, _ = ready
    answer = daemon.call(method, REJECTED)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("query", ["wait=61", "wait=x", "wait=1&wait=1", "fingerprint=0123456789abcdef"])
def test_bad_parameters(ready, query):
    daemon, _ = ready
    assert report(daemon, UNKNOWN, f"?{query}").status == 400


def test_a_profile_that_is_not_there_or_not_for_this_caller(ready):
    daemon, _ = ready
    answers = {
        name: daemon.call("POST", f"/v1/profiles/{name}/rejected", body(UNKNOWN)) for name in ("missin", "closed")
    }
    for answer in answers.values():
        assert (answer.status, answer.problem_type) == (404, "unknown-profile")
    assert answers["missin"].text == answers["closed"].text.replace("closed", "missin")
    # Before the body is looked at: it must not tell them apart either.
    texts = {daemon.call("POST", f"/v1/profiles/{name}/rejected", b"{").text.replace(name, "") for name in answers}
    assert len(texts) == 1
