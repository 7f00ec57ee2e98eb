# SPDX-License-Identifier: MIT
"""unit: rules: the process that connected counts, and what it is now. On this kernel, and as on one before 6.5."""

import contextlib
import os
import pathlib
import signal
import socket
import sys
import time

import pytest
from lib import profiles
from lib.agent import Agent, only_child
from lib.cgroups import Slice
from lib.process import cpu_time
from lib.settings import PATIENCE, TIME_FACTOR, WRAPPER

pytestmark = pytest.mark.needs_root

NOBODY = 65534
PID_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
SHOP, OTHER = ("shop.service",), ("other.service",)
OLD_KERNEL = (*PID_NAMESPACE, sys.executable, str(pathlib.Path(__file__).parent / "lib" / "old_kernel.py"))
SO_PEERPIDFD = 77
# Other users' processes are not in this /proc, as with ProtectProc=invisible.
HIDDEN_PROC = 'mount -t proc -o hidepid=invisible proc /proc && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
HIDDEN = ("unshare", "--mount", "--propagation", "private", "sh", "-c", HIDDEN_PROC, "sh")


def has_peer_pidfd():
    one, other = socket.socketpair()
    with one, other:
        try:
            os.close(one.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD))
        except OSError:
            return False
    return True


class Place:
    """What the daemon and its callers are started under.

    The old kernel has a pid namespace of its own: with as many ids as systemd sets, whatever this machine has.
    """

    def __init__(self, daemon, is_old=False, is_hidden=False):
        self.daemon = daemon
        self.is_old = is_old
        self.is_hidden = is_hidden
        self.prefix = (*(OLD_KERNEL if is_old else ()), *(HIDDEN if is_hidden else ()))

    @property
    def daemon_pid(self):
        return only_child(self.daemon.pid) if self.is_old else self.daemon.pid

    def agent(self, *arguments, **keywords):
        """An Agent that the daemon can see."""
        if self.is_old:
            keywords |= {"prefix": ("nsenter", f"--target={self.daemon_pid}", "--pid"), "is_inner": True}
        return Agent(*arguments, **keywords)

    def start(self, upstream, **main):
        allow = ["unit:shop.service unit:shop-*.service", "unit:shop@*.service"]
        profiles.vipps(self.daemon, "shop", upstream, upstream.vipps_client(), allow=allow)
        if self.is_hidden:
            for path in (self.daemon.key_folder, self.daemon.run_folder, *self.daemon.key_folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)
            main |= {"SocketGroup": NOBODY}
        self.daemon.main(SocketMode="0666", **main)
        self.daemon.start(prefix=self.prefix)

    def signal(self, number):
        os.kill(self.daemon_pid, number)

    def end(self):
        """The orderly end, where the process that we have started is not the daemon itself."""
        if self.is_old and self.daemon.process:
            self.signal(signal.SIGTERM)
            assert self.daemon.wait_exit() == 0


@pytest.fixture(params=["new-kernel", "old-kernel", "new-kernel-hidden", "old-kernel-hidden"])
def place(request, daemon):
    if request.param.startswith("new") and not has_peer_pidfd():
        pytest.skip("this kernel has no SO_PEERPIDFD")
    if request.param.endswith("hidden") and WRAPPER:
        pytest.skip("valgrind wants to look at all of /proc")
    one = Place(daemon, request.param.startswith("old"), request.param.endswith("hidden"))
    yield one
    one.end()


@pytest.fixture
def units():
    with Slice() as one:
        yield one


@pytest.fixture
def shop(units, place, upstream):
    """A daemon with the profile "shop" for shop.service, shop-*.service and shop@*.service."""
    place.start(upstream)
    return place


def is_admitted(place, units, *names, **agent):
    """Whether a new process in this cgroup gets the token."""
    with place.agent(units, names, **agent) as one:
        status = one.connect(place.daemon).token()
    assert status in (200, 404)
    return status == 200


def reason(place, text):
    place.daemon.log.wait_for("access-denied", text)


def test_units_that_a_rule_names(shop, units):
    assert is_admitted(shop, units, "shop.service")
    assert is_admitted(shop, units, "shop-web.service")
    assert is_admitted(shop, units, "shop.service", "workers", "1")
    assert is_admitted(shop, units, "bd-shop.slice", "shop@1.service")
    assert is_admitted(shop, units, "shop.service", uid=NOBODY)


def test_units_that_no_rule_names(shop, units):
    assert not is_admitted(shop, units, "other.service")
    assert not is_admitted(shop, units, "shopx.service")
    assert not is_admitted(shop, units, "shop.service.d")
    assert not is_admitted(shop, units, "shop.scope")
    # Anybody may have a service of this name in a manager of his own.
    assert not is_admitted(shop, units, "user@1000.service", "app.slice", "shop.service")
    assert not is_admitted(shop, units, "container", "shop.service")
    with shop.agent() as nowhere:
        assert nowhere.connect(shop.daemon).token() == 404
    reason(shop, "no system unit")


