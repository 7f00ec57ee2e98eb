# SPDX-License-Identifier: MIT
"""bearerctl and the daemon, together: what an admin does when a token is refused, keys change, or an app is turned away."""

import os
import re
import subprocess

import pytest
from lib import profiles
from lib.settings import BEARERCTL, PATIENCE

pytestmark = pytest.mark.needs_root


@pytest.fixture
def ctl(daemon):
    """Runs bearerctl against the daemon of this test, as root; as a list of words, standard output and error."""

    def run(*arguments, status=0):
        done = subprocess.run([BEARERCTL, "--socket", daemon.socket, *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=PATIENCE, check=False,
                              env=daemon.own_environment() | {"LC_ALL": "C.UTF-8"})
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr

    return run


@pytest.fixture
def shop(daemon, upstream):
    """A started daemon with the profile shop; its client at the stand-in."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, allow="user:0")
    daemon.start()
    return client


# --- rejected ---------------------------------------------------------------------------------------------------------


def test_a_revoked_token_is_replaced(ctl, daemon, upstream, shop):
    old = daemon.token("shop")
    upstream.revoke(shop["client_id"], "tokens")
    new, errors = ctl("rejected", "shop")
    assert errors == "" and new.strip() != old["access_token"]
    assert new.strip() == daemon.token("shop")["access_token"]
    assert upstream.ping(daemon.headers("shop"))[0] == 200
    # The same report once more is of a token that is gone: it costs nothing upstream.
    again, _ = ctl("rejected", "shop", "--fingerprint", old["fingerprint"])
    assert again == new
    assert upstream.stats(shop["client_id"])["ok"] == 2


# --- reload -----------------------------------------------------------------------------------------------------------


def test_a_reload_adds_changes_and_removes(ctl, daemon, upstream, shop):
    profiles.vipps(daemon, "partner", upstream, upstream.vipps_client())
    assert ctl("reload") == ("", "reloaded: 1 added (partner), 1 unchanged\n")
    assert daemon.token("partner")
    profiles.vipps(daemon, "shop", upstream, shop, allow="any")
    (daemon.profile_folder / "partner.conf").unlink()
    assert ctl("reload") == ("", "reloaded: 1 removed (partner), 1 changed (shop: access), 0 unchanged\n")


def test_settings_with_an_error_change_nothing(ctl, daemon, upstream, shop):
    before = daemon.token("shop")
    profiles.vipps(daemon, "shop", upstream, shop, allow="any", refresh={"RetryMix": "1s"})
    output, errors = ctl("reload", status=1)
    first, *_, last = errors.splitlines()
    assert output == ""
    assert first.startswith(f"{daemon.profile_folder}/shop.conf:") and ": error: " in first and "RetryMin" in first
    assert last == "bearerctl: not reloaded: 1 error, 0 warnings; the old settings stay in force"
    after = daemon.token("shop")
    assert after | {"expires_in": 0} == before | {"expires_in": 0}


def test_a_new_secret_is_proven(ctl, daemon, upstream, shop):
    upstream.change(shop["client_id"], next_client_secret="the next one")
    profiles.vipps(daemon, "shop", upstream, shop | {"client_secret": "the next one"}, allow="user:0")
    assert ctl("reload") == ("", "reloaded: 1 changed (shop: keys, proven), 0 unchanged\n")
    upstream.revoke(shop["client_id"], "secret", 0)
    ctl("refresh", "shop")


def test_a_wrong_secret_is_said_to_be_wrong(ctl, daemon, upstream, shop):
    before = daemon.token("shop")["access_token"]
    profiles.vipps(daemon, "shop", upstream, shop | {"client_secret": "mistyped"}, allow="user:0")
    _, errors = ctl("reload", status=1)
    assert "shop: the new settings are in force, but its new keys brought no token: " in errors
    assert "shop: the old token stays in use until " in errors
    assert "mistyped" not in errors
    assert daemon.token("shop", "?wait=0")["access_token"] == before


# --- explain ----------------------------------------------------------------------------------------------------------


def test_why_a_user_may_and_another_may_not(ctl, daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client(), allow=["user:www-data", "unit:shop-*.service"])
    daemon.start()
    output, errors = ctl("explain", "shop", "--user", "www-data")
    assert errors == ""
    assert "  May use it: yes, by the rule user:www-data\n" in output
    assert "       Allow: user:www-data\n              unit:shop-*.service\n" in output
    assert "    Attempts: " in output and "token, HTTP 200" in output
    output, _ = ctl("explain", "shop", "--user", "root")
    assert "  May use it: no\n" in output and "    Is admin: yes" in output


def test_why_a_process_may(ctl, daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client(), allow="group:4245")
    daemon.start()
    for groups, verdict in ([4244, 4245], "yes, by the rule group:4245"), ([4244], "no"):
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd="/", user=4242, group=4243,
                              extra_groups=groups) as process:
            output, _ = ctl("explain", "shop", "--pid", process.pid)
            process.stdin.close()
        assert f"  May use it: {verdict}\n" in output


def test_what_the_last_attempts_said(ctl, daemon, upstream, shop):
    upstream.fault(client_id=shop["client_id"], status=500, times=1)
    ctl("refresh", "shop", status=1)
    daemon.wait_status("shop", state="fresh")
    output, _ = ctl("explain", "shop")
    attempts = output[output.index("    Attempts: "):].splitlines()
    assert [re.split("  +", line)[-1] for line in attempts] == [
        "token, HTTP 200", "server-error, HTTP 500", "token, HTTP 200"]


# --- fetched on first use ---------------------------------------------------------------------------------------------


def test_wait_wakes_what_is_fetched_on_first_use(ctl, daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, profile={"Preload": "no"})
    daemon.start()
    output, _ = ctl("status", "shop")
    assert "Next refresh: at the first request (Preload=no)\n" in output
    assert upstream.stats(client["client_id"])["requests"] == 0
    ctl("wait", "shop")
    assert upstream.stats(client["client_id"])["ok"] == 1


def test_only_admins_reload_and_explain(daemon, shop):
    # A copy for nobody's eyes: the build folder need not be open to everybody.
    program = daemon.folder / "bearerctl"
    program.write_bytes(BEARERCTL.read_bytes())
    program.chmod(0o755)
    daemon.socket.chmod(0o666)
    for arguments, words in (["reload"], "admins"), (["explain", "shop"], "no profile of this name"):
        done = subprocess.run([program, "--socket", daemon.socket, *arguments], capture_output=True, text=True, cwd="/",
                              timeout=PATIENCE, check=False, user=65534, group=65534, extra_groups=[],
                              env={"PATH": os.environ["PATH"], "ASAN_OPTIONS": "detect_leaks=0"})
        assert done.returncode == 1 and words in done.stderr, done.stderr
