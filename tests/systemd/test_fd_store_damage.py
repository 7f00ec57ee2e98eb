# SPDX-License-Identifier: MIT
"""Memory of an earlier daemon that cannot be used: it is not, the log says so, and everything begins as on the first day."""

import base64

import pytest

from boxlib.kept import SOON
from boxlib.region import DAMAGE, ONE_RECORD, STORED, damage, region_size, store
from boxlib.service import UNIT
from lib.profiles import vipps


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_memory(kept, how):
    kept.service.drop_in("soon", SOON)
    kept.service.start()
    before = kept.held()
    since = kept.box.mark()
    damage(kept.service, how)
    kept.kill("KILL")
    kept.check_began_anew(before)
    said = kept.box.words(UNIT, since)
    assert "is not used: " in said or "cannot be used: damaged" in said
    # What it made then is whole again.
    after = kept.held()
    kept.box.ctl("restart", UNIT)
    assert kept.held() == after and kept.n_requests == 2 and kept.n_stored == 1


def test_damage_that_hits_one_profile_costs_no_other(service, upstream, kept):
    """Each record has a checksum of its own."""
    second = upstream.vipps_client()
    vipps(service, "second", upstream, second)
    service.drop_in("soon", SOON)
    service.start()
    damage(service, ONE_RECORD)
    kept.kill("KILL")
    assert service.token("second") == 200 and service.token("shop") == 200
    assert sorted([kept.n_requests, upstream.stats(second["client_id"])["requests"]]) == [1, 2]
    assert "1 record of the state" in service.words()


@pytest.mark.parametrize("what", STORED)
def test_something_else_under_that_name(kept, what):
    store(kept.service, "bearerd-state-0", what)
    kept.service.start()
    assert "is not used: " in kept.service.words()
    before = kept.held()
    assert kept.n_stored == 1, "it was given back"
    # The same beside a good one: before each start systemd is handed it again.
    for _ in range(2):
        kept.box.ctl("restart", UNIT)
        kept.check_nothing_lost(before)


def test_something_with_a_name_that_is_none_of_ours(kept):
    """Of a version to come, say. It is closed, and stands in nobody's way."""
    store(kept.service, "bearerd-news", "noise")
    kept.service.start()
    before = kept.held()
    assert '"bearerd-news" that the service manager passed is not one of ours: closed' in kept.service.words()
    kept.box.ctl("restart", UNIT)
    kept.check_nothing_lost(before)


def test_a_region_that_grows_is_one_again(service, upstream, kept):
    """The old one is given back once systemd has the new one, and nothing got lost on the way."""
    service.start()
    before, size = kept.held(), region_size(service)
    for i in range(60):
        vipps(service, f"p{i:02}", upstream, upstream.vipps_client())
    service.box.ctl("reload", UNIT)
    assert region_size(service) > size and kept.n_stored == 1
    n_before = upstream.stats()["requests"]
    service.box.ctl("restart", UNIT)
    kept.check_nothing_lost(before)
    assert upstream.stats()["requests"] == n_before


# --- secrets ---------------------------------------------------------------------------------------------------------


BEGAN = "/run/began"
PATTERNS = "/etc/bearerd-patterns"


def files_with(box, texts):
    """Files in memory and below the folders for changing data that hold one of these, of those that were written since BEGAN was.
    Credentials are where systemd has them."""
    box.write(PATTERNS, "\n".join(texts) + "\n", mode=0o600)
    find = ["find", "/run", "/var", "/tmp", "/dev/shm", "-name", "credentials", "-prune", "-o", "-type", "f", "-newer", BEGAN]
    done = box.sh(*find, "-exec", "grep", "-laF", "-f", PATTERNS, "{}", "+", check=False)
    box.sh("rm", PATTERNS)
    # One that has gone meanwhile holds nothing.
    assert not [line for line in done.stderr.splitlines() if "No such file" not in line]
    return done.stdout.splitlines()


def test_no_file_holds_a_key_or_a_token(kept):
    """Neither while it runs, nor while there is only what systemd keeps."""
    box = kept.box
    box.write(BEGAN, "")
    kept.service.drop_in("late", "[Service]\nRestartSec=1h\n")
    kept.service.start()
    token = kept.held()["access_token"]
    texts = [token, kept.client["client_secret"], kept.client["subscription_keys"][0]]
    texts += [base64.b64encode(text.encode()).decode().rstrip("=") for text in texts]
    box.write("/run/canary", f"x{token}x")
    assert files_with(box, texts) == ["/run/canary"], "one that does is found"
    box.sh("rm", "/run/canary")
    assert files_with(box, texts) == []
    box.sh("kill", "-KILL", str(kept.service.pid))
    box.wait_show(UNIT, SubState="auto-restart")
    assert kept.n_stored == 1 and files_with(box, texts) == []
    box.sh("journalctl", "--sync")
    assert not [one for one in texts if one in box.sh("journalctl", "--output=export", "--all").stdout]


def test_no_other_process_holds_it(kept):
    """But systemd: whoever else could open it, through /proc or by inheritance, would have the tokens."""
    kept.service.start()
    script = "for p in /proc/[0-9]*; do ls -l $p/fd 2>/dev/null | grep -qE 'secretmem|bearerd-state' && echo ${p#/proc/}; done"
    holders = kept.box.sh("sh", "-c", script + "; true").stdout.split()
    assert sorted(map(int, holders)) == sorted([1, kept.service.pid])
