# SPDX-License-Identifier: MIT
"""Settings and keys that cannot be used: exit 78 with every problem and its place, --check, and one broken profile
that takes no other down."""

import os
import re

import pytest
from lib import profiles
from lib.watch import ERROR, WARNING

GOOD = {
    "Profile": {"Provider": "vipps", "Environment": "test"},
    "Keys": {"ClientID": "id"},
    "Access": {"Allow": "any"},
}


@pytest.fixture
def keys(daemon):
    """The [Keys] of a profile that could be used, with their files."""
    return {
        "ClientID": "fb492b5e-7907-4d83-ba20-c7fb60ca35de",
        "ClientSecretFile": daemon.key("secret", "c2VjcmV0LWZvci10ZXN0cw==\n"),
        "SubscriptionKeyFile": daemon.key("subscription", "0123456789abcdef0123456789abcdef\n"),
    }


def check(daemon, *patterns, status=78):
    """`--check` and a start agree: the exit status, and a line for each pattern."""
    checked = daemon.run("--check")
    assert checked.returncode == status, checked.stderr
    started = daemon.run()
    assert started.returncode == status, started.stderr
    for result in (checked, started):
        for pattern in patterns:
            assert re.search(pattern, result.stderr), f"{pattern!r} is not in\n{result.stderr}"
        assert "cannot start" not in result.stderr
    assert not daemon.socket.exists()
    return checked.stderr


# One line put into a profile that is good but for it: (section, lines, what is said of it).
LINES = {
    "unknown-key": ("Profile", "Enviroment=test", r"unknown key Enviroment= in \[Profile\]; did you mean Environment="),
    "unknown-section": ("Profiles", "A=b", r"unknown section \[Profiles\]; did you mean \[Profile\]\?"),
    "wrong-section": ("Profile", "Allow=any", r"Allow= belongs in \[Access\]"),
    "twice": ("Profile", "CAFile=/a\nCAFile=/b", r"CAFile= is set twice; first in line \d+"),
    "no-equals": ("Profile", "Provider vipps", "neither"),
    "bad-at": ("Refresh", "At=120%", "At= must be"),
    "at-without-percent": ("Refresh", "At=50", "At= must be"),
    "bad-duration": ("Refresh", "Timeout=15 parsecs", "Timeout= must be"),
    "timeout-too-short": ("Refresh", "Timeout=10ms", "Timeout= must be"),
    "retry-order": ("Refresh", "RetryMin=50s\nRetryMax=10s", "RetryMax=.*must not be less than RetryMin="),
    "jitter-order": ("Refresh", "At=10%\nJitter=10%", "Jitter=.*must be less than At="),
    "comment-behind-a-value": ("Refresh", "At=50% # half", "At= must be"),
    "other-provider": ("Profile", "TokenURL=https://x.example/", "TokenURL= is not for Provider=vipps"),
    "both-urls": ("Profile", "BaseURL=https://x.example", "BaseURL= stands instead of Environment="),
    "inline-secret": ("Keys", "ClientSecret=hunter2hunter2", "ClientSecret=.*file of its own.*ClientSecretFile="),
    "inline-next-secret": ("Keys", "NextClientSecret=hunter2hunter2", "NextClientSecretFile="),
    "missing-next-secret": ("Keys", "NextClientSecretFile=/nowhere/next", "next does not exist"),
    "missing-secondary-key": ("Keys", "SecondarySubscriptionKeyFile=/nowhere/second", "second does not exist"),
    "inline-subscription-key": ("Keys", "SubscriptionKey=0123456789", "SubscriptionKeyFile="),
    "unknown-user": ("Access", "Allow=user:no-such-user-here", "no-such-user-here"),
    "unknown-group": ("Access", "Allow=group:no-such-group-here", "no-such-group-here"),
    "bad-rule": ("Access", "Allow=everybody", "Allow="),
    "unit-rule": ("Access", "Allow=unit:shop", "Allow="),
    "preload": ("Profile", "Preload=maybe", "Preload= must be yes or no"),
    "idle-after-too-short": ("Profile", "Preload=no\nIdleAfter=5s", "IdleAfter= must be a time from 1min"),
    "authorization-header": ("Headers", "Authorization=Bearer x", r"\[Headers\] must not have Authorization"),
    "key-header": ("Headers", "Ocp-Apim-Subscription-Key=x", "must not have Ocp-Apim-Subscription-Key"),
    "bad-header": ("Headers", "Bad Header=x", "header name"),
    "long-system-name": ("Headers", "Vipps-System-Name=" + "x" * 31, "at most 30 characters"),
    "missing-ca": ("Profile", "CAFile=/nowhere/ca.pem", "CAFile=/nowhere/ca.pem does not exist"),
    "relative-path": ("Profile", "CAFile=ca.pem", "CAFile= must be"),
    "control-character": ("Profile", "Description=a\x07b", "control character"),
}


