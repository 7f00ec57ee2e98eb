# SPDX-License-Identifier: MIT
"""bearerctl: telling that the upstream refused a token."""

import json

import pytest
from lib.ctl import bearerctl, environment, folder, run, serve  # noqa: F401 (fixtures)
from lib.ctl import HANG_UP, SILENCE, TOKEN, answer, last_error, problem, response, says, token_body

OLD = "00112233445566ff"
NEW_TOKEN = TOKEN.replace("eyJ0", "eyJ1")


class Rotating:
    """A reply(): the old token, until it is reported."""

    def __init__(self):
        self.is_new = False

    def __call__(self, request):
        if request.method == "POST" and json.loads(request.body)["fingerprint"] == OLD:
            self.is_new = True
        if self.is_new:
            return answer(token_body(access_token=NEW_TOKEN))
        return answer(token_body(fingerprint=OLD))


def test_the_current_token_is_asked_for_and_reported(serve, run):
    daemon = serve(Rotating())
    done = run("rejected", "shop")
    assert (done.returncode, done.stdout, done.stderr) == (0, NEW_TOKEN + "\n", "")
    asked, reported = daemon.requests
    assert (asked.method, asked.path, asked.query) == ("GET", "/v1/profiles/shop/token", {"min_ttl": "0", "wait": "0"})
    assert (reported.method, reported.target) == ("POST", "/v1/profiles/shop/rejected")
    assert reported.headers["content-type"] == "application/json"
    assert json.loads(reported.body) == {"fingerprint": OLD}


def test_a_named_token_is_reported_at_once(serve, run):
    daemon = serve(Rotating())
    done = run("rejected", "shop", "--fingerprint", OLD.upper(), "--wait", "1.5s")
    assert (done.returncode, done.stdout) == (0, NEW_TOKEN + "\n")
    (request,) = daemon.requests
    assert request.query == {"wait": "2"}
    assert json.loads(request.body) == {"fingerprint": OLD}


def test_json_is_the_answer_as_it_came(serve, run):
    body = json.dumps(token_body(), indent=2)
    serve(response(200, body, "application/json"))
    assert run("rejected", "shop", "--json", "--fingerprint", OLD).stdout == body + "\n"


@pytest.mark.parametrize("fingerprint", ["0", OLD[1:], OLD + "0", OLD[:-1] + "g", OLD[:-1] + " ", "../" + OLD[3:]])
def test_what_is_no_fingerprint_is_not_sent(serve, run, fingerprint):
    daemon = serve(Rotating())
    says(run("rejected", "shop", "--fingerprint", fingerprint), 2, "not the fingerprint of a token: 16 hex digits")
    assert daemon.requests == []


def test_said_too_often(serve, run):
    serve(problem(429, "tokens of shop were reported 5 times in 10min", "Retry-After: 90"))
    done = run("rejected", "shop", "--fingerprint", OLD)
    says(done, 1, "shop: tokens of shop were reported 5 times in 10min", "shop: it can be reported again in 1min")


def test_nothing_to_report(serve, run):
    daemon = serve(problem(503, "vipps answered 401", state="failed", last_error=last_error("vipps answered 401")))
    says(run("rejected", "shop"), 1, "shop: vipps answered 401")
    assert [request.method for request in daemon.requests] == ["GET"]


def test_the_fetch_of_another_fails_or_takes_too_long(serve, run):
    daemon = serve(problem(503, "still fetching", state="fetching", last_error=None))
    says(run("rejected", "shop", "--fingerprint", OLD), 4, "still fetching")
    daemon.reply = lambda request: problem(503, "vipps answered 500", state="failed", last_error=last_error("x"))
    says(run("rejected", "shop", "--fingerprint", OLD), 1, "vipps answered 500")


@pytest.mark.parametrize("reply, status", [(HANG_UP, 3), (SILENCE, 4), (answer({"fingerprint": OLD}), 3)],
                         ids=["hang up", "silence", "no token"])
def test_no_answer_is_not_done(serve, run, reply, status):
    serve(reply)
    says(run("rejected", "shop", "--fingerprint", OLD, "--wait", "0"), status)


def test_a_token_without_a_fingerprint(serve, run):
    daemon = serve(answer(token_body(fingerprint=None)))
    says(run("rejected", "shop"), 3, "no fingerprint")
    assert len(daemon.requests) == 1


def test_of_an_unknown_profile(serve, run):
    serve(problem(404, "no profile shop"))
    says(run("rejected", "shop"), 1, "shop: no profile shop")
