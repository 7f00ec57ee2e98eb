# SPDX-License-Identifier: MIT
"""Two hundred ends of the daemon under a real systemd, half of them by SIGKILL, at random moments: while it starts, fetches,
stores, answers. 32 callers ask all the time. Nobody is refused, nothing fails, and the upstream is asked what the schedule asks.

The seed is printed; BEARERD_SEED= replays what happens in which order (not to the microsecond).
"""

import os
import random
import re
import time

from boxlib.box import PATIENCE
from boxlib.callers import Callers
from boxlib.ends import Ends
from boxlib.service import SOCKET_UNIT, UNIT
from lib.profiles import vipps

# 200 ends. The pairs are so close that the second one mostly comes before READY=1.
PLAN = ["kill"] * 50 + ["restart"] * 50 + ["restart, kill"] * 30 + ["kill, restart"] * 20
N_KILLS = N_RESTARTS = 100
# The unit's own limits are for nights, not for this: with RestartSec=2s alone the kills would take minutes.
OFTEN = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=10ms\n"
OFTEN_ASKED = "[Socket]\nTriggerLimitIntervalSec=0\n"
SOCKET_DROP_IN = f"/run/systemd/system/{SOCKET_UNIT}.d/often.conf"

# Tokens that are refreshed all the time, by requests that take so long that some are in flight when the daemon ends.
N_SHORT = 6
LIFETIME, AT, JITTER = 8, 0.5, 0.1  # seconds, and parts of it
EARLIEST, LATEST = LIFETIME * (AT - JITTER), LIFETIME * AT
DELAY = 0.05
# An upstream that names its time, and one that refuses the keys: both hold back the next request for longer than any life lasts.
RETRY_AFTER = 5  # seconds
RETRY_MIN = 0.2  # seconds; after the n-th refusal the next comes no sooner than RETRY_MIN * 4^n / 2
# An answer and the end of who had asked, so close together that the daemon may not have had it; also what clocks differ by.
CLOSE = 0.4
EXACT = 0.05


def write_profiles(service, upstream):
    """Their clients by name."""
    clients = {f"short{i}": upstream.vipps_client(lifetime=LIFETIME) for i in range(N_SHORT)}
    for name, client in clients.items():
        # The first refresh is not answered as long as the daemon lives that asked; the others may end in between as well.
        upstream.fault(client_id=client["client_id"], skip=1, times=1, hang=True)
        upstream.fault(client_id=client["client_id"], delay=DELAY)
        vipps(service, name, upstream, client, refresh={"At": f"{AT:.0%}", "Jitter": f"{JITTER:.0%}"}, allow="unit:web.service")
    others = {name: upstream.vipps_client() for name in ("long", "busy", "refused")}
    upstream.fault(client_id=others["busy"]["client_id"], status=503, retry_after=RETRY_AFTER)
    upstream.revoke(others["refused"]["client_id"], "secret")
    for name, client in others.items():
        refresh = {"RetryMin": f"{RETRY_MIN * 1000:.0f}ms", "RetryMax": f"{RETRY_AFTER}s"}
        vipps(service, name, upstream, client, refresh=refresh, allow="unit:web.service")
    return clients | others


def make_ends(ends, callers, dice):
    """All of PLAN, in random order, at random moments."""
    plan = dice.sample(PLAN, len(PLAN))
    for number, what in enumerate(plan):
        # What SIGKILL broke has been sent again and answered, and no token runs out between two ends: who waits for one is
        # told by a daemon that stops to come again.
        n_failed = callers.say("calm")
        assert n_failed == 0, f"after {plan[:number][-5:]}, end {number}"
        if dice.random() < 0.7:
            callers.say("served")
        time.sleep(dice.uniform(0, 0.15))
        kinds = what.split(", ")
        for i, kind in enumerate(kinds):
            callers.say(kind)
            if kind == "kill":
                ends.kill()
            else:
                ends.restart(wait=i == len(kinds) - 1)
            callers.say("over")
            if i < len(kinds) - 1:
                time.sleep(dice.uniform(0, 0.06))


