# SPDX-License-Identifier: MIT
"""Every way an upstream's answer can be wrong: what it is called, and that a token which is still good survives it."""

import pytest
from lib import profiles
from lib.watch import ERROR, WARNING

REFUSED_URL = "is the URL right?"

# name: (rule, reason, HTTP status, words of the message)
FAULTS = {
    "redirect": ({"redirect": "http://127.0.0.1:1/elsewhere"}, "wrong-url", 302, "redirects are not followed"),
    "redirect-308": ({"redirect": "/accesstoken/get", "status": 308}, "wrong-url", 308, "redirects are not followed"),
    "400": ({"status": 400}, "bad-request", 400, "answered 400: made to fail"),
    "401": ({"status": 401}, "invalid-keys", 401, "answered 401: made to fail; are these keys for the other env"),
    "403": ({"status": 403}, "forbidden", 403, "answered 403: made to fail"),
    "404": ({"status": 404}, "wrong-url", 404, REFUSED_URL),
    "405": ({"status": 405}, "wrong-url", 405, REFUSED_URL),
    "408": ({"status": 408}, "server-error", 408, "answered 408"),
    "418": ({"status": 418}, "bad-request", 418, "answered 418"),
    "425": ({"status": 425}, "server-error", 425, "answered 425"),
    "429": ({"status": 429}, "rate-limited", 429, "answered 429"),
    "500": ({"status": 500}, "server-error", 500, "answered 500"),
    "502-html": ({"status": 502, "html": True}, "server-error", 502, "answered 502 with an HTML page"),
    "503": ({"status": 503}, "server-error", 503, "answered 503"),
    "504": ({"status": 504}, "server-error", 504, "answered 504"),
    "201": ({"status": 201}, "bad-response", 201, "answered 201"),
    "204": ({"status": 204}, "bad-response", 204, "answered 204"),
    "empty": ({"empty": True}, "bad-response", 200, "with an empty body"),
    "html": ({"html": True}, "bad-response", 200, "with an HTML page"),
    "not-json": ({"not_json": True}, "bad-response", 200, "not JSON"),
    "array": ({"body": "[1]"}, "bad-response", 200, "JSON that is not an object"),
    "no-token": ({"no_access_token": True}, "bad-response", 200, "without an access_token"),
    "token-number": ({"token": 7}, "bad-response", 200, "empty or not a string"),
    "token-empty": ({"token": ""}, "bad-response", 200, "empty or not a string"),
    "token-with-line-end": ({"token": "abc\r\nX: y"}, "bad-response", 200, "cannot go into a header"),
    "token-too-long": ({"token": "x" * 16385}, "bad-response", 200, "over 16 KiB"),
    "token-type-absent": ({"token_type": {"absent": True}}, "bad-response", 200, "without a token_type"),
    "token-type-mac": ({"token_type": "mac"}, "bad-response", 200, "other than Bearer"),
    "expires-absent": ({"expires_in": {"absent": True}}, "bad-response", 200, "without expires_in"),
    "expires-0": ({"expires_in": 0}, "bad-response", 200, "outside 1 second to 400 days"),
    "expires-negative": ({"expires_in": -1}, "bad-response", 200, "expires_in"),
    "expires-fraction": ({"expires_in": 3599.5}, "bad-response", 200, "not whole seconds"),
    "expires-exponent": ({"expires_in": {"raw": "1e3"}}, "bad-response", 200, "not whole seconds"),
    "expires-words": ({"expires_in": "soon"}, "bad-response", 200, "not whole seconds"),
    "expires-null": ({"expires_in": None}, "bad-response", 200, "not whole seconds"),
    "expires-overflow": ({"expires_in": {"raw": "18446744073709551617"}}, "bad-response", 200, "expires_in"),
    "expires-for-ever": ({"expires_in": 4000000000}, "bad-response", 200, "outside 1 second to 400 days"),
    "member-twice": (
        {"body": '{"access_token":"a","access_token":"b","token_type":"Bearer","expires_in":60}'},
        "bad-response",
        200,
        "twice",
    ),
    "drop-request": ({"drop": "request"}, "connect", None, "cannot be reached"),
    "drop-headers": ({"drop": "headers"}, "bad-response", 200, "with an empty body"),  # to libcurl that is an end
    "reset-request": ({"reset": "request"}, "connect", None, "cannot be reached"),
    "reset-headers": ({"reset": "headers"}, "protocol", None, "not whole HTTP"),
    "reset-body": ({"reset": "body"}, "protocol", None, "not whole HTTP"),
    "truncate": ({"truncate": True}, "protocol", None, "not whole HTTP"),
    "endless-close": ({"endless": "close"}, "response-too-large", None, "more than 64 KiB"),
    "endless-chunked": ({"endless": "chunked"}, "response-too-large", None, "more than 64 KiB"),
    "endless-length": ({"endless": "length"}, "response-too-large", None, "more than 64 KiB"),
    "huge-header": ({"huge_header": True}, "response-too-large", None, "more than 64 KiB"),
    "status-line": ({"status_line": "HTTQ/9.9 Hello"}, "protocol", None, "not whole HTTP"),
    "not-http": ({"status_line": "220 mail.example ESMTP"}, "protocol", None, "not whole HTTP"),
}

