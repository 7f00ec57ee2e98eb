# SPDX-License-Identifier: MIT
"""bearerctl: how profiles are doing, and refresh."""

import contextlib
import json
import os
import pty
import re

import pytest
from lib.ctl import bearerctl, environment, folder, run, serve  # noqa: F401 (fixtures)
from lib.ctl import LONG, answer, last_error, problem, response, rfc3339, says, status_body


# ---- status ----


TWO = {"profiles": [
    status_body("shop"),
    status_body("partner", "failed", next_refresh_at=rfc3339(45.5), consecutive_failures=3,
                last_error=last_error(LONG))]}


def test_status_is_a_table(serve, run):
    daemon = serve(answer({"profiles": [status_body("shop"), status_body("partner", "failed")]}))
    done = run("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.requests[0].target == "/v1/profiles"
    head, shop, partner = done.stdout.splitlines()
    assert re.split(r"  +", head) == ["PROFILE", "STATE", "LEFT", "NEXT REFRESH", "LAST ERROR"]
    assert re.split(r"  +", shop) == ["shop", "fresh", "█████░░░░░ 30min", "in 10min"]
    assert re.split(r"  +", partner) == ["partner", "failed", "-", "in 10min"]
    assert "\x1b" not in done.stdout


def test_status_fits_the_terminal(serve, run):
    serve(answer(TWO))
    done = run("status", env={"COLUMNS": "60"})
    assert max(map(len, done.stdout.splitlines())) <= 60
    assert LONG in " ".join(done.stdout.split())
    assert LONG in run("status").stdout  # on one line into a pipe


def test_status_is_ascii_where_the_locale_is(serve, run):
    serve(answer({"profiles": [status_body("shop", description="blåbær")]}))
    done = run("status", env={"LC_ALL": "C"})
    assert "#####----- 30min" in done.stdout
    assert done.stdout.isascii()


@pytest.mark.parametrize("env, is_coloured", [
    ({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, False)],
    ids=["xterm", "NO_COLOR", "dumb", "no TERM"])
def test_status_is_coloured_on_a_terminal_that_wants_it(serve, run, env, is_coloured):
    serve(answer(TWO))
    leader, follower = pty.openpty()
    done = run("status", stdout=follower, env=env)
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the end
        while piece := os.read(leader, 65536):
            shown += piece
    os.close(leader)
    assert done.returncode == 0
    assert (b"\x1b[1;31mfailed\x1b[0m" in shown) == is_coloured
    assert (b"\x1b" in shown) == is_coloured


def test_status_of_one_shows_all_of_it(serve, run):
    serve(answer(status_body(description="Web shop", state="stale", consecutive_failures=3,
                             last_error=last_error(LONG))))
    done = run("status", "shop")
    assert done.returncode == 0
    shown = dict(line.strip().split(": ", 1) for line in done.stdout.splitlines())
    assert shown["Profile"] == "shop"
    assert shown["Description"] == "Web shop"
    assert shown["State"] == "stale"
    assert shown["Left"] == "█████░░░░░ 30min"
    assert shown["Failures"] == "3 in a row"
    assert shown["Last error"] == LONG
    assert shown["HTTP status"] == "401"
    assert shown["Next refresh"].endswith("(in 10min)")


def test_status_of_an_idle_one_with_second_keys(serve, run):
    serve(answer(status_body(state="idle", next_refresh_at=None, preload=False, client_secret="next",
                             subscription_key="primary", allow=["user:www-data", "any"])))
    lines = run("status", "shop").stdout.splitlines()
    assert "Next refresh: at the next request: nobody has asked for a while" in lines
    assert " Keys in use: next client secret, primary subscription key" in lines
    assert lines[lines.index("       Allow: user:www-data") + 1] == "              any"


def test_status_json_is_the_answer_as_it_came(serve, run):
    body = json.dumps(TWO, indent=1)
    serve(response(200, body, "application/json"))
    assert run("status", "--json").stdout == body + "\n"


def test_status_of_one_as_json(serve, run):
    body = json.dumps(status_body()) + "\n"
    serve(response(200, body, "application/json"))
    assert run("status", "shop", "--json").stdout == body


def test_status_of_ten_thousand(serve, run):
    profiles = [status_body(f"shop-{i}", "failed", description="x" * 200, last_error=last_error(LONG))
                for i in range(10000)]
    serve(answer({"profiles": profiles}))
    done = run("status")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 10001


def test_status_of_nothing(serve, run):
    serve(answer({"profiles": []}))
    says(run("status"), 0, "no profiles")


def test_status_of_an_unknown_profile(serve, run):
    serve(problem(404, "no such profile"))
    says(run("status", "shop"), 1, "shop: no such profile")


@pytest.mark.parametrize("value", [
    {}, {"profiles": {}}, {"profiles": ["shop"]}, {"profiles": [{"name": "shop"}]},
    {"profiles": [status_body(expires_in="soon")]}, {"profiles": [status_body(last_error=[])]}], ids=lambda value: "")
def test_status_that_is_not_bearerds(serve, run, value):
    serve(answer(value))
    says(run("status"), 3)


# ---- refresh ----


def test_refresh_asks_and_is_quiet(serve, run):
    daemon = serve(answer(status_body()))
    done = run("refresh", "shop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    request = daemon.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/profiles/shop/refresh")
    assert request.headers["content-length"] == "0"
    assert "content-type" not in request.headers


@pytest.mark.parametrize("state", ["stale", "failed"])
def test_refresh_that_failed_upstream(serve, run, state):
    serve(answer(status_body(state=state, last_error=last_error(LONG))))
    says(run("refresh", "shop"), 1, f"shop: {LONG}")


def test_refresh_that_is_refused(serve, run):
    serve(problem(403, "only for admins"))
    says(run("refresh", "shop"), 1, "shop: only for admins")
