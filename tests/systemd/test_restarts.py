# SPDX-License-Identifier: MIT
"""Restarts and kills at random moments under a real systemd, while 32 callers ask: nobody is refused, nothing fails, and the
upstream is asked what the schedule asks.

The same with 200 restarts, and a service manager that is part of the test, is in tests/system.
"""

import random
import re
import time

from boxlib.callers import Callers
from boxlib.service import UNIT
from lib.profiles import vipps

# Each is an orderly restart and one or two kills; fewer, down to half, on a machine that is slow at it.
ROUNDS = 40
ENOUGH = 40  # seconds
LIFETIME = 20  # seconds, of the short tokens
# Refresh at the earliest: At= less Jitter= of the life.
EARLIEST = 0.4
# The unit's own limits are for nights, not for this.
OFTEN = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=10ms\n"


def restart(service, callers):
    """An orderly one: no connection breaks under a request."""
    callers.say("settle")
    service.box.ctl("restart", UNIT)


def kill(service, callers, number):
    """One or two, of which the second comes while it starts or has just started."""
    callers.say("killing")
    for _ in range(number):
        service.box.sh("sleep", str(random.uniform(0, 0.15)))
        service.box.ctl("kill", "--signal=KILL", "--kill-whom=main", UNIT, check=False)


def test_restarts_and_kills_under_load(service, upstream):
    box = service.box
    long, short = upstream.vipps_client(), upstream.vipps_client(lifetime=LIFETIME)
    vipps(service, "long", upstream, long, allow="unit:web.service")
    vipps(service, "short", upstream, short, allow="unit:web.service")
    # Long enough that some of them are in flight when the daemon ends.
    upstream.fault(client_id=short["client_id"], delay=0.1)
    service.drop_in("often", OFTEN)
    service.start()
    started = time.monotonic()
    with Callers(box, ["/v1/profiles/long/token?wait=30", "/v1/profiles/short/token?wait=30"]) as callers:
        for n in range(ROUNDS):
            if n >= ROUNDS / 2 and time.monotonic() - started > ENOUGH:
                break
            restart(service, callers)
            kill(service, callers, random.choice([1, 2]))
        callers.say("settle")
    result = callers.result
    assert not result["refused"] and not result["lost"] and not result["bad"], result
    assert result["requests"] > 32 * 2 * n and len(service.events("started")) > n
    check_upstream(service, upstream, long, short, time.monotonic() - started)
    assert int(service.show("NFileDescriptorStore")) == 1


def check_upstream(service, upstream, long, short, seconds):
    """Each request became a token, or its answer was lost with the process that had asked."""
    # With the next token no request is under way.
    target = "/v1/profiles/short/token?wait=30"
    etag = service.answer(target, unit="web.service")["headers"]["ETag"]
    later = service.answer(target, unit="web.service", headers=[f"If-None-Match: {etag}"])
    assert later["status"] == 200
    generation = later["body"]["generation"]
    n_lost = sum(map(int, re.findall(r"last process, which left (\d+) request", service.words())))
    assert generation <= upstream.stats(short["client_id"])["requests"] <= generation + n_lost
    assert 2 <= generation <= 2 + seconds / (EARLIEST * LIFETIME)
    assert upstream.stats(long["client_id"])["requests"] == 1
