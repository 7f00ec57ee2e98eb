# SPDX-License-Identifier: MIT
"""Tokens over the end of a daemon: in memory that systemd holds. Its callers notice nothing, and neither does the upstream."""

import pytest

from boxlib.installed import PROGRAM
from boxlib.kept import SOON
from boxlib.service import SOCKET_UNIT, UNIT
from lib.profiles import vipps


def test_a_restart(kept):
    kept.service.start()
    before = kept.held()
    assert before["generation"] == 1 and kept.n_stored == 1
    for _ in range(3):
        kept.box.ctl("restart", UNIT)
        kept.check_nothing_lost(before)
    assert kept.n_stored == 1


@pytest.mark.parametrize("signal", ["KILL", "SEGV", "ABRT"])
def test_a_crash(kept, signal):
    kept.service.drop_in("soon", SOON)
    kept.service.start()
    before = kept.held()
    for _ in range(2):
        kept.kill(signal)
        kept.check_nothing_lost(before)


def test_a_crash_as_the_unit_has_it(kept):
    kept.service.start()
    before = kept.held()
    kept.kill("KILL")
    kept.check_nothing_lost(before)


def test_systemd_itself_is_started_anew(kept):
    """As an upgrade of it does: the descriptors go through its own memory."""
    service, box = kept.service, kept.box
    service.drop_in("soon", SOON)
    service.start()
    before, pid = kept.held(), service.pid
    box.ctl("daemon-reexec")
    assert service.pid == pid and kept.n_stored == 1
    kept.check_nothing_lost(before)
    box.ctl("restart", UNIT)
    kept.check_nothing_lost(before)
    box.ctl("daemon-reexec")
    kept.kill("KILL")
    kept.check_nothing_lost(before)


def test_an_upgrade(kept):
    """Another program in its place, and the restart that a package makes."""
    service, box = kept.service, kept.box
    service.start()
    before = kept.held()
    old = box.sh("stat", "-L", "-c", "%i", f"/proc/{service.pid}/exe").stdout
    box.sh("sh", "-c", f"cp {PROGRAM} {PROGRAM}.new && echo >>{PROGRAM}.new && mv {PROGRAM}.new {PROGRAM}")
    box.ctl("daemon-reload")
    box.ctl("try-restart", UNIT)
    assert box.sh("stat", "-L", "-c", "%i", f"/proc/{service.pid}/exe").stdout != old
    kept.check_nothing_lost(before)


def test_generations_go_on(kept):
    """Each new token, however it came, has the next number; the restart costs none."""
    service, box = kept.service, kept.box
    service.start()
    for n in (2, 3, 4):
        before = kept.held()
        kept.copy_keys(kept.upstream.vipps_client(client_id=kept.client["client_id"]))
        box.ctl("reload", UNIT)
        after = kept.held()
        assert after["generation"] == n and after["access_token"] != before["access_token"]
        assert not kept.is_unchanged(before["etag"])
        box.ctl("restart", UNIT)
        assert kept.held() == after


def test_a_caller_that_waits_for_something_newer_is_not_woken_by_a_restart(kept):
    """What it is told by the next process is what it would have been told by the first."""
    kept.service.start()
    before = kept.held()
    kept.box.ctl("restart", UNIT)
    answer = kept.service.answer("/v1/profiles/shop/token?wait=1", headers=[f"If-None-Match: {before['etag']}"])
    assert answer["status"] == 304


def test_many_profiles(kept):
    """More than the first region has room for."""
    service, upstream = kept.service, kept.upstream
    names = [f"p{i:02}" for i in range(40)]
    clients = {name: upstream.vipps_client() for name in names}
    for name, client in clients.items():
        vipps(service, name, upstream, client)
    service.start()
    kept.box.ctl("restart", UNIT)
    kept.service.box.ctl("restart", UNIT)
    assert {upstream.stats(client["client_id"])["requests"] for client in clients.values()} == {1}
    assert kept.n_requests == 1 and kept.n_stored == 1


def test_a_failure_is_remembered(service, upstream, kept):
    """A restart is no way around the back-off: who refused is not asked again at once."""
    client = upstream.vipps_client()
    vipps(service, "broken", upstream, client, refresh={"RetryMin": "5min", "RetryMax": "5min"})
    upstream.fault(client_id=client["client_id"], status=503)
    service.start()
    n = upstream.stats(client["client_id"])["requests"]
    for _ in range(3):
        service.box.ctl("restart", UNIT)
    assert upstream.stats(client["client_id"])["requests"] == n
    assert service.status("broken")["state"] == "failed"


def test_a_reload_after_a_restart_and_a_restart_after_a_reload(kept):
    service, box, upstream = kept.service, kept.box, kept.upstream
    service.start()
    before = kept.held()
    box.ctl("restart", UNIT)
    box.ctl("reload", UNIT)
    kept.check_nothing_lost(before)
    client = upstream.vipps_client()
    vipps(service, "second", upstream, client)
    box.ctl("reload", UNIT)
    box.ctl("restart", UNIT)
    kept.check_nothing_lost(before)
    assert upstream.stats(client["client_id"])["requests"] == 1