@pytest.mark.parametrize("section, lines, words", LINES.values(), ids=LINES.keys())
def test_bad_line(daemon, keys, section, lines, words):
    text = "[Profile]\nProvider=vipps\nEnvironment=test\n[Keys]\n" + "".join(f"{k}={v}\n" for k, v in keys.items())
    text += f"[Access]\nAllow=any\n[{section}]\n{lines}\n"
    path = daemon.profile("shop", text)
    said = check(daemon, words)
    [line] = [line for line in said.splitlines() if re.search(words, line)]
    numbers = range(len(text.splitlines()) - len(lines.splitlines()), len(text.splitlines()) + 1)
    assert re.match(rf"(<3>)?.*{re.escape(str(path))}:({'|'.join(map(str, numbers))}): ", line), line
    assert "hunter2" not in said


MISSING = {
    "provider": ({"Profile": {}}, r"\[Profile\] Provider= is missing"),
    "environment": ({"Profile": {"Provider": "vipps"}}, r"Environment= is missing"),
    "client-id": ({"Keys": {}}, r"ClientID= is missing"),
    "secret": ({"Keys": {"ClientID": "id"}}, r"no client-secret: .*ClientSecretFile=.*shop\.client-secret"),
    "subscription-key": ({"Keys": {"ClientID": "id"}}, r"no subscription-key: .*SubscriptionKeyFile="),
    "token-url": ({"Profile": {"Provider": "oauth2"}}, r"TokenURL= is missing"),
    "certificate": (
        {"Profile": {"Provider": "oauth2", "TokenURL": "https://x.example/", "ClientAuth": "tls"}},
        "TLSCertificateFile=",
    ),
}


@pytest.mark.parametrize("change, words", MISSING.values(), ids=MISSING.keys())
def test_missing(daemon, change, words):
    daemon.profile("shop", GOOD | change)
    check(daemon, words)


