# SPDX-License-Identifier: MIT
"""Rules on units, with real units: the daemon finds out which one asks, though ProtectProc= hides other processes."""

import pytest

from lib.profiles import vipps

USER = 2001  # of the user manager


@pytest.fixture
def ruled(service, upstream):
    """A profile for a service, a glob and a scope; not for anybody else."""
    rules = ["unit:web.service", "unit:shop-*.service", "unit:worker@*.service", "unit:run-job.scope"]
    vipps(service, "shop", upstream, upstream.vipps_client(), allow=rules)
    assert service.show("ProtectProc") == "invisible"
    return service.start()


@pytest.mark.parametrize("unit", ["web.service", "shop-eu.service", "shop-.service", "worker@7.service"])
def test_a_unit_that_a_rule_names(ruled, unit):
    assert ruled.token(user="nobody", unit=unit) == 200


@pytest.mark.parametrize("unit", ["webx.service", "xweb.service", "shop.service", "worker.service", "web@1.service"])
def test_a_unit_that_no_rule_names(ruled, unit):
    assert ruled.token(user="nobody", unit=unit) == 404


def test_root_in_no_unit(ruled):
    """A process that systemd did not start; root, too, needs a rule."""
    done = ruled.box.sh("bearerctl", "token", "shop", check=False)
    assert done.returncode == 1 and done.stdout == ""


def test_a_scope(ruled):
    """A process that somebody else started, and systemd only put in its place."""
    command = ["systemd-run", "--quiet", "--scope", "--unit=run-job.scope", "bearerctl", "token", "shop"]
    assert ruled.box.sh(*command).stdout.strip()
    assert ruled.box.sh(*[word.replace("run-job", "run-other") for word in command], check=False).returncode == 1


def test_a_service_below_a_slice_of_its_own(ruled):
    done = ruled.box.run("bearerctl", "token", "shop", unit="web.service", properties=["Slice=customers-eu.slice"])
    assert done.stdout.strip()


def test_a_process_deep_in_its_unit(ruled):
    """A unit that sorts its processes into cgroups of its own (Delegate=) stays that unit."""
    script = 'own=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); mkdir $own/web.service; echo $$ >$own/web.service/cgroup.procs; '
    deep = ["sh", "-c", script + "exec bearerctl token shop"]
    assert ruled.box.run(*deep, unit="shop-eu.service", properties=["Delegate=yes"]).stdout.strip()
    done = ruled.box.run(*deep, unit="stranger.service", properties=["Delegate=yes"], check=False)
    assert done.returncode == 1, "a name that it gave itself counts for nothing"


def test_a_units_child_that_became_another_user(ruled):
    command = ["setpriv", "--reuid=65534", "--regid=bearerd", "--clear-groups", "bearerctl", "token", "shop"]
    assert ruled.box.run(*command, unit="web.service").stdout.strip()


def test_who_moves_to_another_unit_counts_as_there(ruled):
    """Asked for again with every request: a connection gives no lasting right."""
    script = """
import http.client, socket, subprocess, sys
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/bearerd/bearerd.sock")
connection = Connection("localhost")
def ask():
    connection.request("GET", "/v1/profiles/shop/token")
    answer = connection.getresponse()
    answer.read()
    print(answer.status, flush=True)
ask()
import os
os.makedirs("/sys/fs/cgroup/system.slice/elsewhere.service", exist_ok=True)
open("/sys/fs/cgroup/system.slice/elsewhere.service/cgroup.procs", "w").write(str(os.getpid()))
ask()
"""
    done = ruled.box.run("/usr/bin/python3", "-I", "-c", script, unit="web.service")
    assert done.stdout.split() == ["200", "404"]


# In place of the distribution's, which wants PAM and a login manager.
USER_MANAGER = f"""
[Service]
Type=notify
User={USER}
Group={USER}
SupplementaryGroups=bearerd
Slice=user.slice
Delegate=yes
Environment=XDG_RUNTIME_DIR=/run/user/{USER} HOME=/
ExecStart=/lib/systemd/systemd --user --unit=basic.target
"""


@pytest.fixture
def user_manager(box):
    """The name of its unit."""
    unit = f"user@{USER}.service"
    box.sh("systemd-sysusers", "--inline", f"u tenant {USER}")
    box.sh("install", "-d", "-m", "0700", "-o", str(USER), "-g", str(USER), f"/run/user/{USER}")
    box.write(f"/run/systemd/system/{unit}", USER_MANAGER)
    box.ctl("daemon-reload")
    box.ctl("start", unit)
    yield unit
    box.ctl("stop", unit)
    box.sh("rm", f"/run/systemd/system/{unit}")
    box.ctl("daemon-reload")


def test_a_unit_of_a_user_manager_is_no_system_unit(ruled, user_manager):
    """Everybody may name the units of his own manager as he likes: what counts is user@UID.service."""
    command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    command += ["env", f"XDG_RUNTIME_DIR=/run/user/{USER}", "systemd-run", "--user", "--quiet", "--wait", "--pipe"]
    done = ruled.box.sh(*command, "--unit=web.service", "bearerctl", "token", "shop", check=False)
    assert done.returncode == 1 and done.stdout == "", done.stderr
    entry = ruled.wait_event("access-denied", PEER_UID=str(USER))
    assert entry["PEER_UNIT"] == user_manager


def test_the_group_of_the_socket_is_who_may_connect(ruled):
    box = ruled.box
    assert box.sh("stat", "-c", "%a %G", "/run/bearerd/bearerd.sock").stdout == "660 bearerd\n"
    done = box.run("bearerctl", "token", "shop", unit="web.service", user="nobody", check=False)
    assert done.returncode == 3 and "ermission" in done.stderr


def test_explain_knows_a_process_of_a_unit(ruled):
    box = ruled.box
    box.sh("systemd-run", "--quiet", "--unit=web.service", "--uid=nobody", "sleep", "60")
    try:
        pid = box.show("web.service", "MainPID")
        said = box.sh("bearerctl", "explain", "shop", "--pid", pid).stdout
        assert "web.service" in said
    finally:
        box.ctl("stop", "web.service")
