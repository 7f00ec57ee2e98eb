# SPDX-License-Identifier: MIT
"""bearerd.socket: who connects first starts the daemon, a second one beside it, and none at all."""

import itertools
import time

import pytest

from boxlib.installed import UNITS
from boxlib.service import EXIT_CONFIG, SOCKET, SOCKET_UNIT, UNIT
from lib.profiles import vipps

SOCKET_FILE = f"{UNITS}/bearerd.socket"
INDENT = "#     "
RESTART_DELAY = 2  # seconds, of the unit
SECOND = "bearerd-apps.socket"
SECOND_FILE = f"/run/systemd/system/{SECOND}"
SECOND_SOCKET = "/run/bearerd-apps/bearerd.sock"


def documented(box, begin):
    """The example in the socket unit's comments that begins with this line: its text."""
    lines = box.path(SOCKET_FILE).read_text().splitlines()
    example = itertools.takewhile(lambda line: line.startswith(INDENT), lines[lines.index(INDENT + begin) :])
    return "".join(line.removeprefix(INDENT) + "\n" for line in example)


def mode(box, path):
    return box.sh("stat", "-c", "%a %U:%G", path).stdout.strip()


def test_the_socket_is_made_for_the_group(service):
    box = service.box
    box.ctl("start", SOCKET_UNIT)
    assert mode(box, SOCKET) == "660 root:bearerd" and mode(box, "/run/bearerd") == "755 root:root"
    box.ctl("stop", SOCKET_UNIT)
    assert box.sh("test", "-e", SOCKET, check=False).returncode == 1


def test_an_enabled_socket_is_there_from_the_boot_on(box):
    box.ctl("enable", SOCKET_UNIT)
    try:
        assert SOCKET_UNIT in box.show("sockets.target", "Wants").split()
    finally:
        box.ctl("disable", SOCKET_UNIT)


def test_enabling_the_service_enables_its_socket(box):
    box.ctl("enable", UNIT)
    try:
        assert box.show(SOCKET_UNIT, "UnitFileState") == "enabled"
    finally:
        box.ctl("disable", UNIT)
    assert box.show(SOCKET_UNIT, "UnitFileState") == "disabled"


def test_who_connects_first_starts_the_service(shop):
    shop.box.ctl("start", SOCKET_UNIT)
    assert shop.show("ActiveState") == "inactive"
    assert shop.token(user="www-data", unit="web.service") == 200
    assert shop.show("ActiveState") == "active" and shop.wait_event("started")
    # Who has connected before there was a daemon is known as well.
    assert shop.wait_event("token-handout", PEER_UNIT="web.service")["PEER_UID"] == "33"


def test_rules_on_units_hold_for_who_connected_first(service, upstream):
    vipps(service, "shop", upstream, upstream.vipps_client(), allow="unit:web.service")
    service.box.ctl("start", SOCKET_UNIT)
    assert service.token(user="www-data", unit="other.service") == 404
    service.box.ctl("stop", UNIT)
    assert service.token(user="www-data", unit="web.service") == 200


def test_many_who_connect_first(shop):
    """All of them are served by the one start."""
    shop.box.ctl("start", SOCKET_UNIT)
    script = "for i in $(seq 20); do bearerctl token shop >/dev/null & done; wait -n; n=$?; wait; exit $n"
    shop.box.sh("bash", "-c", script)
    assert len(shop.events("started")) == 1


def test_a_stranger_cannot_connect(shop):
    """Nor start anything."""
    shop.box.ctl("start", SOCKET_UNIT)
    done = shop.box.run("bearerctl", "token", "shop", user="nobody", check=False)
    assert done.returncode == 3 and "ermission" in done.stderr
    assert shop.show("ActiveState") == "inactive"


def test_a_stop_keeps_the_socket(shop):
    shop.start()
    pid = shop.pid
    shop.box.ctl("stop", UNIT)
    assert shop.show("ActiveState") == "inactive" and shop.box.show(SOCKET_UNIT, "ActiveState") == "active"
    assert shop.token() == 200, "the next caller starts it"
    assert shop.pid != pid


