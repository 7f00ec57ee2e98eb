# SPDX-License-Identifier: MIT
"""The Debian packages through their life on a system: installed, used, upgraded, removed, purged. Each test has a system of
its own.
"""

import json
import subprocess

import pytest
from boxlib.network import BoxStandin
from deb import NAMES, ROOT, install, make_newer, status

TOKEN_TEST = "packaging/debian/tests/token"
SETTINGS = "/etc/bearerd/bearerd.conf"
PROFILE = "/etc/bearerd/profiles.d/shop.conf"
KEYS = "/etc/bearerd/keys"
SOCKET = "/run/bearerd/bearerd.sock"

# Asks without a pause, and says how each time went, until there is the file.
CALLER = f"""
until [ -e /run/enough ]; do
    curl -sS --max-time 20 -o /dev/null -w '%{{http_code}}\\n' --unix-socket {SOCKET} http://localhost/v1/profiles/shop/token
done
"""


@pytest.fixture
def installed(box):
    """The system with the packages, and no profile."""
    install(box)
    return box


@pytest.fixture
def upstream(box):
    with BoxStandin(box, max_seconds=600) as one:
        yield one


@pytest.fixture
def running(installed, upstream):
    """The same with the profile `shop`, its keys and a token."""
    client = upstream.vipps_client(msn="123456")
    add_profile(installed, upstream, client)
    installed.ctl("start", "bearerd.service")
    installed.sh("bearerctl", "wait", "shop", "--timeout", "30s")
    return installed


def add_profile(box, upstream, client):
    """As an administrator does it: the example, with other values; each key in a file."""
    ways = {
        "client-secret": client["client_secret"],
        "subscription-key": client["subscription_keys"][0],
    }
    for kind, key in ways.items():
        box.sh(
            "install", "-m", "0400", "-o", "bearerd", "-g", "bearerd", "/dev/stdin", f"{KEYS}/shop.{kind}", input=key
        )
    lines = box.path("/usr/share/doc/bearerd/examples/shop.conf").read_text().splitlines()
    others = {
        "Environment=": f"BaseURL={upstream.http}",
        "ClientID=": f"ClientID={client['client_id']}",
        "Allow=": "Allow=user:root",
    }
    lines = [line.removeprefix("#") if line.startswith(("#ClientSecretFile=", "#SubscriptionKeyFile=")) else line for line in lines]
    changed = [next((new for old, new in others.items() if line.startswith(old)), line) for line in lines]
    box.write(PROFILE, "\n".join(changed) + "\n")


def stat(box, path):
    return box.sh("stat", "--format=%U:%G %a", path).stdout.strip()


def exists(box, path):
    return box.sh("test", "-e", path, check=False).returncode == 0


def generation(box):
    return json.loads(box.sh("bearerctl", "status", "shop", "--json").stdout)["generation"]


def failed_units(box):
    return [unit["unit"] for unit in json.loads(box.ctl("--failed", "--output=json").stdout) if "bearer" in unit["unit"]]


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


def test_whoever_asks_too_early_breaks_nothing(installed, upstream):
    """Without a profile the socket starts nothing, again and again, until systemd has enough of it."""
    asked = installed.sh("bearerctl", "token", "shop", check=False)
    assert asked.returncode != 0
    assert asked.stdout == ""
    add_profile(installed, upstream, upstream.vipps_client(msn="123456"))
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


# --- upgrading -------------------------------------------------------------------------------------------------------


def test_an_upgrade_restarts_it_and_no_caller_notices(running):
    make_newer(running)
    pid = running.show("bearerd.service", "MainPID")
    listening = running.show("bearerd.socket", "ActiveEnterTimestampMonotonic")
    with running.popen("sh", "-c", CALLER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as caller:
        assert caller.stdout.readline() == "200\n"
        install(running, "/debs/newer")
        running.write("/run/enough", "")
        answers = caller.stdout.read().splitlines()
    assert running.show("bearerd.service", "ActiveState") == "active"
    assert running.show("bearerd.service", "MainPID") != pid
    assert running.show("bearerd.socket", "ActiveEnterTimestampMonotonic") == listening
    assert set(answers) == {"200"}, answers


def test_an_upgrade_keeps_what_was_set(running):
    make_newer(running)
    running.sh("sed", "-i", "s/^#Audit=.*/Audit=every/", SETTINGS)
    running.ctl("disable", "bearerd.service")
    running.ctl("stop", "bearerd.service", "bearerd.socket")
    settings = running.path(SETTINGS).read_text()
    install(running, "/debs/newer")
    assert running.path(SETTINGS).read_text() == settings
    assert running.ctl("is-enabled", "bearerd.service", check=False).stdout.strip() == "disabled"
    assert running.show("bearerd.service", "ActiveState") == "inactive"


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