# What looks odd and is fine: the token must come.
ODD_BUT_GOOD = {
    "interim": {"interim_100": True},
    "chunked": {"framing": "chunked"},
    "until-close": {"framing": "close"},
    "close-after": {"close_after": True},
    "close-after-silently": {"close_after": "silent"},
    "lower-case-type": {"token_type": "bearer"},
    "number-as-number": {"expires_in": 3600},
    "number-as-text": {"expires_in": "3600"},
    "more-members": {"members": {"scope": None, "nested": {"a": [1, {"b": 2}]}, "ext_expires_in": "x"}},
    "odd-type-of-what-does-not-count": {"members": {"expires_on": [], "not_before": {}, "resource": 1}},
    "clock-ahead": {"date_skew": 7200},
    "clock-behind": {"date_skew": -7200},
    "large-header": {"huge_header": 8000},
    "longest-token": {"token": "x" * 16384},
}


def ids(table):
    return {"argvalues": list(table.values()), "ids": list(table)}


@pytest.mark.parametrize("rule, reason, status, words", **ids(FAULTS))
def test_fault(daemon, upstream, rule, reason, status, words):
    cold, warm = upstream.vipps_client(), upstream.vipps_client()
    upstream.fault({"client_id": cold["client_id"], **rule})
    refresh = {"RetryMin": "30s", "RetryMax": "60s"}  # one failure is enough
    profiles.vipps(daemon, "cold", upstream, cold, refresh=refresh)
    profiles.vipps(daemon, "warm", upstream, warm, refresh=refresh)
    daemon.start()
    before = daemon.token("warm")
    upstream.fault({"client_id": warm["client_id"], **rule})

    # Without a token: failed, with the reason everywhere.
    seen = daemon.status("cold")
    assert seen["state"] == "failed"
    assert (seen["generation"], seen["consecutive_failures"], seen["fingerprint"]) == (0, 1, None)
    error = seen["last_error"]
    assert (error["reason"], error["http_status"]) == (reason, status)
    assert words in error["message"]
    line = daemon.log.wait_for("profile-failed", "cold: ")
    assert line.level == ERROR and reason in line.message and words in line.message
    answer = daemon.get("/v1/profiles/cold/token?wait=0")
    assert (answer.status, answer.problem_type) == (503, "no-usable-token")
    assert answer.problem["detail"] == error["message"]
    assert answer.problem["last_error"] == error
    assert 1 <= int(answer.headers["Retry-After"]) <= 300

    # With one: stale, and the token is handed out as before.
    answer = daemon.call("POST", "/v1/profiles/warm/refresh")
    assert (answer.status, answer.problem_type) == (503, "refresh-failed")
    seen = daemon.status("warm")
    assert (seen["state"], seen["generation"]) == ("stale", 1)
    assert (seen["last_error"]["reason"], seen["last_error"]["http_status"]) == (reason, status)
    after = daemon.token("warm", "?wait=0")
    assert (after["access_token"], after["fingerprint"]) == (before["access_token"], before["fingerprint"])
    assert after["expires_at"] == before["expires_at"], "a token is never stamped anew"
    line = daemon.log.wait_for("refresh-failed", "warm: ")
    assert line.level == WARNING and reason in line.message
    for name in ("cold", "warm"):
        n_failed = daemon.metrics().value("bearerd_upstream_requests_total", profile=name, outcome=reason)
        assert n_failed == 1
    assert upstream.ping(daemon.headers("warm")) == (200, {"client": warm["client_id"]})

    # And when it is over, an admin need not wait for the back-off.
    upstream.clear()
    assert daemon.call("POST", "/v1/profiles/warm/refresh").json["state"] == "fresh"
    assert daemon.call("POST", "/v1/profiles/cold/refresh").json["generation"] == 1


