# SPDX-License-Identifier: MIT
"""Upgrades while callers ask all the time: nobody is refused, no request fails, nothing is asked of the issuer; what an
administrator has set stays; and what an upgrade cannot replace goes on.
"""

import pytest
from askers import Askers
from deb import install, make_newer, run_postinst, version
from shop import SETTINGS, add_profile, seen


class Upgrade(Askers):
    """A context: applications ask while packages are installed. At its end nobody has failed, and the socket is the same."""

    def __init__(self, box):
        self.box = box
        self._pid = box.show("bearerd.service", "MainPID")
        self._listening = box.show("bearerd.socket", "ActiveEnterTimestampMonotonic")
        super().__init__(box)

    def install(self, folder):
        """Installs, and waits until everybody was answered since; what dpkg said."""
        said = install(self.box, folder)
        self.wait_all()
        return said.stdout + said.stderr

    def __exit__(self, *what):
        super().__exit__(*what)
        assert self.box.show("bearerd.socket", "ActiveEnterTimestampMonotonic") == self._listening

    @property
    def is_replaced(self):
        """Another process runs, and its program is the one that is installed."""
        pid = self.box.show("bearerd.service", "MainPID")
        program = self.box.sh("readlink", f"/proc/{pid}/exe").stdout.strip()
        return pid not in ("0", self._pid) and program == "/usr/sbin/bearerd"


def test_an_upgrade_restarts_it_and_no_caller_notices(running, upstream, client):
    make_newer(running)
    before = seen(running)
    with Upgrade(running) as upgrade:
        upgrade.install("/debs/newer")
        assert upgrade.is_replaced
    assert seen(running) == before
    assert upgrade.tokens == [before["access_token"]]
    assert upstream.stats(client["client_id"])["requests"] == 1


def test_from_the_commit_before_and_back(packages, previous, box, upstream, client):
    """The way back may cost one request, for an older version need not understand the state of a newer one."""
    previous.put_into(box, "/debs/previous")
    install(box, "/debs/previous")
    add_profile(box, upstream, client)
    box.sh("sed", "-i", "s/^#Audit=.*/Audit=every/", SETTINGS)
    box.ctl("start", "bearerd.service")
    box.sh("bearerctl", "wait", "shop", "--timeout", "30s")
    settings, before = box.path(SETTINGS).read_text(), seen(box)

    with Upgrade(box) as upgrade:
        upgrade.install("/debs")
        assert upgrade.is_replaced
    assert version(box, "bearerd") == packages.version
    assert seen(box) == before
    assert upgrade.tokens == [before["access_token"]]
    assert upstream.stats(client["client_id"])["requests"] == 1
    assert box.path(SETTINGS).read_text() == settings

    with Upgrade(box) as upgrade:
        upgrade.install("/debs/previous")
        assert upgrade.is_replaced
    assert version(box, "bearerd") == previous.version
    assert upstream.stats(client["client_id"])["requests"] <= 2
    assert box.path(SETTINGS).read_text() == settings


def test_with_broken_settings_the_old_one_goes_on(running, upstream, client):
    make_newer(running)
    before = seen(running)
    running.sh("sh", "-c", f"echo Nonsense=1 >>{SETTINGS}")
    with Upgrade(running) as upgrade:
        said = upgrade.install("/debs/newer")
        assert not upgrade.is_replaced
    assert "unknown key Nonsense=" in said
    assert "NOT restarted" in said
    assert seen(running) == before

    # Mended, it is replaced as everywhere.
    running.sh("sed", "-i", "/^Nonsense=/d", SETTINGS)
    with Upgrade(running) as upgrade:
        running.ctl("restart", "bearerd.service")
        assert upgrade.is_replaced
    assert seen(running) == before
    assert upstream.stats(client["client_id"])["requests"] == 1


def test_configured_twice_it_is_as_configured_once(running, upstream, client):
    before = seen(running)
    with Upgrade(running):
        run_postinst(running, "configure", version(running, "bearerd"))
    assert seen(running) == before
    assert upstream.stats(client["client_id"])["requests"] == 1
    assert running.ctl("is-enabled", "bearerd.service").stdout == "enabled\n"


@pytest.mark.parametrize("is_masked", [False, True])
def test_what_was_stopped_and_disabled_or_masked_stays_so(running, is_masked):
    make_newer(running)
    running.sh("sed", "-i", "s/^#Audit=.*/Audit=every/", SETTINGS)
    settings = running.path(SETTINGS).read_text()
    units = ("bearerd.service", "bearerd.socket")
    running.ctl("mask" if is_masked else "disable", "--now", *units)
    install(running, "/debs/newer")
    assert running.path(SETTINGS).read_text() == settings
    for unit in units:
        state = running.ctl("is-enabled", unit, check=False).stdout.strip()
        assert state == ("masked" if is_masked else "disabled")
        assert running.show(unit, "ActiveState") == "inactive"


def test_a_masked_service_that_runs_goes_on(running):
    """Masked for the next boot: nothing can restart it, so nothing must stop it."""
    make_newer(running)
    before = seen(running)
    running.ctl("mask", "bearerd.service")
    with Upgrade(running) as upgrade:
        upgrade.install("/debs/newer")
        assert not upgrade.is_replaced
    assert seen(running) == before