def test_a_start_of_the_service_brings_the_socket(shop):
    shop.start()
    assert shop.box.show(SOCKET_UNIT, "ActiveState") == "active" and mode(shop.box, SOCKET) == "660 root:bearerd"


def test_a_restart_of_the_socket_restarts_the_service(kept):
    """A socket unit cannot be started while its service runs: systemd would leave callers with none."""
    service, box = kept.service, kept.box
    service.start()
    before, pid = kept.held(), service.pid
    box.ctl("restart", SOCKET_UNIT)
    kept.wait_replaced(pid)
    assert mode(box, SOCKET) == "660 root:bearerd"
    kept.check_nothing_lost(before)


def test_a_stop_of_the_socket_stops_the_service(shop):
    shop.start()
    shop.box.ctl("stop", SOCKET_UNIT)
    assert shop.show("ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    assert shop.box.sh("test", "-e", SOCKET, check=False).returncode == 1


def test_the_daemon_leaves_the_socket_to_systemd(shop):
    """SocketMode= and SocketGroup= of the settings are for a socket of its own."""
    shop.main("[Daemon]\nSocketMode=0666\n")
    shop.start()
    assert mode(shop.box, SOCKET) == "660 root:bearerd"
    shop.box.sh("kill", "-KILL", str(shop.pid))
    assert mode(shop.box, SOCKET) == "660 root:bearerd"


def test_credentials_reach_a_daemon_that_a_caller_started(service, upstream):
    client = upstream.vipps_client()
    vipps(service, "shop", upstream, client, keys={"ClientSecretFile": None, "SubscriptionKeyFile": None})
    service.credential("shop.client-secret", client["client_secret"])
    service.credential("shop.subscription-key", client["subscription_keys"][0])
    service.box.ctl("start", SOCKET_UNIT)
    assert service.token() == 200
    assert service.show("ActiveState") == "active"


# --- another socket --------------------------------------------------------------------------------------------------


@pytest.fixture
def second(shop):
    """The example of a second socket, for the group `apps`; its path."""
    box = shop.box
    box.sh("systemd-sysusers", "--inline", "g apps -")
    box.write(SECOND_FILE, documented(box, "[Unit]"))
    box.ctl("daemon-reload")
    yield SECOND_SOCKET
    box.ctl("stop", UNIT, SOCKET_UNIT, SECOND)
    box.sh("rm", SECOND_FILE)
    box.ctl("daemon-reload")


def test_a_second_socket_starts_the_service_as_well(shop, second):
    box = shop.box
    box.ctl("start", SOCKET_UNIT, SECOND)
    assert mode(box, second) == "660 root:apps"
    assert shop.token(user="nobody", socket=second, groups=["apps"]) == 200
    assert shop.token(user="nobody") == 200, "the first one, too"
    assert len(shop.events("started")) == 1


def test_a_second_socket_survives_a_restart(shop, second):
    box = shop.box
    box.ctl("start", SOCKET_UNIT, SECOND)
    shop.start()
    for _ in range(2):
        box.ctl("restart", UNIT)
        assert shop.token(socket=second) == 200 and shop.token() == 200


def test_a_second_socket_is_for_its_own_group(shop, second):
    box = shop.box
    box.ctl("start", SOCKET_UNIT, SECOND)
    command = ["bearerctl", "--socket", second, "token", "shop"]
    done = box.run(*command, user="nobody", properties=["SupplementaryGroups=bearerd"], check=False)
    assert done.returncode == 3 and "ermission" in done.stderr
    assert box.run(*command, user="nobody", properties=["SupplementaryGroups=apps"]).stdout.strip()


def test_a_second_socket_alone(shop, second):
    """The first one is stopped, and nobody makes it behind its back."""
    box = shop.box
    box.ctl("mask", "--runtime", SOCKET_UNIT)
    try:
        box.ctl("start", SECOND)
        assert shop.token(socket=second) == 200
        assert box.sh("test", "-e", SOCKET, check=False).returncode == 1
        assert box.ctl("reload", UNIT, check=False).returncode == 1, "asks at the usual place"
        box.write("/etc/default/bearerd", f"BEARERD_SOCKET={second}\n")
        box.ctl("reload", UNIT)
    finally:
        box.sh("rm", "-f", "/etc/default/bearerd")
        box.ctl("unmask", "--runtime", SOCKET_UNIT)


# --- none ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def without(shop):
    """As the socket unit says it is done."""
    box = shop.box
    box.ctl("mask", "--runtime", "--now", SOCKET_UNIT)
    shop.drop_in("own-socket", documented(box, "[Service]"))
    yield shop
    box.ctl("stop", UNIT)
    box.ctl("unmask", "--runtime", SOCKET_UNIT)


def test_without_the_socket_unit_the_daemon_makes_one(without):
    without.start()
    assert mode(without.box, SOCKET) == "660 bearerd:bearerd"
    assert without.token(user="www-data", unit="web.service") == 200
    without.box.ctl("stop", UNIT)
    assert without.box.sh("test", "-e", SOCKET, check=False).returncode == 1


def test_without_the_socket_unit_a_crash_is_survived(without):
    without.start()
    pid = without.pid
    without.box.sh("kill", "-KILL", str(pid))
    without.box.wait_show(UNIT, ActiveState="active", MainPID=lambda value: value not in ("0", str(pid)))
    assert without.token() == 200


# --- a start that fails ----------------------------------------------------------------------------------------------


def check_a_start_brings_both_back(service):
    service.start()
    assert service.token() == 200 and service.box.show(SOCKET_UNIT, "ActiveState") == "active"


def test_unusable_settings_take_the_socket_down_and_a_start_brings_both_back(shop):
    """Nobody waits for an answer that cannot come, and nothing spins."""
    box = shop.box
    shop.main("[Daemon]\nSocketMode=9999\n")
    box.ctl("start", SOCKET_UNIT)
    assert box.sh("bearerctl", "token", "shop", check=False).returncode == 3
    box.wait_show(SOCKET_UNIT, ActiveState="failed", Result="trigger-limit-hit")
    assert shop.show("ActiveState", "ExecMainStatus") == {"ActiveState": "failed", "ExecMainStatus": str(EXIT_CONFIG)}
    assert shop.show("Result") == "exit-code", "not that of a limit: who looks sees why"
    limit = int(box.show(SOCKET_UNIT, "TriggerLimitBurst"))
    assert 0 < shop.words().count("bearerd.conf:2: error") <= limit
    assert box.sh("bearerctl", "token", "shop", check=False).returncode == 3, "at once"
    shop.main("")
    check_a_start_brings_both_back(shop)


def test_without_a_profile_nothing_is_started(service, upstream):
    """A fresh installation: no failed service, and a caller gets no answer."""
    box = service.box
    service.start()
    assert service.show("ActiveState", "ConditionResult") == {"ActiveState": "inactive", "ConditionResult": "no"}
    assert box.sh("bearerctl", "token", "shop", check=False).returncode == 3
    assert service.show("ActiveState") == "inactive"
    vipps(service, "shop", upstream, upstream.vipps_client())
    check_a_start_brings_both_back(service)


def test_callers_who_wait_do_not_hasten_restarts(shop):
    """A caller that waits at the socket does not shorten RestartSec=, so that crashes never reach the limit on starts."""
    box = shop.box
    shop.start()
    for n in range(3):
        pid, began = shop.pid, time.monotonic()
        box.sh("kill", "-KILL", str(pid))
        assert shop.token() == 200, "it waited for the next process"
        assert time.monotonic() - began > RESTART_DELAY
        assert shop.pid != pid and shop.show("NRestarts") == str(n + 1)
    assert box.show(SOCKET_UNIT, "ActiveState") == "active"


# --- what systemctl status tells -------------------------------------------------------------------------------------


def test_the_status_line_tells_what_is_usable_what_is_next_and_what_fails(shop, upstream):
    client = upstream.vipps_client()
    vipps(shop, "broken", upstream, client, refresh={"RetryMin": "1h", "RetryMax": "1h"})
    upstream.fault(client_id=client["client_id"], status=503)
    shop.start()
    said = f"1 of 2 profiles usable; next: shop at {shop.status()['next_refresh_at']}; failing: broken (server-error)"
    shop.box.wait_show(UNIT, StatusText=said)
    assert f'Status: "{said}"' in shop.box.ctl("status", UNIT).stdout
