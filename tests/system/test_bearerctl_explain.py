# SPDX-License-Identifier: MIT
"""bearerctl: who may use a profile and why, and what its last attempts said."""

import json
import os
import pwd
import subprocess

import pytest
from lib.ctl import bearerctl, environment, folder, run, serve  # noqa: F401 (fixtures)
from lib.ctl import HANG_UP, answer, problem, response, rfc3339, says, status_body


def explanation(caller=None, **members):
    return {
        "profile": status_body(), "allow": ["user:www-data", "unit:shop-*.service"], "admin": ["user:root"],
        "caller": caller, "attempts": [
            {"at": rfc3339(-130), "outcome": "token", "http_status": 200},
            {"at": rfc3339(-7230), "outcome": "timeout", "http_status": None}],
        **members}


def caller(admitted, **members):
    return {"uid": 1, "gid": 1, "pid": None, "unit": None, "unit_problem": None, "admitted": admitted, "rule": None,
            "is_admin": False, "why": "so it is", **members}


def shown(done):
    """The labelled lines; of a label's further lines a list."""
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    fields = {}
    for line in done.stdout.splitlines():
        label, text = line[:12].strip(), line[14:]
        assert line[12:14] == (": " if label else "  "), line
        if label:
            fields[label] = [text]
        else:
            fields[next(reversed(fields))].append(text)
    return {label: texts[0] if len(texts) == 1 else texts for label, texts in fields.items()}


def test_rules_outlook_and_attempts(serve, run):
    daemon = serve(answer(explanation()))
    fields = shown(run("explain", "shop"))
    assert daemon.requests[0].target == "/v1/profiles/shop/explain"
    assert fields["Allow"] == ["user:www-data", "unit:shop-*.service"]
    assert fields["Admin"] == "user:root"
    assert fields["State"] == "fresh"
    assert fields["Left"] == "█████░░░░░ 30min"
    assert fields["Next refresh"].endswith("(in 10min)")
    assert fields["Attempts"] == ["2min ago  token, HTTP 200", "2h ago    timeout"]
    assert "May use it" not in fields


def test_of_a_user_the_groups_go_along(serve, run):
    daemon = serve(answer(explanation(caller(True, rule="user:www-data"))))
    user = pwd.getpwnam("www-data")
    fields = shown(run("explain", "shop", "--user", "www-data"))
    query = daemon.requests[0].query
    assert (query["uid"], query["gid"]) == (str(user.pw_uid), str(user.pw_gid))
    assert sorted(map(int, query["groups"].split(","))) == sorted(os.getgrouplist("www-data", user.pw_gid))
    assert "pid" not in query
    assert fields["May use it"] == "yes, by the rule user:www-data"
    assert fields["Why"] == "so it is"
    assert fields["Caller"].startswith(f"www-data: uid {user.pw_uid}, gid {user.pw_gid}, groups ")


def test_of_a_uid_without_a_name(serve, run):
    daemon = serve(answer(explanation(caller(False))))
    done = run("explain", "shop", "--user", "3999999999")
    assert done.returncode == 0
    assert "judged without any group" in done.stderr
    assert daemon.requests[0].query == {"uid": "3999999999"}
    assert "  May use it: no\n" in done.stdout


def test_of_a_process(serve, run, bearerctl, environment):
    daemon = serve(answer(explanation(caller(True, unit="shop-1.service", rule="unit:shop-*.service"))))
    as_other = {"user": 4242, "group": 4243, "extra_groups": [4244, 4245]} if os.geteuid() == 0 else {}
    with subprocess.Popen(["/usr/bin/cat"], stdin=subprocess.PIPE, cwd="/", **as_other) as process:
        fields = shown(run("explain", "shop", "--pid", str(process.pid)))
        process.stdin.close()
    query = daemon.requests[0].query
    assert query["pid"] == str(process.pid)
    if as_other:
        assert (query["uid"], query["gid"], query["groups"]) == ("4242", "4243", "4244,4245")
    assert fields["Unit"] == "shop-1.service"
    assert fields["May use it"] == "yes, by the rule unit:shop-*.service"


def test_of_a_user_within_the_unit_of_a_process(serve, run):
    daemon = serve(answer(explanation(caller(False, unit_problem="the process has ended"))))
    fields = shown(run("explain", "shop", "--user", "root", "--pid", "1"))
    query = daemon.requests[0].query
    assert (query["uid"], query["gid"], query["pid"]) == ("0", "0", "1")
    assert fields["Unit"] == "not known: the process has ended"
    assert fields["May use it"] == "no"


def test_an_admin_without_tokens(serve, run):
    serve(answer(explanation(caller(False, is_admin=True), allow=[], attempts=[])))
    fields = shown(run("explain", "shop", "--user", "root"))
    assert fields["Is admin"].startswith("yes: ")
    assert fields["Allow"] == "nobody: there is no rule"
    assert fields["Attempts"] == "none yet"


def test_terminal_sequences_are_defused(serve, run):
    serve(answer(explanation(caller(True, why="\x1b]0;x\x07", unit="\x1b[2J"), allow=["\x1b[31m"])))
    assert "\x1b" not in run("explain", "shop", "--user", "root").stdout


def test_json_is_the_answer_as_it_came(serve, run):
    body = json.dumps(explanation(caller(True)), indent=1)
    serve(response(200, body, "application/json"))
    assert run("explain", "shop", "--user", "root", "--json").stdout == body + "\n"


@pytest.mark.parametrize("arguments, words", [
    (["--user", "no-such-user-here"], "there is no user no-such-user-here"),
    (["--pid", "2147483647"], "there is no process 2147483647"),
], ids=["user", "process"])
def test_nobody_is_not_asked_about(serve, run, arguments, words):
    daemon = serve(answer(explanation()))
    says(run("explain", "shop", *arguments), 1, words)
    assert daemon.requests == []


@pytest.mark.parametrize("reply, status, words", [
    (problem(403, "only for admins"), 1, "shop: only for admins"),
    (problem(404, "no profile shop"), 1, "shop: no profile shop"),
    (answer(status_body()), 3, "not bearerd's"),
    (answer(explanation({"why": "perhaps"})), 3, "not bearerd's"),
    (answer(explanation(caller("yes"))), 3, "not bearerd's"),
    (HANG_UP, 3, "hung up"),
], ids=["no admin", "unknown", "status", "no verdict", "odd verdict", "hang up"])
def test_no_explanation(serve, run, reply, status, words):
    serve(reply)
    says(run("explain", "shop", "--user", "root"), status, words)
