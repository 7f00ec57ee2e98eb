# SPDX-License-Identifier: MIT
"""bearerctl: tokens and header sets, on standard output or nowhere."""

import contextlib
import json
import os

import pytest
from lib.ctl import bearerctl, environment, folder, run, serve  # noqa: F401 (fixtures)
from lib.ctl import TOKEN, answer, last_error, problem, response, says, status_body, text, token_body


# ---- token ----


def test_token_is_printed_with_a_newline(serve, run):
    daemon = serve(answer(token_body()))
    done = run("token", "shop")
    assert (done.returncode, done.stdout, done.stderr) == (0, TOKEN + "\n", "")
    request = daemon.requests[0]
    assert (request.method, request.target) == ("GET", "/v1/profiles/shop/token")


def test_token_json_is_the_answer_as_it_came(serve, run):
    body = json.dumps(token_body(new_member={"a": [1]}), indent=3)
    serve(response(200, body, "application/json"))
    done = run("token", "--json", "shop")
    assert (done.returncode, done.stdout) == (0, body + "\n")


def test_token_lengths_are_rounded_up_to_seconds(serve, run):
    daemon = serve(answer(token_body()))
    assert run("token", "shop", "--min-ttl", "1min 200ms", "--wait=1.5s").returncode == 0
    assert daemon.requests[0].query == {"min_ttl": "61", "wait": "2"}


def test_token_of_64_kib_is_too_much_and_of_16_kib_is_not(serve, run):
    big = "x" * 16384
    daemon = serve(answer(token_body(access_token=big)))
    assert run("token", "shop").stdout == big + "\n"
    daemon.reply = lambda request: answer(token_body(access_token="x" * 65536))
    says(run("token", "shop"), 3, "larger")


@pytest.mark.parametrize("status", [400, 404, 409, 429, 500, 503])
def test_refusal_shows_the_detail(serve, run, status):
    serve(problem(status, "no profile of this name", "Retry-After: 3"))
    says(run("token", "shop"), 1, "bearerctl: shop: no profile of this name\n")


def test_failed_upstream_is_not_a_time_out(serve, run):
    serve(problem(503, "vipps answered 401", state="failed", last_error=last_error("vipps answered 401")))
    says(run("token", "shop"), 1, "vipps answered 401")


def test_fetch_that_is_not_over_in_time_is_a_time_out(serve, run):
    serve(problem(503, "still fetching after 1s", state="fetching", last_error=None))
    says(run("token", "shop", "--wait", "1"), 4, "still fetching after 1s")


def test_refusal_without_a_reason(serve, run):
    serve(response(502, "<html>", "text/html"))
    says(run("token", "shop"), 1, "502")


def test_redirect_is_not_followed(serve, run):
    daemon = serve(response(302, "", "text/plain", "Location: http://localhost/v1/profiles/other/token"))
    says(run("token", "shop"), 3, "302")
    assert len(daemon.requests) == 1


def test_terminal_sequences_in_a_detail_are_defused(serve, run):
    serve(problem(503, "bad\x1b]0;owned\x07 news\r\n"))
    done = run("token", "shop")
    assert done.stderr == "bearerctl: shop: bad?]0;owned? news??\n"


# ---- headers ----


def test_headers_are_lines_for_curl(serve, run):
    lines = f"Authorization: Bearer {TOKEN}\nMerchant-Serial-Number: 123456\n"
    daemon = serve(text(lines))
    done = run("headers", "shop")
    assert (done.returncode, done.stdout, done.stderr) == (0, lines, "")
    assert daemon.requests[0].path == "/v1/profiles/shop/headers"
    assert daemon.requests[0].headers["accept"] == "text/plain"


def test_headers_json_is_the_object(serve, run):
    value = {"Authorization": f"Bearer {TOKEN}", "Merchant-Serial-Number": "123456"}
    daemon = serve(answer(value))
    done = run("headers", "shop", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, value)
    assert daemon.requests[0].headers["accept"] == "application/json"


@pytest.mark.parametrize("reply", [
    answer({"Authorization": f"Bearer {TOKEN}"}),
    text(f"Authorization: Bearer {TOKEN}"),
    text(f"Authorization: Bearer {TOKEN}\r\n"),
    text(""),
    text(TOKEN + "\n"),
], ids=["json", "cut off", "carriage return", "empty", "no header"])
def test_header_lines_that_are_none(serve, run, reply):
    serve(reply)
    says(run("headers", "shop"), 3)


# ---- standard output ----


@pytest.mark.parametrize("arguments", [("token", "shop"), ("token", "shop", "--json"), ("headers", "shop"),
                                       ("status",), ("status", "shop"), ("status", "--json")], ids=" ".join)
@pytest.mark.parametrize("broken", ["full", "pipe", "closed"])
def test_output_that_cannot_be_written(serve, run, arguments, broken):
    daemon = serve(lambda request: {
        "/v1/profiles": answer({"profiles": [status_body()]}),
        "/v1/profiles/shop": answer(status_body()),
        "/v1/profiles/shop/token": answer(token_body()),
        "/v1/profiles/shop/headers": text(f"Authorization: Bearer {TOKEN}\n"),
    }[request.path])
    with contextlib.ExitStack() as stack:
        more = {}
        if broken == "full":
            more = {"stdout": stack.enter_context(open("/dev/full", "wb"))}
        elif broken == "pipe":
            reader, writer = os.pipe()
            os.close(reader)
            stack.callback(os.close, writer)
            more = {"stdout": writer}
        else:
            more = {"preexec_fn": lambda: os.close(1)}
        done = run(*arguments, **more)
    assert done.returncode == 1
    assert "cannot write to standard output" in done.stderr
    assert all(TOKEN not in request.target for request in daemon.requests)


def test_help_that_cannot_be_written(run):
    with open("/dev/full", "wb") as full:
        assert run("--help", stdout=full).returncode == 1
