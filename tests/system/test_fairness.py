# SPDX-License-Identifier: MIT
"""One user with all the connections it may have, doing the worst it may do with them, is in nobody else's way."""

import contextlib

import pytest
from lib import profiles
from lib.reload import wait_until
from lib.users import User

pytestmark = pytest.mark.needs_root

ALICE, BOB = 3_000_000_001, 3_000_000_002
TOKEN = "/v1/profiles/shop/token"
HEADERS = "/v1/profiles/shop/headers"
PER_USER = 1024  # the default of MaxConnectionsPerUser=


@pytest.fixture
def shop(daemon, upstream):
    """A daemon that everybody may connect to, with the profile "shop"; its client."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.main(SocketMode="0666")
    daemon.start()
    return client


@pytest.fixture
def alice(daemon, shop):
    """The user who takes what there is."""
    with User(daemon, ALICE) as one:
        yield one


@pytest.fixture
def bob(daemon, shop):
    """The user who wants a token now and then."""
    with User(daemon, BOB) as one:
        yield one


def is_well_served(bob, number=100):
    """Bob gets everything: on a connection that he keeps, on new ones, and on several at once."""
    n_before = bob.connect(5)
    assert n_before == 5
    for _ in range(number):
        assert bob.ask(TOKEN) == {200: 5}
    assert bob.ask(HEADERS) == {200: 5}
    assert bob.storm(number, TOKEN) == {200: number}
    bob.disconnect()


def limited(daemon, limit):
    return daemon.metrics().value("bearerd_limited_total", **{"class": "user", "limit": limit})


def test_idle_connections(daemon, alice, bob):
    assert alice.connect(PER_USER) == PER_USER
    is_well_served(bob)
    assert alice.ask("/healthz") == {200: PER_USER}
    assert limited(daemon, "connections-per-user") == 0


def test_connections_that_say_nothing(daemon, alice, bob):
    assert alice.connect_silently(PER_USER) == PER_USER
    is_well_served(bob)
    assert alice.ask("/healthz") == {200: PER_USER}


def test_long_pollers(daemon, upstream, shop, alice, bob):
    """Also at the moment when all of them are answered."""
    assert alice.connect(1000) == 1000
    alice.send(f"{TOKEN}?wait=60", 'If-None-Match: "g1"')
    daemon.wait_metric("bearerd_waiters", 1000)
    is_well_served(bob)
    assert daemon.call("POST", "/v1/profiles/shop/refresh").status == 200
    is_well_served(bob, 10)
    assert alice.answers() == {200: 1000}
    assert upstream.stats(shop["client_id"])["requests"] == 2


def test_waiters_on_a_fetch_that_hangs(daemon, upstream, shop, alice, bob):
    other = upstream.vipps_client()
    profiles.vipps(daemon, "other", upstream, other)
    upstream.fault(client_id=other["client_id"], hang=True)
    daemon.restart(wait=False)
    upstream.wait(other["client_id"], held=1)
    daemon.wait_socket()
    daemon.wait_status("shop", state="fresh")
    assert alice.connect(1000) == 1000
    alice.send("/v1/profiles/other/token?wait=60")
    daemon.wait_metric("bearerd_waiters", 1000)
    is_well_served(bob)
    # Bob waits for the same one, and is not behind anybody.
    assert bob.connect(1) == 1
    bob.send("/v1/profiles/other/token?wait=60")
    daemon.wait_metric("bearerd_waiters", 1001)
    upstream.clear()
    assert bob.answers() == {200: 1}
    assert alice.answers() == {200: 1000}
    assert upstream.stats(other["client_id"])["requests"] == 1
    daemon.wait_ready()


@pytest.mark.parametrize("target", [TOKEN, "/v1/profiles/nope/token", "/metrics"], ids=["token", "denied", "metrics"])
def test_hammering(alice, bob, target):
    assert alice.connect(64) == 64
    with alice.hammering(target):
        is_well_served(bob)
    assert sum(alice.hammered.values()) > 64 and set(alice.hammered) <= {200, 404}


def test_requests_by_the_hundred(daemon, alice, bob):
    """Pipelined on a few connections whose answers nobody takes."""
    assert alice.connect(64) == 64
    alice.flood(TOKEN, 200)
    is_well_served(bob)


def test_a_storm_of_connections_beyond_the_limit(daemon, alice, bob):
    """Each is told to come back later, and none costs Bob his place."""
    assert alice.connect(PER_USER) == PER_USER
    assert alice.storm(50, TOKEN) == {429: 50}
    with alice.storming(TOKEN):
        is_well_served(bob)
        wait_until(lambda: limited(daemon, "connections-per-user") >= 100, "the storm is over")
    assert set(alice.hammered) == {429}
    assert limited(daemon, "connections-per-user") == 50 + alice.hammered[429]
    assert alice.ask(TOKEN) == {200: PER_USER}


def test_connections_that_are_made_and_dropped(alice, bob):
    with alice.storming(None):
        is_well_served(bob)


def test_several_users_together_cannot_keep_another_out(daemon, upstream, shop):
    """MaxConnections=64: four that want 20 each share 56; of the eighth for those with few they get one."""
    daemon.main(SocketMode="0666", MaxConnections=64, MaxConnectionsPerUser=20)
    daemon.restart()
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(User(daemon, 3_000_000_100 + i)) for i in range(4)]
        assert [user.connect(20) for user in crowd] == [20, 20, 16, 1]
        assert limited(daemon, "connections-kept") == 4 + 19
        assert crowd[0].storm(1, TOKEN) == {429: 1}
        assert limited(daemon, "connections-per-user") == 1
        few = [stack.enter_context(User(daemon, 3_000_000_200 + i)) for i in range(5)]
        for user in few:
            assert user.connect(1) == 1
            assert user.ask(TOKEN) == {200: 1}
            assert user.storm(1, TOKEN) == {429: 1}, "of these 64 one connection is few, two are not"
        assert limited(daemon, "connections-kept") == 4 + 19 + 5
        # Full is full, for everybody, and does not last.
        last = [stack.enter_context(User(daemon, 3_000_000_300 + i)) for i in range(3)]
        assert [user.connect(1) for user in last] == [1, 1, 0]
        last[0].disconnect()
        wait_until(lambda: last[2].connect(1) == 1, "no place has become free")
        assert [user.ask(TOKEN) for user in (*few, *last[1:])] == [{200: 1}] * 7
        last[2].disconnect()
        daemon.wait_metric("bearerd_connections", 57 + 5 + 1 + 1)  # and the one that asks
        assert limited(daemon, "connections") >= 1


def test_users_come_and_go(daemon, shop, alice, bob):
    """The counts of a user follow its connections, whatever way they end."""
    for _ in range(5):
        assert alice.connect(PER_USER) == PER_USER
        assert alice.storm(1, TOKEN) == {429: 1}
        alice.disconnect()
        assert bob.storm(10, TOKEN) == {200: 10}
        daemon.wait_metric("bearerd_connections", 1)
