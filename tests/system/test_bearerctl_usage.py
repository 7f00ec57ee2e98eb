# SPDX-License-Identifier: MIT
"""bearerctl: the command line, and check."""

import re
import shutil
import subprocess

import pytest
from lib.ctl import bearerctl, environment, folder, run, serve  # noqa: F401 (fixtures)
from lib.ctl import NOBODY, PATIENCE, Profiles, says


# ---- check ----


def test_check_of_settings_that_are_not_there(run, folder):
    done = run("check", "--config", str(folder / "missing.conf"), socket_path=None)
    assert (done.returncode, done.stdout) == (1, "")
    assert "missing.conf" in done.stderr


def test_check_names_file_and_line(run, folder):
    config = folder / "bearerd.conf"
    config.write_text("[Daemon]\nBadKey=1\n")
    done = run("check", "--config", str(config), socket_path=None)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{config}:2: error: " in done.stderr
    assert len(done.stderr.splitlines()) > 1  # and a summary


@pytest.mark.needs_root
def test_check_says_whose_rights_it_looked_with(run, folder, bearerctl, environment):
    config = folder / "bearerd.conf"
    (folder / "profiles.d").mkdir()
    config.write_text(f"[Daemon]\nSocket={folder}/other\nProfileDirectory={folder}/profiles.d\n")
    # A copy, since the build folder need not be open to everybody.
    done = subprocess.run([shutil.copy(bearerctl, folder), "check", "--config", str(config)], user=NOBODY, group=NOBODY,
                          extra_groups=[], capture_output=True, text=True, timeout=PATIENCE, env=environment,
                          check=False)
    assert done.stderr.splitlines()[-1].startswith(f"checked with the rights of nobody (uid {NOBODY}), as though ")
    assert "checked with the rights" not in run("check", "--config", str(config)).stderr


# ---- the command line ----


def test_help_and_version(run):
    for arguments in (["--help"], ["help"], ["token", "--help"], ["-h"]):
        done = run(*arguments, socket_path=None)
        assert (done.returncode, done.stderr) == (0, "")
        for word in ("token", "headers", "status", "wait", "rejected", "refresh", "reload", "explain", "check", "keys", "--min-ttl",
                     "--fingerprint", "--user", "--pid", "--socket"):
            assert word in done.stdout
    done = run("--version", socket_path=None)
    assert done.returncode == 0
    assert re.fullmatch(r"bearerctl \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("arguments, words", [
    ([], "which verb?"),
    (["tokn", "shop"], "did you mean token?"),
    (["token"], "name of a profile"),
    (["token", "a", "b"], "too many"),
    (["token", "shop", "--jsn"], "did you mean --json?"),
    (["token", "shop", "--wait", "61"], "at most 1min"),
    (["token", "shop", "--wait", "-1"], "length of time"),
    (["token", "shop", "--min-ttl", "soon"], "length of time"),
    (["token", "../etc"], "not the name of a profile"),
    (["token", "Shop"], "not the name of a profile"),
    (["token", "shop?wait=1"], "not the name of a profile"),
    (["token", ""], "not the name of a profile"),
    (["token", "x" * 64], "not the name of a profile"),
    (["wait", "shop", "Shop"], "not the name of a profile"),
    (["status", "--wait", "1"], "does not go with status"),
    (["rejected", "Shop", "--fingerprint", "0123456789abcdef"], "not the name of a profile"),
    (["reload", "shop"], "too many"),
    (["keys"], "name of a profile"),
    (["keys", "Shop"], "not the name of a profile"),
    (["explain"], "name of a profile"),
    (["explain", "shop", "--pid", "self"], "not a number"),
    (["explain", "shop", "--user="], "needs a value"),
], ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "")
def test_usage(serve, run, arguments, words):
    daemon = serve(Profiles(shop="fetching"))
    says(run(*arguments), 2, words)
    assert [request for request in daemon.requests if request.path != "/v1/profiles/shop"] == []
