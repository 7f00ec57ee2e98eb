# SPDX-License-Identifier: MIT
"""Restarts under load: whoever asks is answered, and the upstream is asked for nothing that was not due."""

import random
import re
import signal
import time

import pytest
from lib import profiles
from lib.drill import Drill
from lib.manager import ServiceManager

N_RESTARTS = 200
N_CLIENTS = 32
SOCKETS = ["bearerd.socket", "second"]
# Refreshed all the time, and so often that a request is in flight at many an end. Interruptions in a row, each
# followed by a longer distance, could outlive such a token, if the dice fell so: it is given the time for one more try.
N_SHORT = 8
LIFETIME = 8  # seconds
AT, JITTER = 0.5, 0.1
LATE = 0.5  # seconds that a request may be under way; a repetition comes much sooner than what is left of the schedule
ENOUGH = 2  # seconds: more than the default min_ttl, and RetryMax, and some


@pytest.fixture
def manager(daemon):
    with ServiceManager(daemon, SOCKETS) as one:
        yield one


def request_times(upstream, client):
    return [entry["at"] for entry in upstream.requests(client["client_id"])]


def kill_or_stop(manager, drill, i):
    """The end of life number i; half of them without a warning."""
    if i % 2 == 0:
        drill.n_kills += 1
        assert manager.end(signal.SIGKILL) == -signal.SIGKILL
        drill.n_killed += 1
    else:
        # It can come before the process has blocked it.
        assert manager.end(signal.SIGTERM) in (0, -signal.SIGTERM)


def count_repeated(times):
    """Requests that came sooner than the schedule has them: it repeats one whose answer no process lived to see.

    The schedule counts from when a request was sent. A busy machine brings it late, and the next one seems early.
    """
    earliest_for = LIFETIME * (AT - JITTER) - LATE
    return sum(at - before < earliest_for for before, at in zip(times, times[1:]))


def count_interrupted(manager):
    """The requests that each process found in flight."""
    return sum(int(n) for n in re.findall(r"which left (\d+) requests? in flight", manager.text))


def write_profiles(daemon, upstream):
    """One token that lasts, some that do not, and one that is never got; their clients by name."""
    clients = {f"short{i}": upstream.vipps_client(lifetime=LIFETIME) for i in range(N_SHORT)}
    for name, client in clients.items():
        # The first refresh is not answered as long as the daemon lives that asked; the others may end in between as well.
        upstream.fault(client_id=client["client_id"], skip=1, times=1, hang=True)
        upstream.fault(client_id=client["client_id"], delay=0.01)
        profiles.vipps(daemon, name, upstream, client, refresh={"At": f"{AT:.0%}", "Jitter": f"{JITTER:.0%}"})
    clients |= {"long": upstream.vipps_client(), "down": upstream.vipps_client()}
    profiles.vipps(daemon, "long", upstream, clients["long"])
    upstream.fault(client_id=clients["down"]["client_id"], status=503)
    profiles.vipps(daemon, "down", upstream, clients["down"], refresh={"RetryMin": "200ms", "RetryMax": "60s"})
    return clients


@pytest.mark.plain_build
def test_two_hundred_restarts(manager, daemon, own_upstream):
    dice = random.Random(1)
    clients = write_profiles(daemon, own_upstream)
    names = [name for name in clients if name != "down"]
    manager.start()
    began = time.monotonic()
    with Drill(manager.paths.values(), names, N_CLIENTS) as drill:
        for i in range(N_RESTARTS):
            if dice.random() < 0.9:  # the end can come before it is ready, too
                manager.wait_ready()
            time.sleep(dice.random() * 0.15)
            drill.wait_good(ENOUGH)
            kill_or_stop(manager, drill, i)
            manager.start(wait=False)
            assert not drill.failures, drill.failures
        manager.wait_ready()
    took = time.monotonic() - began
    assert not drill.failures, drill.failures
    counts = drill.counts
    assert counts["answered"] > 20 * N_RESTARTS and counts["broken"] > 0, counts

    times = {name: request_times(own_upstream, client) for name, client in clients.items()}
    assert len(times["long"]) == 1 and drill.generations("long") == [1], "a token of an hour is fetched once"
    assert len(times["down"]) < 30, "the back-off begins anew with each process"
    short = [name for name in names if name != "long"]
    n_requests = sum(len(times[name]) for name in short)
    n_fetched = sum(line.event == "token-fetched" for line in manager.lines)
    n_repeated, n_interrupted = sum(count_repeated(times[name]) for name in short), count_interrupted(manager)
    assert n_repeated <= n_interrupted, (n_repeated, n_interrupted)
    assert n_requests < n_fetched + n_interrupted, (n_requests, n_fetched, n_interrupted)  # one was fetched for long
    n_refreshes = sum(len(drill.generations(name)) for name in short)
    assert n_refreshes > 3 * N_SHORT and n_interrupted >= N_SHORT, (n_refreshes, n_interrupted)
    assert manager.most_kept <= 2
    assert "goes on with" in manager.text
    assert "not used" not in manager.text and "anew" not in manager.text and "cannot be kept" not in manager.text
    print(f"{took:.1f} s, {dict(counts)}, {n_refreshes} tokens, {n_requests} requests, {n_repeated} repeated of "
          f"{n_interrupted} interrupted, {len(times['down'])} in vain")
    assert manager.end() == 0


def test_nobody_is_turned_away_while_there_is_no_daemon(manager, daemon, upstream):
    """The socket is the manager's: who comes between two lives waits, at either of them."""
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    manager.start()
    assert manager.end() == 0
    with Drill(manager.paths.values(), ["shop"], 8) as drill:
        manager.start()
        while drill.counts["answered"] < 100:
            assert not drill.failures, drill.failures
            time.sleep(0.01)
        manager.end()
        manager.start()
    assert not drill.failures, drill.failures


def test_without_a_store_a_restart_begins_anew(daemon, own_upstream):
    """As before there was one: the socket alone goes on."""
    client = own_upstream.vipps_client()
    profiles.vipps(daemon, "shop", own_upstream, client)
    with ServiceManager(daemon, SOCKETS, has_store=False) as manager:
        for i in range(3):
            manager.start()
            own_upstream.wait(client["client_id"], requests=i + 1)
            assert manager.end() == 0
        assert own_upstream.stats(client["client_id"])["requests"] == 3
        assert "goes on with" not in manager.text
