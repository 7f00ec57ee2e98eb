# SPDX-License-Identifier: MIT
"""The Debian packages through their life on a system: installed, used, removed, purged (test_upgrade.py has the upgrades).
Each test has a system of its own.
"""

from deb import NAMES, ROOT, install, status
from shop import KEYS, PROFILE, SETTINGS, SOCKET, add_profile, exists, failed_units, seen, stat

TOKEN_TEST = "packaging/debian/tests/token"


# --- installing ------------------------------------------------------------------------------------------------------


def test_a_fresh_installation_waits_and_nothing_has_failed(installed):
    assert [status(installed, name) for name in NAMES] == ["installed", "installed"]
    for unit in ("bearerd.service", "bearerd.socket"):
        assert installed.ctl("is-enabled", unit).stdout.strip() == "enabled"
    assert installed.show("bearerd.socket", "ActiveState") == "active"
    assert installed.show("bearerd.service", "ActiveState", "ConditionResult") == {
        "ActiveState": "inactive", "ConditionResult": "no",
    }
    assert failed_units(installed) == []


def test_folders_belong_to_who_needs_them(installed):
    assert "bearerd" in installed.sh("id", "--name", "--groups", "bearerd").stdout.split()
    assert {path: stat(installed, path) for path in (
        "/etc/bearerd", SETTINGS, "/etc/bearerd/profiles.d", KEYS, "/etc/bearerd/credentials", "/run/bearerd", SOCKET,
    )} == {
        "/etc/bearerd": "root:root 755",
        SETTINGS: "root:root 644",
        "/etc/bearerd/profiles.d": "root:root 755",
        KEYS: "bearerd:bearerd 700",
        "/etc/bearerd/credentials": "root:root 700",
        "/run/bearerd": "root:root 755",
        SOCKET: "root:bearerd 660",
    }


def test_whoever_asks_too_early_breaks_nothing(installed, upstream, client):
    """Without a profile the socket starts nothing, again and again, until systemd has enough of it."""
    asked = installed.sh("bearerctl", "token", "shop", check=False)
    assert asked.returncode != 0
    assert asked.stdout == ""
    add_profile(installed, upstream, client)
    installed.ctl("start", "bearerd.service")
    installed.sh("bearerctl", "wait", "shop", "--timeout", "30s")
    assert installed.show("bearerd.socket", "ActiveState") == "active"


def test_the_first_request_starts_it_where_there_is_a_profile(running):
    running.ctl("stop", "bearerd.service")
    assert running.sh("bearerctl", "token", "shop").stdout.strip()
    assert running.show("bearerd.service", "ActiveState") == "active"


def test_the_packages_own_test_succeeds(installed):
    """What autopkgtest would run on Debian's machines."""
    installed.sh("mkdir", "/source")
    installed.copy(ROOT / "tests/standin", "/source/tests/standin")
    installed.copy(ROOT / TOKEN_TEST, "/source/token")
    done = installed.run("sh", "-c", "cd /source && ./token", check=False, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "ok"
    # It tidied up.
    assert not exists(installed, PROFILE)
    assert installed.sh("ls", KEYS).stdout == ""


# --- removing --------------------------------------------------------------------------------------------------------


def test_a_removal_keeps_settings_and_keys(running):
    running.sh("dpkg", "--remove", "bearerd", "bearerctl", timeout=120)
    assert status(running, "bearerd") == "config-files"
    assert not exists(running, SOCKET)
    for unit in ("bearerd.service", "bearerd.socket"):
        assert running.show(unit, "ActiveState") == "inactive"
    assert running.sh("pgrep", "-x", "bearerd", check=False).stdout == ""
    assert exists(running, PROFILE)
    assert stat(running, f"{KEYS}/shop.client-secret") == "bearerd:bearerd 400"

    install(running)
    running.sh("bearerctl", "wait", "shop", "--timeout", "30s")


def test_what_cannot_start_is_installed_all_the_same(running):
    """Settings that were kept, and cannot be used: the package is no less installed, and systemd says what failed."""
    running.sh("dpkg", "--remove", "bearerd", timeout=120)
    running.sh("sh", "-c", f"echo Nonsense=1 >>{SETTINGS}")
    install(running)
    assert status(running, "bearerd") == "installed"
    assert running.show("bearerd.service", "Result", "ExecMainStatus") == {"Result": "exit-code", "ExecMainStatus": "78"}
    assert failed_units(running) == ["bearerd.service"]

    running.sh("sed", "-i", "/^Nonsense=/d", SETTINGS)
    running.ctl("start", "bearerd.service")
    assert seen(running)["generation"] == 1


def test_a_purge_leaves_no_key(running):
    running.write("/etc/bearerd/credentials/shop.client-secret", "encrypted")
    running.write("/etc/default/bearerd", "https_proxy=http://user:password@proxy.example\n")
    running.sh("dpkg", "--purge", "bearerd", "bearerctl", timeout=120)
    assert [status(running, name) for name in NAMES] == ["not-installed", "not-installed"]
    wanted = ["(", "-name", "bearerd*", "-o", "-name", "bearerctl*", ")"]
    left = running.sh("find", "/etc", "/run", "/usr", "/lib/systemd", "/var/lib", "-xdev", *wanted, timeout=120)
    assert left.stdout == ""
    assert running.sh("pgrep", "-x", "bearerd", check=False).stdout == ""


def test_a_purge_does_not_follow_links(running):
    """Keys that lie elsewhere are somebody's own arrangement."""
    running.sh("mv", KEYS, "/srv/keys")
    running.sh("ln", "-s", "/srv/keys", KEYS)
    running.sh("dpkg", "--purge", "bearerd", timeout=120)
    assert not exists(running, "/etc/bearerd")
    assert exists(running, "/srv/keys/shop.client-secret")