@pytest.mark.parametrize(
    "url, is_good",
    [
        ("http://api.example.com", False),
        ("http://10.0.0.1", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("ftp://127.0.0.1", False),
        ("https://user:pw@api.example.com", False),
        ("https://", False),
        ("https://api.example.com?x=1", False),
        ("https://api.example.com#x", False),
        ("https://api.example.com:99999", False),
        ("api.example.com", False),
        ("https://api.example.com", True),
        ("http://127.0.0.1:1", True),
        ("http://127.8.9.10:1", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
    ],
)
def test_where_keys_may_be_sent(daemon, keys, url, is_good):
    daemon.profile("shop", {"Profile": {"Provider": "vipps", "BaseURL": url}, "Keys": keys, "Access": {"Allow": "any"}})
    result = daemon.run("--check")
    assert result.returncode == (0 if is_good else 78), result.stderr
    if not is_good:
        assert "BaseURL=" in result.stderr
        assert "user:pw" not in result.stderr


# --- key files --------------------------------------------------------------------------------------------------------


def test_key_file_modes(daemon, keys):
    daemon.profile("shop", GOOD | {"Keys": keys})
    for mode, is_good in ((0o600, True), (0o400, True), (0o640, True), (0o604, False), (0o644, False), (0o602, False)):
        keys["ClientSecretFile"].chmod(mode)
        result = daemon.run("--check")
        assert result.returncode == (0 if is_good else 78), (oct(mode), result.stderr)
        if not is_good:
            assert f"is open to every user (mode {mode:04o}); run: chmod o= " in result.stderr


@pytest.mark.needs_root
def test_key_file_owners(daemon, keys):
    daemon.profile("shop", GOOD | {"Keys": keys})
    os.chown(keys["ClientSecretFile"], 65534, -1)
    check(daemon, "ClientSecretFile=.* is owned by uid 65534")


BAD_KEYS = {
    "empty": (b"", "is empty"),
    "only-a-newline": (b"\n", "is empty"),
    "too-long": (b"x" * 70_000, "is longer than 64 KiB"),
    "two-lines": (b"abc\ndef\n", "one line"),
    "nul": (b"abc\0def", "NUL byte"),
    "utf-16": ("secret\n".encode("utf-16"), "NUL byte"),
    "latin-1": (b"se\xe9cret", "printable ASCII"),
}


@pytest.mark.parametrize("value, words", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_key_file_content(daemon, keys, value, words):
    keys["ClientSecretFile"].write_bytes(value)
    daemon.profile("shop", GOOD | {"Keys": keys})
    said = check(daemon, rf"ClientSecretFile={re.escape(str(keys['ClientSecretFile']))} .*{words}")
    assert "abc" not in said.replace("0123456789abcdef", "")


def test_key_file_kinds(daemon, keys):
    for path, words in ((daemon.key_folder, "regular file"), (daemon.folder / "none", "does not exist")):
        daemon.profile("shop", GOOD | {"Keys": keys | {"ClientSecretFile": path}})
        check(daemon, f"ClientSecretFile={path} .*{words}")
    fifo = daemon.folder / "fifo"
    os.mkfifo(fifo, 0o600)
    daemon.profile("shop", GOOD | {"Keys": keys | {"ClientSecretFile": fifo}})
    check(daemon, "regular file")  # and does not wait for a writer


# --- all at once ------------------------------------------------------------------------------------------------------


def test_every_problem_of_every_file_in_one_run(daemon, keys):
    daemon.main(MaxConnection=3, SocketMode="rw")
    daemon.profile("a", GOOD | {"Keys": keys, "Refresh": {"At": "0%"}})
    daemon.profile("b", "[Profile\n")
    daemon.profile("c", GOOD)
    daemon.profile("BAD", GOOD)
    (daemon.profile_folder / "notes.txt").write_text("not read")
    said = check(
        daemon,
        r"bearerd.conf:\d+: .*unknown key MaxConnection= .*did you mean MaxConnections=\?",
        r"bearerd.conf:\d+: .*SocketMode= must be",
        r"a.conf:\d+: .*At= must be",
        r"b.conf:1: .*section header",
        r"c.conf: .*no client-secret",
        r"BAD.conf: a profile's name is",
        r"notes.txt is not read",
    )
    assert len(said.splitlines()) >= 7


def test_check_says_nothing_bad_of_good_settings(daemon, keys):
    daemon.profile("shop", GOOD | {"Keys": keys})
    result = daemon.run("--check")
    assert (result.returncode, result.stderr) == (0, "1 profile usable, 0 not; 0 errors, 0 warnings\n")


def test_check_fails_for_one_bad_profile_of_many(daemon, keys):
    daemon.profile("good", GOOD | {"Keys": keys})
    daemon.profile("bad", GOOD)
    assert daemon.run("--check").returncode == 78


def test_no_profiles_and_no_folder(daemon):
    check(daemon, "there is no profile here")
    daemon.profile_folder.rmdir()
    check(daemon, "the profile directory cannot be read")


def test_a_missing_main_file(daemon):
    daemon.config.unlink()
    check(daemon, "bearerd.conf: .*does not exist")


def test_a_broken_profile_takes_no_other_down(daemon, upstream):
    profiles.vipps(daemon, "good", upstream, upstream.vipps_client())
    lines = ["[Profile]", "Description=Broken", "Provider=vipps", "Enviroment=test", "[Access]", "Allow=any"]
    path = daemon.profile("bad", "\n".join(lines) + "\n")
    daemon.start()

    assert daemon.get("/v1/profiles/good/token").status == 200
    status = daemon.status("bad")
    assert (status["state"], status["description"], status["provider"]) == ("failed", "Broken", "vipps")
    assert status["last_error"]["reason"] == "settings"
    assert f"{path}:4: " in status["last_error"]["message"]
    assert status["next_refresh_at"] is None
    answer = daemon.get("/v1/profiles/bad/token?wait=60")  # answered at once
    assert (answer.status, answer.problem_type) == (503, "no-usable-token")
    assert "did you mean Environment=?" in answer.problem["detail"]
    assert daemon.call("POST", "/v1/profiles/bad/refresh").status == 503
    assert daemon.get("/readyz").problem["detail"] == "1 of 2 profiles have no usable token: bad (failed)"
    assert daemon.metrics().state("bad") == "failed"
    assert daemon.log.wait_for("settings-problem", f"{path}:4").level == ERROR
    assert daemon.log.wait_for("profile-failed", "bad: ").level == ERROR
    assert "bad (settings)" in daemon.manager.status
    # Repaired, and a restart: it is as the others.
    profiles.vipps(daemon, "bad", upstream, upstream.vipps_client())
    daemon.restart()
    assert daemon.get("/readyz").status == 200


def test_a_broken_allow_list_allows_nobody(daemon, upstream):
    profiles.vipps(daemon, "good", upstream, upstream.vipps_client())
    client = upstream.vipps_client()
    profiles.vipps(daemon, "bad", upstream, client, allow=["any", "nonsense"])
    daemon.main(access={"Admin": "user:4000000001"})
    daemon.start()
    assert daemon.get("/v1/profiles/bad").status == 404
    assert [status["name"] for status in daemon.get("/v1/profiles").json["profiles"]] == ["good"]
    assert upstream.stats(client["client_id"])["requests"] == 0


def test_warnings_do_not_stop_it(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, allow=None)
    daemon.start()
    line = daemon.log.wait_for("settings-problem", "Allow= is not set: nobody may use this profile")
    assert line.level == WARNING
    assert daemon.run("--check").returncode == 0


# --- the command line -------------------------------------------------------------------------------------------------


def test_version_and_help(daemon):
    result = daemon.run("--version", config=False)
    assert result.returncode == 0 and re.fullmatch(r"bearerd \d+\.\d+\.\d+\n", result.stdout)
    result = daemon.run("--help", config=False)
    assert result.returncode == 0
    for option in ("--config", "--socket", "--check", "--log-level", "--version", "--help"):
        assert option in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [["--nonsense"], ["word"], ["--log-level", "loud"], ["--config"], ["--check=yes"], ["-x"], ["--log-level"]],
)
def test_usage(daemon, arguments):
    result = daemon.run(*arguments, config=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert "--" in result.stderr


@pytest.mark.parametrize("level, has_info, has_debug", [("warning", False, False), ("info", True, False)])
def test_log_level(daemon, upstream, level, has_info, has_debug):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.start("--log-level", level)
    daemon.stop()
    assert bool(daemon.log.find(level=6)) == has_info
    assert bool(daemon.log.find(level=7)) == has_debug