def test_a_reload_while_it_starts_anew(kept):
    """It is made when the start is over."""
    service, box = kept.service, kept.box
    service.drop_in("soon", SOON)
    service.start()
    before = kept.held()
    for _ in range(3):
        pid = service.pid
        box.ctl("restart", "--no-block", UNIT)
        box.ctl("reload-or-restart", UNIT)
        kept.wait_replaced(pid)
        kept.check_nothing_lost(before)


def test_encrypted_keys_count_as_the_same_after_a_restart(service, upstream):
    """They are decrypted anew for each start."""
    client = upstream.vipps_client()
    vipps(service, "shop", upstream, client, keys={"ClientSecretFile": None, "SubscriptionKeyFile": None})
    service.credential("shop.client-secret", client["client_secret"])
    service.credential("shop.subscription-key", client["subscription_keys"][0])
    service.start()
    service.box.ctl("restart", UNIT)
    # Stored anew, as for another machine key, and the same inside.
    service.credential("shop.client-secret", client["client_secret"])
    service.box.ctl("restart", UNIT)
    assert service.token() == 200
    assert upstream.stats(client["client_id"])["requests"] == 1


# --- when it is not taken over ---------------------------------------------------------------------------------------


def test_other_keys(kept):
    """Of the same profile: a token of the old ones is not handed out, and the number goes on."""
    kept.service.start()
    before = kept.held()
    kept.copy_keys(kept.upstream.vipps_client(client_id=kept.client["client_id"]))
    kept.box.ctl("restart", UNIT)
    assert "shop: its settings or keys have changed" in kept.service.words()
    after = kept.held()
    assert after["access_token"] != before["access_token"] and after["generation"] == 2
    assert not kept.is_unchanged(before["etag"])


def test_another_client(kept):
    kept.service.start()
    before = kept.held()
    other = kept.upstream.vipps_client()
    vipps(kept.service, "shop", kept.upstream, other)
    kept.box.ctl("restart", UNIT)
    assert "shop: its settings or keys have changed" in kept.service.words()
    after = kept.held()
    assert after["access_token"] != before["access_token"] and after["generation"] == 2
    assert kept.n_requests == 1 and kept.upstream.stats(other["client_id"])["requests"] == 1


def test_other_settings_that_make_no_other_token(kept):
    """Who may ask is none of them."""
    kept.service.start()
    before = kept.held()
    vipps(kept.service, "shop", kept.upstream, kept.client, allow=["user:root"], refresh={"RetryMax": "2s"})
    kept.box.ctl("restart", UNIT)
    kept.check_nothing_lost(before)


def test_a_profile_that_is_gone_is_forgotten(kept):
    """What is left of it ends with the process that does not know it any more."""
    service, upstream = kept.service, kept.upstream
    client = upstream.vipps_client()
    vipps(service, "second", upstream, client)
    service.start()
    before = kept.held()
    service.box.path("/etc/bearerd/profiles.d/second.conf").unlink()
    kept.box.ctl("restart", UNIT)
    kept.check_nothing_lost(before)
    vipps(service, "second", upstream, client)
    kept.box.ctl("restart", UNIT)
    kept.check_nothing_lost(before)
    assert upstream.stats(client["client_id"])["requests"] == 2


def test_a_stop_of_daemon_and_socket_ends_it(kept):
    """systemd 252 keeps nothing for what is stopped; the daemon begins as it would without."""
    kept.service.start()
    before = kept.held()
    kept.box.ctl("stop", UNIT, SOCKET_UNIT)
    assert kept.n_stored == 0
    kept.service.start()
    kept.check_began_anew(before)
    assert kept.held()["generation"] == 1


def test_a_stop_of_the_daemon_alone_ends_it_as_well(kept):
    """Though its socket stays."""
    kept.service.start()
    before = kept.held()
    kept.box.ctl("stop", UNIT)
    kept.box.wait_show(UNIT, ActiveState="inactive", NFileDescriptorStore="0")
    kept.check_began_anew(before)


def test_settings_that_cannot_be_used_end_it_as_well(kept):
    """The service has failed then; who repairs them and starts it begins anew."""
    kept.service.start()
    before = kept.held()
    kept.service.main("[Daemon]\nSocketMode=9999\n")
    assert kept.box.ctl("restart", UNIT, check=False).returncode == 1
    kept.box.wait_show(UNIT, ActiveState="failed", NFileDescriptorStore="0")
    kept.service.main("")
    kept.service.start()
    kept.check_began_anew(before)


def test_without_a_store_it_works_as_ever(kept):
    kept.service.drop_in("no-store", SOON + "FileDescriptorStoreMax=0\n")
    kept.service.start()
    before = kept.held()
    assert kept.n_stored == 0
    kept.box.ctl("restart", UNIT)
    kept.check_began_anew(before)
    kept.kill("KILL")
    kept.check_began_anew(before, n_requests=3)


def test_a_store_with_room_for_one(kept):
    """The region cannot be replaced by a larger one while both have to be there; nothing worse comes of it."""
    kept.service.drop_in("small", SOON + "FileDescriptorStoreMax=1\n")
    kept.service.start()
    before = kept.held()
    kept.box.ctl("restart", UNIT)
    kept.check_nothing_lost(before)
