# SPDX-License-Identifier: MIT
"""bearerctl: reading settings and keys anew."""

import json

import pytest
from lib.ctl import bearerctl, environment, folder, run, serve  # noqa: F401 (fixtures)
from lib.ctl import HANG_UP, TOKEN, answer, problem, response, rfc3339, says, status_body

REFUSED = "urn:bearerd:problem:reload-refused"


def report(**members):
    return {"outcome": "reloaded", "added": [], "removed": [], "changed": [], "unchanged": 2, "problems": [], **members}


def change(profile, what="keys", proof=None, message=None):
    return {"profile": profile, "change": what, "proof": proof, "message": message}


def found(place, severity, message):
    return {"place": place, "severity": severity, "message": message}


def replies(reload, **statuses):
    """A reply() of a daemon with these statuses."""
    def reply(request):
        if request.path == "/v1/reload":
            return reload
        return statuses[request.path.rpartition("/")[2]]
    return reply


def test_it_asks_and_sums_up(serve, run):
    daemon = serve(answer(report(added=["a", "b"], removed=["c"], changed=[change("shop", proof="proven")])))
    done = run("reload")
    summary = "reloaded: 2 added (a, b), 1 removed (c), 1 changed (shop: keys, proven), 2 unchanged\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", summary)
    (request,) = daemon.requests
    assert (request.method, request.target, request.body) == ("POST", "/v1/reload", b"")


def test_warnings_are_shown_and_allowed(serve, run):
    serve(answer(report(problems=[found("/etc/x.conf:3", "warning", "odd"), found("", "warning", "odder")])))
    done = run("reload")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "/etc/x.conf:3: warning: odd\nwarning: odder\nreloaded: 2 unchanged\n"


def test_refused_settings(serve, run):
    problems = [found("/etc/a.conf:3", "error", "unknown key\x1b[2J"), found("/etc/b.conf", "warning", "odd")]
    serve(problem(409, "1 error", type=REFUSED, problems=problems))
    done = run("reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "/etc/a.conf:3: error: unknown key?[2J\n"
        "/etc/b.conf: warning: odd\n"
        "bearerctl: not reloaded: 1 error, 1 warning; the old settings stay in force\n")


def test_failed_keys_say_how_long_the_old_token_lasts(serve, run):
    body = report(changed=[change("shop", proof="failed", message="vipps answered 401: no"), change("x", proof="pending")])
    expires_at = rfc3339(1830)
    daemon = serve(replies(answer(body), shop=answer(status_body(expires_at=expires_at))))
    done = run("reload")
    assert (done.returncode, done.stdout) == (1, "")
    summary, failed, outlook, pending = done.stderr.splitlines()
    assert summary == "reloaded: 2 changed (shop: keys, failed; x: keys, not proven yet), 2 unchanged"
    assert failed == ("bearerctl: shop: the new settings are in force, but its new keys brought no token: "
                      "vipps answered 401: no")
    assert outlook == f"bearerctl: shop: the old token stays in use until {expires_at[11:16]} UTC (in 30min)"
    assert pending == "bearerctl: x: its new keys are not proven yet; see: bearerctl status x"
    assert [request.path for request in daemon.requests] == ["/v1/reload", "/v1/profiles/shop"]


@pytest.mark.parametrize("status, words", [
    (answer(status_body(state="failed")), "no\nbearerctl: shop: there is no usable token\n"),
    (problem(404, "gone"), "no\n"),
    (HANG_UP, "no\n"),
], ids=["failed", "removed since", "stopped since"])
def test_failed_keys_of_a_profile_without_a_token(serve, run, status, words):
    serve(replies(answer(report(changed=[change("shop", proof="failed", message="no")])), shop=status))
    done = run("reload")
    assert done.returncode == 1
    assert done.stderr.endswith("its new keys brought no token: " + words)


def test_a_new_profile_is_counted_once(serve, run):
    added = change("a", what="added", proof="failed", message="vipps answered 401")
    serve(replies(answer(report(added=["a"], changed=[added])), a=answer(status_body("a", "failed"))))
    done = run("reload")
    assert done.returncode == 1
    assert done.stderr == (
        "reloaded: 1 added (a), 2 unchanged\n"
        "bearerctl: a: the new settings are in force, but its new keys brought no token: vipps answered 401\n"
        "bearerctl: a: there is no usable token\n")


def test_pending_proofs_are_done(serve, run):
    serve(answer(report(changed=[change("shop", proof="pending")])))
    assert run("reload").returncode == 0


@pytest.mark.parametrize("reply, status", [
    (response(200, json.dumps(report(changed=[change("shop", proof="proven")])), "application/json"), 0),
    (response(200, json.dumps(report(changed=[change("shop", proof="failed")])), "application/json"), 1),
    (problem(409, "no", type=REFUSED, problems=[found("a", "error", "m")]), 1),
], ids=["in force", "keys refused", "refused"])
def test_json_is_the_answer_and_nothing_else(serve, run, reply, status):
    daemon = serve(reply)
    done = run("reload", "--json")
    assert (done.returncode, done.stderr) == (status, "")
    assert done.stdout.encode() == reply.partition(b"\r\n\r\n")[2] + b"\n"
    assert len(daemon.requests) == 1


@pytest.mark.parametrize("reply, status, words", [
    (problem(403, "only for admins"), 1, "bearerctl: only for admins\n"),
    (problem(503, "the daemon goes down"), 1, "the daemon goes down"),
    (problem(503, "still being read", type="urn:bearerd:problem:reload-timed-out"), 4, "still being read"),
    (problem(409, "a reload is under way"), 1, "a reload is under way"),
    (problem(409, "no", type=REFUSED, problems="many"), 3, "not bearerd's"),
    (answer({}), 3, "not bearerd's"),
    (answer(report(outcome="postponed")), 3, "not bearerd's"),
    (HANG_UP, 3, "hung up"),
], ids=["no admin", "stopping", "slow", "conflict", "problems", "empty", "outcome", "hang up"])
def test_no_reload(serve, run, reply, status, words):
    serve(reply)
    says(run("reload"), status, words)
    says(run("reload", "--json"), status, words)


def test_no_daemon(run):
    says(run("reload"), 3, "systemctl status bearerd")


def test_a_refused_reload_is_not_kept_in_an_error(serve, run):
    """What follows on the same connection is an answer of its own."""
    serve(replies(answer(report(changed=[change(f"p{i}", proof="failed", message="m") for i in range(3)])),
                  p0=answer(status_body("p0")), p1=HANG_UP, p2=answer(status_body("p2", "failed"))))
    done = run("reload")
    assert done.returncode == 1 and done.stderr.count("brought no token: m") == 3
    assert done.stderr.count("the old token stays in use until") == 1
    assert TOKEN not in done.stderr