@pytest.mark.parametrize("rule", **ids(ODD_BUT_GOOD))
def test_odd_but_good(daemon, upstream, rule):
    client = upstream.vipps_client()
    upstream.fault({"client_id": client["client_id"], **rule})
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    token = daemon.token("shop")
    assert token["token_type"] == "Bearer"
    assert 3500 < token["expires_in"] <= 3600
    assert upstream.ping(daemon.headers("shop"))[0] == 200
    assert daemon.status("shop")["last_error"] is None
    assert daemon.call("POST", "/v1/profiles/shop/refresh").json["generation"] == 2


@pytest.mark.parametrize("skew, words", [(7200, "2h ahead"), (-7200, "2h behind")])
def test_a_clock_that_is_off_is_told_and_does_not_matter(daemon, upstream, skew, words):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], date_skew=skew)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    line = daemon.log.wait_for("clock-skew", "shop: ")
    assert line.level == WARNING
    hours, side = words.split()
    assert side in line.message and (hours in line.message or "1h 59min" in line.message)
    assert 3500 < daemon.token("shop")["expires_in"] <= 3600


# --- before HTTP ------------------------------------------------------------------------------------------------------

CONNECTIONS = {
    "refused": ("refused", "ca_file", "connect", "Connection refused"),
    "expired": ("https_expired", "ca_file", "certificate", "does not verify"),
    "wrong-host": ("https_wrong_host", "ca_file", "certificate", "does not verify"),
    "untrusted": ("https_untrusted", "ca_file", "certificate", "does not verify"),
    "system-cas": ("https", None, "certificate", "does not verify"),
    "old-tls": ("https_old_tls", "ca_file", "tls", "failed the TLS handshake"),
    "no-client-certificate": ("https_mtls", "ca_file", "connect", "cannot be reached"),  # it closes without an alert
}


@pytest.mark.parametrize("listener, ca, reason, words", **ids(CONNECTIONS))
def test_connection(daemon, upstream, listener, ca, reason, words):
    base = upstream.ready[listener]
    if base is None:
        pytest.skip("this OpenSSL cannot serve TLS 1.1")
    base = base.replace("http://", "https://")
    client = upstream.vipps_client()
    profile = {"CAFile": upstream.ready[ca]} if ca else {}
    refresh = {"RetryMin": "30s", "RetryMax": "60s"}
    profiles.vipps(daemon, "shop", upstream, client, base=base, profile=profile, refresh=refresh)
    daemon.start()
    error = daemon.status("shop")["last_error"]
    assert (error["reason"], error["http_status"]) == (reason, None)
    assert words in error["message"]
    line = daemon.log.wait_for("profile-failed", "shop: ")
    assert words in line.message
    assert upstream.stats(client["client_id"])["requests"] == 0, "no key may go there"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_upstream_that_never_says_a_word(daemon, upstream, scheme):
    base = upstream.silent.replace("http://", scheme + "://")
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client(), base=base, refresh={"Timeout": "1s"})
    daemon.start()  # READY comes when the time is over, be it a moment before the fetch says so
    error = daemon.wait_status("shop", state="failed")["last_error"]
    assert (error["reason"], error["http_status"]) == ("timeout", None)


def test_a_body_that_drips_is_cut_off_by_the_timeout(daemon, upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], slow_body=0.2)
    profiles.vipps(daemon, "shop", upstream, client, refresh={"Timeout": "1s"})
    daemon.start()
    assert daemon.wait_status("shop", state="failed")["last_error"]["reason"] == "timeout"


def test_a_url_that_is_not_there(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, base=upstream.http + "/elsewhere")
    daemon.start()
    error = daemon.status("shop")["last_error"]
    assert (error["reason"], error["http_status"]) == ("wrong-url", 404)
    assert REFUSED_URL in error["message"]
