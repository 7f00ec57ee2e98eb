# SPDX-License-Identifier: MIT
"""The watchdog: who is wedged is replaced, and nothing is lost; who only has a bad upstream is left alone.

Wedged is a daemon whose loop no longer turns, and one whose loop turns while a refresh is long past its deadline.
"""

import pathlib
import subprocess
import time

import pytest

from boxlib.service import UNIT, client_command
from lib.profiles import vipps

SOURCE = pathlib.Path(__file__).resolve().parent / "stuck.c"
LIBRARY = "/usr/local/lib/bearerd-stuck.so"
STUCK_TRANSFERS = "/run/bearerd-stuck-transfers"
STUCK_TIMERS = "/run/bearerd-stuck-timers"
# So long that a machine that is busy with other tests makes no difference, nor one that stands still for a second or two.
BITES_AFTER = 4  # seconds
WATCHDOG = f"WatchdogSec={BITES_AFTER}s\nRestartSec=500ms\n"
TIMEOUT = 1  # seconds, of an upstream request
LATE = 5  # seconds behind its time-out or its moment, a refresh counts as stuck


@pytest.fixture
def bad_upstream(service, upstream, kept):
    """Beside the good profile `shop`, one whose upstream is out of order; its client."""
    client = upstream.vipps_client()
    vipps(service, "broken", upstream, client, refresh={"RetryMin": "10min", "RetryMax": "10min"})
    upstream.fault(client_id=client["client_id"], status=503)
    return client


def held_back(service):
    """What keeps a failing profile from being asked for."""
    status = service.status("broken")
    return {name: status[name] for name in ("state", "consecutive_failures", "next_refresh_at", "last_error")}


def wait_for_the_watchdog(kept):
    kept.box.wait_journal(kept.service.since, UNIT=UNIT, UNIT_RESULT="watchdog")


def check_nothing_lost(kept, upstream, client, before, held):
    assert kept.held() == before and kept.is_unchanged(before["etag"])
    assert held_back(kept.service) == held
    assert upstream.stats(client["client_id"])["requests"] == 1, "a crash is no way around the back-off"


def test_a_loop_that_does_not_turn(kept, upstream, bad_upstream):
    kept.service.drop_in("watchdog", "[Service]\n" + WATCHDOG)
    kept.service.start()
    before, held, pid = kept.held(), held_back(kept.service), kept.service.pid
    kept.box.sh("kill", "-STOP", str(pid))
    wait_for_the_watchdog(kept)
    kept.wait_replaced(pid, NRestarts="1")
    check_nothing_lost(kept, upstream, bad_upstream, before, held)
    assert kept.n_requests == 1


def test_who_is_well_is_not_replaced(shop):
    """Several times the watchdog's time, and nobody has asked for anything."""
    shop.drop_in("watchdog", "[Service]\n" + WATCHDOG)
    shop.start()
    pid = shop.pid
    shop.box.sh("sleep", str(3 * BITES_AFTER))
    assert shop.pid == pid and shop.show("NRestarts") == "0"


@pytest.fixture
def stuck(box, tmp_path):
    """A drop-in under which refreshes get stuck while one of the two files is there."""
    library = tmp_path / "stuck.so"
    command = ["cc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command += [f'-DSTUCK_TRANSFERS="{STUCK_TRANSFERS}"', f'-DSTUCK_TIMERS="{STUCK_TIMERS}"']
    subprocess.run([*command, "-o", str(library), str(SOURCE)], check=True, stdin=subprocess.DEVNULL)
    box.copy(library, LIBRARY)
    yield f"Environment=LD_PRELOAD={LIBRARY}\n"
    box.sh("rm", "-f", STUCK_TRANSFERS, STUCK_TIMERS, LIBRARY)


def test_a_refresh_that_is_stuck(kept, upstream, bad_upstream, stuck):
    """The loop turns, and callers are still answered. The request that was under way is made by the next process."""
    service, box = kept.service, kept.box
    vipps(service, "shop", upstream, kept.client, refresh={"Timeout": f"{TIMEOUT}s"})
    service.drop_in("watchdog", "[Service]\n" + WATCHDOG + stuck)
    service.start()
    before, held, pid = kept.held(), held_back(service), service.pid
    upstream.fault(client_id=kept.client["client_id"], hang=True)
    box.write(STUCK_TRANSFERS, "")
    began = time.monotonic()
    with box.popen(*client_command("/v1/profiles/shop/refresh", "POST"), stderr=subprocess.DEVNULL) as admin:
        service.wait_status(state="refreshing")
        assert service.token() == 200
        wait_for_the_watchdog(kept)
        assert admin.wait() != 0, "its connection broke"
    assert time.monotonic() - began > TIMEOUT + LATE
    assert kept.n_requests == 1, "it never left"
    box.sh("rm", STUCK_TRANSFERS)
    kept.wait_replaced(pid, NRestarts="1")
    check_nothing_lost(kept, upstream, bad_upstream, before, held)
    upstream.wait(kept.client["client_id"], requests=2)


def test_a_refresh_that_is_never_begun(kept, upstream, bad_upstream, stuck):
    """Its moment has passed for long, and nobody has noticed."""
    service, box = kept.service, kept.box
    client = upstream.vipps_client(lifetime=4)
    vipps(service, "short", upstream, client)
    service.drop_in("watchdog", "[Service]\n" + WATCHDOG + stuck)
    service.start()
    before, held, pid = kept.held(), held_back(service), service.pid
    box.write(STUCK_TIMERS, "")
    began, n = time.monotonic(), upstream.stats(client["client_id"])["requests"]
    wait_for_the_watchdog(kept)
    assert time.monotonic() - began > LATE
    assert upstream.stats(client["client_id"])["requests"] <= n + 1, "what was set before, and then no more"
    box.sh("rm", STUCK_TIMERS)
    kept.wait_replaced(pid, NRestarts="1")
    check_nothing_lost(kept, upstream, bad_upstream, before, held)
    assert service.token("short") == 200


def test_an_upstream_that_is_out_of_order_for_long_is_no_reason(kept, upstream, bad_upstream):
    """Whether it refuses or hangs, with a token left or without."""
    service = kept.service
    refresh = {"RetryMin": "100ms", "RetryMax": "100ms", "Timeout": f"{TIMEOUT}s"}
    silent, short, refusing = upstream.vipps_client(), upstream.vipps_client(lifetime=4), upstream.vipps_client()
    for name, client in (("silent", silent), ("short", short), ("refusing", refusing)):
        vipps(service, name, upstream, client, refresh=refresh)
    upstream.fault(client_id=silent["client_id"], hang=True)
    upstream.fault(client_id=refusing["client_id"], status=503)
    service.drop_in("watchdog", "[Service]\n" + WATCHDOG)
    service.start()
    upstream.fault(client_id=short["client_id"], hang=True)
    pid, began = service.pid, time.monotonic()
    # One request after another, each until its time-out: long enough for what counts them as stuck, and the watchdog.
    n = upstream.stats(silent["client_id"])["requests"]
    upstream.wait(silent["client_id"], timeout=60, requests=n + (LATE + BITES_AFTER + 3) // TIMEOUT)
    assert time.monotonic() - began > LATE + BITES_AFTER + 2
    assert {service.status(name)["state"] for name in ("silent", "short", "refusing")} == {"failed"}
    assert service.pid == pid and service.show("NRestarts") == "0"
    assert service.ask("/healthz")[0] == 200
