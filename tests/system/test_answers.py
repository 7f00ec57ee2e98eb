# SPDX-License-Identifier: MIT
"""The answers that hand something out: every member, its type and its value, and the headers around them."""

import datetime
import hashlib
import os
import re
import time

import pytest
from lib import profiles

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def moment(text):
    """Epoch seconds of an RFC 3339 UTC moment; asserts its form."""
    assert MOMENT.fullmatch(text), text
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@pytest.fixture
def shop(daemon, upstream):
    """A running daemon with the profile "shop"; its client."""
    client = upstream.vipps_client(msn="123456")
    profiles.vipps(
        daemon,
        "shop",
        upstream,
        client,
        profile={"Description": "Web shop, sales unit 123456"},
        headers={"Vipps-System-Name": "acme", "Vipps-System-Version": "1.2.3"},
    )
    before = int(time.time())
    daemon.start()
    client["started"] = before
    return client


def check_common(answer, media_type="application/json"):
    assert answer.status == 200
    assert answer.media_type == media_type
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Length"] == str(len(answer.body))


def test_token(daemon, upstream, shop):
    answer = daemon.get("/v1/profiles/shop/token")
    check_common(answer)
    value = answer.json
    assert list(value) == [
        "access_token",
        "token_type",
        "expires_in",
        "expires_at",
        "issued_at",
        "next_refresh_at",
        "generation",
        "fingerprint",
        "profile",
    ]
    assert value["profile"] == "shop"
    assert value["token_type"] == "Bearer"
    assert type(value["generation"]) is int and value["generation"] == 1
    assert answer.headers["ETag"] == '"g1"'
    assert value["fingerprint"] == hashlib.sha256(value["access_token"].encode()).hexdigest()[:16]
    assert type(value["expires_in"]) is int and 3500 < value["expires_in"] <= 3600
    assert moment(value["expires_at"]) - moment(value["issued_at"]) == 3600
    assert shop["started"] <= moment(value["issued_at"]) <= time.time()
    assert 0.4 * 3600 - 1 <= moment(value["next_refresh_at"]) - moment(value["issued_at"]) <= 0.5 * 3600 + 1
    headers = {
        "Authorization": f"Bearer {value['access_token']}",
        "Ocp-Apim-Subscription-Key": shop["subscription_keys"][0],
        "Merchant-Serial-Number": "123456",
    }
    assert upstream.ping(headers) == (200, {"client": shop["client_id"]})


def test_generation_and_etag_grow(daemon, shop):
    first = daemon.get("/v1/profiles/shop/token")
    refreshed = daemon.call("POST", "/v1/profiles/shop/refresh")
    check_common(refreshed)
    assert refreshed.json["generation"] == 2
    assert "access_token" not in refreshed.json
    second = daemon.get("/v1/profiles/shop/token")
    assert (second.json["generation"], second.headers["ETag"]) == (2, '"g2"')
    assert second.json["access_token"] != first.json["access_token"]
    assert second.json["fingerprint"] == refreshed.json["fingerprint"] != first.json["fingerprint"]
    assert daemon.get("/v1/profiles/shop/headers").headers["ETag"] == '"g2"'


def test_headers_as_json(daemon, upstream, shop):
    answer = daemon.get("/v1/profiles/shop/headers")
    check_common(answer)
    assert answer.headers["ETag"] == '"g1"'
    assert answer.json == {
        "Authorization": f"Bearer {daemon.token('shop')['access_token']}",
        "Ocp-Apim-Subscription-Key": shop["subscription_keys"][0],
        "Merchant-Serial-Number": "123456",
        "Vipps-System-Name": "acme",
        "Vipps-System-Version": "1.2.3",
    }
    assert upstream.ping(answer.json) == (200, {"client": shop["client_id"]})


def test_headers_as_text(daemon, upstream, shop):
    answer = daemon.get("/v1/profiles/shop/headers", headers={"Accept": "text/plain"})
    check_common(answer, "text/plain")
    assert answer.text.endswith("\n") and "\r" not in answer.text
    lines = [line.split(": ", 1) for line in answer.text.splitlines()]
    assert dict(lines) == daemon.headers("shop")
    assert upstream.ping(dict(lines)) == (200, {"client": shop["client_id"]})


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", "application/json, text/plain"])
def test_headers_are_json_unless_text_is_asked_for(daemon, shop, accept):
    answer = daemon.get("/v1/profiles/shop/headers", headers={"Accept": accept})
    assert answer.media_type == "application/json"


def test_token_is_json_whatever_is_accepted(daemon, shop):
    answer = daemon.get("/v1/profiles/shop/token", headers={"Accept": "text/plain"})
    assert answer.media_type == "application/json"


STATUS_MEMBERS = [
    "name",
    "description",
    "provider",
    "state",
    "generation",
    "issued_at",
    "expires_at",
    "expires_in",
    "next_refresh_at",
    "fingerprint",
    "consecutive_failures",
    "last_error",
    "client_secret",
    "subscription_key",
    "preload",
] + (["allow"] if os.geteuid() == 0 else [])  # for admins: user:root


def test_status(daemon, shop):
    answer = daemon.get("/v1/profiles/shop")
    check_common(answer)
    status, token = answer.json, daemon.token("shop")
    assert list(status) == STATUS_MEMBERS
    assert (status["name"], status["description"]) == ("shop", "Web shop, sales unit 123456")
    assert (status["provider"], status["state"], status["consecutive_failures"]) == ("vipps", "fresh", 0)
    assert status["last_error"] is None
    assert (status["client_secret"], status["subscription_key"], status["preload"]) == ("current", "primary", True)
    for member in ("generation", "issued_at", "expires_at", "next_refresh_at", "fingerprint"):
        assert status[member] == token[member] or member.endswith("_at")
        assert type(status[member]) is type(token[member])
    assert 3500 < status["expires_in"] <= 3600
    assert token["access_token"] not in answer.text


def test_status_of_a_failed_profile(daemon, upstream):
    client = upstream.vipps_client()
    upstream.revoke(client["client_id"], "subscription_key")
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    status = daemon.get("/v1/profiles/shop").json
    assert list(status) == STATUS_MEMBERS
    assert (status["state"], status["generation"], status["description"]) == ("failed", 0, None)
    for member in ("issued_at", "expires_at", "expires_in", "fingerprint"):
        assert status[member] is None
    assert status["consecutive_failures"] >= 1
    error = status["last_error"]
    assert list(error) == ["at", "reason", "http_status", "message"]
    assert abs(moment(error["at"]) - time.time()) < 60
    assert (error["reason"], error["http_status"]) == ("subscription-key", 401)
    assert "Access denied due to invalid subscription key" in error["message"]
    assert "are these keys for the other environment?" in error["message"]


def test_profiles(daemon, upstream, shop):
    answer = daemon.get("/v1/profiles")
    check_common(answer)
    assert list(answer.json) == ["profiles"]
    [status] = answer.json["profiles"]
    assert list(status) == STATUS_MEMBERS
    assert status["name"] == "shop"
    assert daemon.token("shop")["access_token"] not in answer.text


def test_last_error_stays_after_recovery(daemon, upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], status=503, times=1)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    status = daemon.wait_status("shop", state="fresh")
    assert status["consecutive_failures"] == 0
    assert (status["last_error"]["reason"], status["last_error"]["http_status"]) == ("server-error", 503)


def test_names_in_the_path_are_decoded(daemon, shop):
    assert daemon.get("/v1/profiles/%73hop/token").json["profile"] == "shop"
    assert daemon.get("/v1/profiles/shop%2Ftoken").status == 404
