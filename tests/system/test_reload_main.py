# SPDX-License-Identifier: MIT
"""Rules, admins and limits that change by a reload bind everybody with their next request; what belongs to the socket
waits for a restart and says so."""

import contextlib
import os

import pytest
from lib import profiles
from lib.caller import Caller
from lib.http import read_answer, request_bytes
from lib.reload import changes, edit, reload
from lib.users import User
from lib.watch import WARNING

pytestmark = pytest.mark.needs_root

ALICE, BOB = 3_000_000_001, 3_000_000_002
TOKEN = "/v1/profiles/shop/token"


@pytest.fixture
def shop(daemon, upstream):
    """A daemon, not started, that everybody may connect to, with the profile "shop" for Alice and the tests' user."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client, allow=[f"user:{ALICE}", f"user:{os.geteuid()}"])
    profiles.vipps(daemon, "other", upstream, upstream.vipps_client())
    daemon.main(SocketMode="0666")
    return client


def allow(daemon, *users):
    """Other rules for "shop", in force when this returns."""
    file = daemon.profile_folder / "shop.conf"
    kept = [line for line in file.read_text().splitlines() if not line.startswith("Allow=")]
    file.write_text("\n".join([*kept, *(f"Allow=user:{user}" for user in users)]) + "\n")
    assert changes(reload(daemon)) == {"shop": ("access", None)}


def warnings(daemon):
    """What a reload says of a restart that is needed."""
    found = [problem for problem in reload(daemon)["problems"] if "restart" in problem["message"]]
    assert all(problem["severity"] == "warning" for problem in found)
    return [problem["message"] for problem in found]


def test_rules_bind_kept_connections(daemon, upstream, shop):
    daemon.start()
    with User(daemon, ALICE) as alice, User(daemon, BOB) as bob:
        for user in (alice, bob):
            user.connect(1)
        for allowed in ([BOB], [ALICE, BOB], [], [ALICE]) * 3:
            allow(daemon, *allowed)
            for user in (alice, bob):
                assert user.ask(TOKEN) == {200 if user.uid in allowed else 404: 1}
    assert upstream.stats(shop["client_id"])["requests"] == 1


def test_a_right_that_is_taken_away_from_who_waits(daemon, upstream, shop):
    """When the token comes, the rules of that moment decide."""
    upstream.fault(client_id=shop["client_id"], hang=True)
    daemon.start(wait=False)
    upstream.wait(shop["client_id"], held=1)
    daemon.wait_socket()
    with User(daemon, ALICE) as alice, User(daemon, os.geteuid()) as root:
        for user in (alice, root):
            user.connect(1)
            user.send(f"{TOKEN}?wait=60")
        daemon.wait_metric("bearerd_waiters", 2)
        allow(daemon, os.geteuid())
        upstream.clear()
        assert alice.answers() == {404: 1}
        assert root.answers() == {200: 1}
    daemon.wait_ready()


def test_a_long_poll_ends_with_the_right(daemon, upstream, shop):
    """Nothing came, and the poller may not even know any more that there was something to come."""
    daemon.start()
    with User(daemon, ALICE) as alice, User(daemon, os.geteuid()) as root:
        for user in (alice, root):
            user.connect(1)
            user.send(f"{TOKEN}?wait=3", 'If-None-Match: "g1"')
        daemon.wait_metric("bearerd_waiters", 2)
        allow(daemon, os.geteuid())
        assert root.answers() == {304: 1}
        assert alice.answers() == {404: 1}


def test_a_right_that_is_given_while_somebody_is_refused(daemon, shop):
    daemon.start()
    with Caller(daemon, BOB) as bob:
        assert bob.get(TOKEN).status == 404
        allow(daemon, BOB)
        assert bob.get(TOKEN).status == 200
        assert daemon.get(TOKEN).status == 404, "an admin is not a user"


def test_admins(daemon, shop):
    daemon.start()
    with Caller(daemon, BOB) as bob:
        assert bob.call("POST", "/v1/reload").status == 403
        daemon.main(access={"Admin": [f"user:{BOB}"]}, SocketMode="0666")
        assert reload(daemon)["unchanged"] == 2
        # Who has just made another admin is none himself.
        assert daemon.call("POST", "/v1/reload").status == 403
        assert daemon.call("POST", "/v1/profiles/shop/refresh").status == 403
        assert bob.call("POST", "/v1/profiles/shop/refresh").json["generation"] == 2
        assert bob.call("POST", "/v1/reload").status == 200


def test_connections_of_one_user(daemon, shop):
    """Fewer: those that are there stay, and no other is let in. More: at once."""
    daemon.start()
    with User(daemon, ALICE) as alice:
        alice.connect(10)
        assert alice.ask(TOKEN) == {200: 10}
        daemon.main(SocketMode="0666", MaxConnectionsPerUser=5)
        assert warnings(daemon) == []
        assert alice.ask(TOKEN) == {200: 10}
        assert alice.storm(3, TOKEN) == {429: 3}
        daemon.main(SocketMode="0666", MaxConnectionsPerUser=13)
        reload(daemon)
        assert alice.connect(3) == 3
        assert alice.ask(TOKEN) == {200: 13}
        assert alice.storm(2, TOKEN) == {429: 2}
    limited = {"class": "user", "limit": "connections-per-user"}
    assert daemon.metrics().value("bearerd_limited_total", **limited) == 5


def test_concurrent_fetches(daemon, own_upstream):
    """Fewer slots: no more requests at once from then on. More: those who stood in line go at once."""
    clients = [own_upstream.vipps_client() for _ in range(6)]
    for i, client in enumerate(clients):
        profiles.vipps(daemon, f"shop-{i}", own_upstream, client)
    daemon.main(ConcurrentFetches=2)
    own_upstream.fault(hang=True)
    daemon.start(wait=False)
    own_upstream.wait(held=2)
    daemon.wait_socket()
    daemon.main(ConcurrentFetches=5)
    assert reload(daemon)["unchanged"] == 6
    assert own_upstream.wait(held=5)["held"] == 5
    daemon.main(ConcurrentFetches=1)
    reload(daemon)
    own_upstream.clear()
    own_upstream.wait(ok=6)
    daemon.wait_ready()
    own_upstream.fault(hang=True)
    with contextlib.ExitStack() as stack:
        admins = [stack.enter_context(daemon.connect()) for _ in clients]
        for i, admin in enumerate(admins):
            admin.sendall(request_bytes(f"/v1/profiles/shop-{i}/refresh", "POST"))
        own_upstream.wait(held=1)
        daemon.wait_metric("bearerd_waiters", 6)
        assert own_upstream.stats()["held"] == 1
        own_upstream.clear()
        assert [read_answer(admin).json["generation"] for admin in admins] == [2] * 6
    assert own_upstream.stats()["requests"] == 12


def test_audit(daemon, shop):
    daemon.main(Audit="every")
    daemon.start()
    n_reloads, mark = 0, 0
    for mode, n_told in (("every", 3), ("off", 0), ("every", 3)):
        daemon.main(Audit=mode)
        reload(daemon)
        for _ in range(3):
            daemon.token("shop")
        reload(daemon)  # its line stands behind all that was told of them
        n_reloads += 2
        daemon.log.wait_for(match="settings reloaded", count=n_reloads)
        assert len([line for line in daemon.log.items[mark:] if " handed to " in line.raw]) == n_told
        mark = daemon.log.mark()


KEPT = {
    "Socket": lambda daemon: {"Socket": daemon.run_folder / "other"},
    "SocketMode": lambda daemon: {"SocketMode": "0600"},
    "SocketGroup": lambda daemon: {"SocketGroup": "0" if os.getegid() else "1"},
    "MaxConnections": lambda daemon: {"MaxConnections": 20},
}


@pytest.mark.parametrize("key", KEPT)
def test_what_belongs_to_the_socket_waits_for_a_restart(daemon, shop, key):
    """It stays, with a warning, each time until the restart; the rest of the file comes into force."""
    daemon.start()
    before = os.stat(daemon.socket)
    daemon.main(access={"Admin": [f"user:{os.geteuid()}", f"user:{BOB}"]}, **{"SocketMode": "0666"} | KEPT[key](daemon))
    for _ in range(2):
        mark = daemon.log.mark()
        [words] = warnings(daemon)
        assert f"{key}=" in words
        daemon.log.wait_for(match=f"{key}=.*restart", level=WARNING, since=mark)
        after = os.stat(daemon.socket)
        assert (after.st_ino, after.st_mode, after.st_gid) == (before.st_ino, before.st_mode, before.st_gid)
    with Caller(daemon, BOB) as bob:
        assert bob.call("POST", "/v1/reload").status == 200
    # Back to what it was: nothing to say.
    daemon.main(SocketMode="0666")
    assert warnings(daemon) == []


def test_the_limit_of_all_connections_stays(daemon, shop):
    daemon.main(SocketMode="0666", MaxConnections=16, MaxConnectionsPerUser=16)
    daemon.start()
    daemon.main(SocketMode="0666", MaxConnections=1000, MaxConnectionsPerUser=1000)
    [words] = warnings(daemon)
    assert words.startswith("MaxConnections=")
    with User(daemon, ALICE) as alice:
        assert alice.connect(100) == 14, "sixteen, without the eighth for those who have few"
        assert daemon.get(TOKEN).status == 200