def test_a_unit_can_administer(daemon, upstream, place, units):
    place.start(upstream, access={"Admin": "unit:deploy.service"})
    with place.agent(units, ("deploy.service",)) as admin, place.agent(units, SHOP) as shop:
        assert admin.connect(daemon).tell("ask", "/v1/profiles/shop") == 200
        assert admin.token() == 404, "admins do not get tokens"
        assert shop.connect(daemon).token() == 200
    assert daemon.get("/v1/profiles/shop").status == 404


def test_a_right_ends_when_the_process_leaves_the_unit(shop, units):
    with shop.agent(units, SHOP) as one:
        one.connect(shop.daemon)
        assert one.token() == 200
        units.put(one.pid, *OTHER)
        assert one.token() == 404
        units.put(one.pid, *SHOP)
        assert one.token() == 200
        units.put(one.pid)
        assert one.token() == 404


def test_another_program_in_the_same_process_keeps_it(shop, units):
    with shop.agent(units, SHOP) as one:
        one.connect(shop.daemon)
        pid = one.tell("getpid")
        one.tell("execute")
        assert one.tell("getpid") == pid
        assert one.token() == 200


def test_a_socket_from_outside_gives_no_right(shop, units):
    """Whoever connects counts, not whoever sends."""
    with shop.agent(units, OTHER) as stranger, shop.agent(units, SHOP) as friend:
        stranger.connect(shop.daemon).hand_to(friend)
        assert friend.token() == 404


def test_a_socket_handed_on_gives_none_after_its_owner(shop, units):
    with shop.agent(units, OTHER) as stranger:
        with shop.agent(units, SHOP) as friend:
            friend.connect(shop.daemon)
            assert friend.token() == 200
            friend.hand_to(stranger)
            assert stranger.token() == 200, "its owner lives, and is answerable for it"
        assert stranger.token() == 404
        reason(shop, "has ended")


def test_a_process_that_has_ended_and_not_been_waited_for(shop, units):
    with shop.agent(units, OTHER) as stranger, shop.agent(units, SHOP) as friend:
        friend.connect(shop.daemon).hand_to(stranger)
        friend.end(reap=False)
        assert stranger.token() == 404
        reason(shop, "has ended")


def test_a_child_does_not_inherit_it(shop, units):
    """The child is in the unit, but it is not the one that connected."""
    with shop.agent(units, SHOP) as one:
        one.connect(shop.daemon)
        assert one.token() == 200
        pid = one.tell("getpid")
        one.tell("fork")  # answered by the child; the parent is gone
        assert one.tell("getpid") != pid
        assert one.token() == 404
        one.connect(shop.daemon)
        assert one.token() == 200


def test_a_main_thread_that_has_ended_vouches_for_nothing(shop, units):
    """What the kernel says of such a process is of when its main thread ended."""
    with shop.agent(units, SHOP) as one:
        one.connect(shop.daemon)
        assert one.token() == 200
        one.tell("leave_to_thread")
        units.put(one.pid, *OTHER)
        deadline = time.monotonic() + PATIENCE
        while "State:\tZ" not in pathlib.Path(f"/proc/{one.pid}/status").read_text():
            assert time.monotonic() < deadline
        assert one.token() == 404


def test_a_process_that_ends_before_it_is_accepted(shop, units):
    with shop.agent(units, OTHER) as stranger:
        shop.signal(signal.SIGSTOP)
        with shop.agent(units, SHOP) as friend:
            friend.connect(shop.daemon).hand_to(stranger)
        shop.signal(signal.SIGCONT)
        assert stranger.token() == 404
        reason(shop, "has ended")


def test_a_process_of_an_inner_pid_namespace(shop, units):
    if shop.is_old:
        pytest.skip("would be an inner one of an inner one")
    with Agent(units, SHOP, prefix=PID_NAMESPACE, is_inner=True) as one:
        assert one.tell("getpid") == 1
        assert one.connect(shop.daemon).token() == 200


def test_a_process_outside_of_our_pid_namespace(daemon, upstream, units):
    place = Place(daemon, is_old=True)
    place.start(upstream)
    with Agent(units, SHOP) as one:
        assert one.connect(daemon).token() == 404
    reason(place, "not in the daemon's pid namespace")
    place.end()


def test_a_crowd_of_strangers_is_in_nobodys_way(shop, units):
    """Searches are limited for each user, and those who belong here are found all the same."""
    with shop.agent(units, SHOP, uid=4301) as friend, contextlib.ExitStack() as stack:
        friend.connect(shop.daemon)
        assert friend.token() == 200
        for i in range(60):
            stranger = stack.enter_context(shop.agent(units, (f"other-{i % 7}.service",), uid=4242))
            assert stranger.connect(shop.daemon).token() == 404
            assert friend.token() == 200


def test_what_a_request_with_a_unit_rule_costs(shop, units):
    """Not a search each time: a few files. Counted is what the daemon uses of a processor, whoever else wants one."""
    for i in range(300):
        units.unit("crowd.slice", f"many-{i}.service")
    with shop.agent(units, SHOP) as friend:
        friend.connect(shop.daemon)
        assert friend.token() == 200
        used = cpu_time(shop.daemon_pid)
        for _ in range(200):
            assert friend.token() == 200
        assert cpu_time(shop.daemon_pid) - used < 1 * TIME_FACTOR