def test_two_hundred_ends_under_load(service, upstream):
    seed = int(os.environ.get("BEARERD_SEED", random.randrange(1 << 32)))
    print(f"BEARERD_SEED={seed}")
    clients = write_profiles(service, upstream)
    service.box.write(SOCKET_DROP_IN, OFTEN_ASKED)
    service.drop_in("often", OFTEN)
    service.start()
    began, ends = time.monotonic(), Ends(service.box)
    targets = {f"/v1/profiles/{name}/token?wait=30": 200 for name in ["long", "short0", f"short{N_SHORT - 1}"]}
    targets |= {f"/v1/profiles/{name}/token?wait=0": 503 for name in ("busy", "refused")}
    try:
        with Callers(service.box, targets, seed) as callers:
            make_ends(ends, callers, random.Random(seed))
    finally:
        service.box.sh("rm", SOCKET_DROP_IN)
        print(f"{time.monotonic() - began:.1f} s, {ends.n_kills} kills, {ends.n_restarts} restarts, {callers.result}")
    result, seconds = callers.result, time.monotonic() - began
    assert not result["refused"] and not result["lost"] and not result["bad"], result
    # The daemon waits a quarter of a second for those who ask all the time, and its answer tells them to come anew. A machine
    # may let one of them sleep for longer, just then.
    assert result["unsent"] <= N_RESTARTS / 20, result
    assert (ends.n_kills, ends.n_restarts) == (N_KILLS, N_RESTARTS)
    # It was no quiet time: connections broke, processes ended before they were ready.
    assert result["requests"] > 100 * len(PLAN) and result["again"] > N_KILLS, result
    words, n_ready = service.words(), len(service.events("started"))
    n_restored, n_lost = words.count("goes on with"), sum(map(int, re.findall("([0-9]+) entries before this are lost", words)))
    print(f"{n_restored} processes took over the state, {n_ready} were ready; the journal lost {n_lost} entries")
    # The first one found no state; and who was ready has told what the journal had no room for.
    assert N_KILLS < n_restored < N_KILLS + N_RESTARTS and N_RESTARTS / 2 < n_ready <= n_restored + n_lost + 1
    check_upstream(service, upstream, clients, ends, seconds)
    assert int(service.show("NFileDescriptorStore")) == 1 and "is not used" not in service.words()


# --- what the upstream was asked -------------------------------------------------------------------------------------


def is_close_to_an_end(ends, moment):
    return any(began - CLOSE < moment < over + CLOSE for began, over in ends.times)


def ended(log):
    """Without the request that may be in flight just now."""
    assert all(one["status"] is not None for one in log[:-1]), log
    return log[:-1] if log and log[-1]["status"] is None else log


def number_of(service, name):
    """Of the newest token."""
    return service.answer(f"/v1/profiles/{name}/token?wait=30", unit="web.service")["body"]["generation"]


def log_and_number(service, upstream, name, client):
    """All requests, and the number of the token that came of them: of a moment when none was under way."""
    deadline = time.monotonic() + PATIENCE
    while True:
        before = number_of(service, name)
        log = upstream.requests(client["client_id"])
        if log[-1]["status"] is not None and number_of(service, name) == before:
            return log, before
        assert time.monotonic() < deadline, (name, before, log)


def check_upstream(service, upstream, clients, ends, seconds):
    """Each request was due, or repeats one that a process had sent that did not live to see the answer."""
    logs = {name: ended(upstream.requests(client["client_id"])) for name, client in clients.items()}
    assert len(logs["long"]) == 1, "a token of an hour is fetched once"
    n_cut = 0
    for name in (name for name in logs if name.startswith("short")):
        log, n_tokens = log_and_number(service, upstream, name, clients[name])
        n_cut += check_short(name, log, n_tokens, ends, seconds)
    assert n_cut >= N_SHORT, "each of the short ones has a request that only an end can cut off"
    check_busy(logs["busy"], ends, seconds)
    check_refused(logs["refused"], ends)
    print({name: len(log) for name, log in logs.items()}, f"{n_cut} cut off")


def check_short(name, log, n_tokens, ends, seconds):
    """One after another, each at the earliest moment that At= and Jitter= allow or later; how many were cut off."""
    cut = [one for one in log if one["status"] == "gone"]
    assert {one["status"] for one in log} <= {200, "gone"}
    early = [(before, after) for before, after in zip(log, log[1:]) if after["at"] - before["at"] < EARLIEST - EXACT]
    for before, after in early:
        # The answer was on its way, or not yet stored.
        is_lost = before["status"] == "gone" or is_close_to_an_end(ends, before["at"] + DELAY)
        assert is_lost, (name, before, after, ends.times)
    # Each answer is a token with a number of its own, but for those that came to nobody; and none of them too late.
    n_answers = len(log) - len(cut)
    assert len(early) <= len(log) + 1 - n_tokens, (name, "each of them repeats one that brought no token", early, n_tokens)
    assert n_answers - len(cut) - 3 <= n_tokens <= n_answers + 1, (name, n_tokens, n_answers, len(cut))
    assert seconds / (LATEST + 2) <= n_tokens <= 2 + seconds / (EARLIEST - EXACT), (name, n_tokens, seconds)
    return len(cut)


def check_busy(log, ends, seconds):
    """Retry-After outlives the process that was told."""
    early = [before for before, after in zip(log, log[1:]) if after["at"] - before["at"] < RETRY_AFTER - EXACT]
    assert len(early) <= 3 and all(is_close_to_an_end(ends, before["at"]) for before in early), early
    assert seconds / RETRY_AFTER / 2 < len(log) < 2 + 1.5 * seconds / RETRY_AFTER, len(log)


def check_refused(log, ends):
    """And so does the number of refusals in a row, on which the distance depends."""
    n_refused = 0
    for before, after in zip(log, log[1:]):
        if before["status"] != "gone" and not is_close_to_an_end(ends, before["at"]):
            n_refused += 1
        earliest = RETRY_MIN * 4**n_refused / 2 if n_refused else RETRY_MIN
        assert after["at"] - before["at"] > earliest - EXACT, (n_refused, before, after)
    assert 3 < len(log) < 9, len(log)
