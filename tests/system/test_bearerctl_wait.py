# SPDX-License-Identifier: MIT
"""bearerctl: waiting for tokens that are not there yet."""

import pytest
from lib.ctl import bearerctl, environment, folder, run, serve  # noqa: F401 (fixtures)
from lib.ctl import HANG_UP, LONG, PATIENCE, Profiles, SILENCE, answer, ended, last_error, problem, says, started, status_body


def test_wait_for_what_is_there(serve, run):
    daemon = serve(Profiles(a="fresh", b="refreshing", c="stale"))
    done = run("wait", "a", "b", "c")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not [request for request in daemon.requests if request.path.endswith("/token")]


def test_wait_blocks_until_the_fetch_ends(serve, bearerctl, environment):
    profiles = Profiles(shop="empty")
    daemon = serve(profiles)
    with started(bearerctl, environment, "wait", "--socket", daemon.path, "shop") as process:
        assert profiles.has_asked["shop"].wait(PATIENCE)
        profiles.set("shop", "fresh")
        assert ended(process) == (0, "", "")
    # One look, one request that blocked: nothing was polled.
    assert [request.path.rpartition("/")[2] for request in daemon.requests] == ["shop", "token"]


def test_wait_gives_up_and_says_on_whom(serve, run):
    serve(Profiles(a="fresh", b="fetching", c="failed"))
    done = run("wait", "a", "b", "c", "--timeout", "300ms")
    says(done, 4, "bearerctl: b: no usable token in time: it is fetching\n", "bearerctl: c: no usable token in time: ")
    assert "a:" not in done.stderr
    assert done.stderr.count(f"c: {LONG} (still waiting)") == 1


def test_wait_outlasts_a_failure(serve, bearerctl, environment):
    profiles = Profiles(shop="failed")
    daemon = serve(profiles)
    with started(bearerctl, environment, "--socket", daemon.path, "wait", "shop") as process:
        assert "still waiting" in process.stderr.readline()
        profiles.set("shop", "fresh")
        assert ended(process) == (0, "", "")


def test_wait_for_an_unknown_profile_ends_at_once(serve, run):
    serve(Profiles(shop="fetching"))
    says(run("wait", "shop", "ship"), 1, "ship: no profile ship")


def test_wait_polls_where_the_token_is_not_ours(serve, run):
    looks = []

    def reply(request):
        if request.path.endswith("/token"):
            return problem(404, "no profile shop")
        looks.append(request)
        return answer(status_body(state="fetching" if len(looks) < 3 else "fresh"))

    daemon = serve(reply)
    assert run("wait", "shop").returncode == 0
    assert len([request for request in daemon.requests if request.path.endswith("/token")]) == 1


def test_wait_for_a_daemon_that_is_not_there_yet(serve, bearerctl, environment, folder):
    with started(bearerctl, environment, "--socket", str(folder / "s"), "wait", "shop") as process:
        assert "still trying" in process.stderr.readline()
        serve(Profiles(shop="fresh"))
        assert ended(process) == (0, "", "")


def test_wait_outlasts_a_restart_of_the_daemon(serve, run):
    replies = [HANG_UP, answer(status_body(state="fetching")), HANG_UP, answer(status_body(state="fresh"))]
    serve(lambda request: replies.pop(0) if len(replies) > 1 else replies[0])
    assert run("wait", "shop").returncode == 0


def test_wait_for_a_daemon_that_never_comes(run):
    says(run("wait", "shop", "--timeout", "300ms"), 3, "No such file", "systemctl status bearerd",
         "shop: no usable token in time")


def test_wait_for_a_silent_daemon(serve, run):
    serve(SILENCE)
    says(run("wait", "shop", "--timeout", "100ms"), 4, "did not answer in time", "shop: no usable token in time")


def test_wait_for_a_daemon_that_has_no_connection_left(serve, run):
    replies = [problem(429, "too many connections"), answer(status_body())]
    serve(lambda request: replies.pop(0) if len(replies) > 1 else replies[0])
    assert run("wait", "shop").returncode == 0


@pytest.mark.parametrize("state", ["idle", "empty"])
def test_wait_wakes_what_is_fetched_on_first_use(serve, bearerctl, environment, state):
    profiles = Profiles(shop=state)
    daemon = serve(profiles)
    with started(bearerctl, environment, "wait", "--socket", daemon.path, "shop") as process:
        assert profiles.has_asked["shop"].wait(PATIENCE)
        profiles.set("shop", "fresh")
        assert ended(process) == (0, "", "")


def test_wait_lets_the_idle_sleep_while_their_token_lives(serve, run):
    daemon = serve(answer(status_body(state="idle", expires_in=60, preload=False)))
    assert run("wait", "shop").returncode == 0
    assert [request.path for request in daemon.requests] == ["/v1/profiles/shop"]


def test_wait_says_when_waiting_is_in_vain(serve, run):
    def reply(request):
        if request.path.endswith("/token"):
            return problem(404, "no profile shop")
        return answer(status_body(state="idle", preload=False, last_error=last_error(LONG)))

    serve(reply)
    says(run("wait", "shop", "--timeout", "3s"), 4, "shop: no usable token in time: it is fetched on first use")
