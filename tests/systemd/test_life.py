# SPDX-License-Identifier: MIT
"""Start, reload, crash, end: what systemd is told, and what it does. Hangs are in test_watchdog.py."""

import re

from boxlib.service import EXIT_CONFIG, UNIT
from lib.profiles import vipps

RESTART_DELAY = 2  # seconds, of the unit
LIMIT_INTERVAL = 60  # seconds: more starts than StartLimitBurst= in that time are refused
PROCESS_EXIT = "98e322203f7a4ed290d09fe03c09fe15"  # systemd's message id
STRANGER = {"Profile": {"Provider": "vipps", "Environment": "mars"}}


def test_the_start_is_over_when_the_token_is_there(shop):
    shop.start()
    assert shop.status()["state"] == "fresh"
    assert shop.show("ActiveState") == "active" and shop.show("Type") == "notify"
    assert shop.show("WatchdogUSec") == "30s", "what it has while it runs"
    assert re.search(r"1 of 1 profiles", shop.show("StatusText"))


def test_the_start_waits_for_an_upstream_that_hangs(service, upstream):
    """systemd's time-out is not what ends it: the daemon asks for more."""
    client = upstream.vipps_client()
    vipps(service, "slow", upstream, client)
    (fault,) = upstream.fault(client_id=client["client_id"], hang=True)
    service.box.ctl("start", "--no-block", UNIT)
    upstream.wait(client["client_id"], held=1)
    assert service.show("ActiveState") == "activating"
    upstream.clear(fault)
    service.box.wait_show(UNIT, ActiveState="active")


def test_the_status_says_what_is_wrong(service, upstream):
    client = upstream.vipps_client()
    vipps(service, "shop", upstream, client)
    upstream.revoke(client["client_id"], "secret")
    service.start()
    service.box.wait_show(UNIT, StatusText=lambda text: "0 of 1" in text and "failing: shop" in text)


def test_a_reload_takes_the_new_settings(shop, upstream):
    shop.start()
    pid = shop.pid
    vipps(shop, "second", upstream, upstream.vipps_client())
    shop.box.ctl("reload", UNIT)
    assert shop.token("second") == 200
    assert shop.pid == pid
    shop.wait_event("settings-reloaded")


def test_a_reload_that_is_refused_fails_and_changes_nothing(shop):
    shop.start()
    pid = shop.pid
    shop.profile("bad", STRANGER)
    done = shop.box.ctl("reload", UNIT, check=False)
    assert done.returncode == 1
    # The daemon goes on as it was, and the reason is in the journal of the unit.
    assert shop.show("ActiveState") == "active" and shop.pid == pid and shop.token() == 200
    assert "bad.conf:3: error: Environment=" in shop.words()
    shop.wait_event("reload-refused")


def test_a_reload_whose_keys_bring_no_token_fails(shop, upstream):
    shop.start()
    shop.key("shop.client-secret", "wrong")
    assert shop.box.ctl("reload", UNIT, check=False).returncode == 1
    assert shop.token() == 200, "the old token is still good"
    assert "brought no token" in shop.words()


def test_who_crashes_is_started_again_and_again(shop):
    """More often than the limit on starts, which is not for crashes."""
    assert shop.show("StartLimitIntervalUSec", "RestartUSec") == {
        "StartLimitIntervalUSec": "1min", "RestartUSec": f"{RESTART_DELAY}s",
    }  # fmt: skip
    assert LIMIT_INTERVAL / RESTART_DELAY + 1 < int(shop.show("StartLimitBurst"))
    shop.start()
    pid = shop.pid
    shop.box.sh("kill", "-SEGV", str(pid))
    shop.box.wait_show(UNIT, ActiveState="active", NRestarts="1", MainPID=lambda value: value not in ("0", str(pid)))
    assert shop.token() == 200


def test_a_crash_leaves_no_core(shop):
    shop.start()
    shop.box.sh("kill", "-ABRT", str(shop.pid))
    entry = shop.box.wait_journal(shop.since, UNIT=UNIT, MESSAGE_ID=PROCESS_EXIT)
    assert entry["EXIT_CODE"] == "killed", "not `dumped`"


def test_some_restarts_in_a_row_are_not_too_many(kept):
    """As configuration management makes them, one for each thing that it has changed."""
    kept.service.start()
    before = kept.held()
    for _ in range(15):
        kept.box.ctl("restart", UNIT)
    kept.check_nothing_lost(before)


def test_unusable_settings_are_tried_once(shop):
    shop.main("[Daemon]\nSocketMode=9999\n")
    shop.fail_to_start()
    values = shop.show("ActiveState", "Result", "ExecMainStatus", "NRestarts")
    assert values == {
        "ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": str(EXIT_CONFIG), "NRestarts": "0",
    }  # fmt: skip
    assert "bearerd.conf:2" in shop.words()


def test_repaired_settings_start_at_once(shop):
    """No limit on starts, no failed state stands in the way of who has repaired it."""
    for _ in range(3):
        shop.main("[Daemon]\nSocketMode=9999\n")
        shop.fail_to_start()
    shop.main("")
    shop.start()


def test_a_stop_is_orderly(shop):
    shop.start()
    shop.box.ctl("stop", UNIT)
    assert shop.show("Result", "ExecMainStatus", "ActiveState") == {
        "Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive",
    }  # fmt: skip
    shop.wait_event("stopping")


def test_a_waiting_caller_is_answered_when_it_stops(service, upstream):
    """Within the unit's TimeoutStopSec=, and not by SIGKILL."""
    client = upstream.vipps_client()
    vipps(service, "shop", upstream, client, profile={"Preload": "no"})
    upstream.fault(client_id=client["client_id"], hang=True)
    service.start()
    box = service.box
    with box.popen(*box.as_unit("bearerctl", "token", "shop", "--wait", "50s"), stderr=-1) as caller:
        upstream.wait(client["client_id"], held=1)
        box.ctl("stop", UNIT)
        _, said = caller.communicate()
    assert caller.returncode == 1, said
    assert service.show("Result") == "success"
