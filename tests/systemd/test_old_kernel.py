# SPDX-License-Identifier: MIT
"""Rules on units as on Debian 12's own kernel, which cannot say for sure who connected, and under ProtectProc= besides."""

import pathlib

import pytest

from boxlib.installed import PROGRAM
from lib.profiles import vipps

WRAPPER = "/usr/local/libexec/bearerd-old-kernel"
SOURCE = pathlib.Path(__file__).resolve().parents[1] / "system/lib/old_kernel.py"
# With the ids of systemd's sysctl.d; with the kernel's own 32768 a hidden process can never be told for sure.
PID_MAX_WANTED = 4194304

DROP_IN = f"""
[Service]
ExecStart=
ExecStart=/usr/bin/python3 -I {WRAPPER} {PROGRAM}
ExecPaths=/usr/bin
"""


@pytest.fixture
def ruled(service, upstream):
    if int(service.box.sh("cat", "/proc/sys/kernel/pid_max").stdout) != PID_MAX_WANTED:
        pytest.skip("the machine's kernel.pid_max is not as systemd sets it, and a box cannot have its own")
    service.box.copy(SOURCE, WRAPPER)
    service.drop_in("old-kernel", DROP_IN)
    vipps(service, "shop", upstream, upstream.vipps_client(), allow="unit:web.service")
    return service.start()


def test_the_unit_is_found(ruled):
    assert ruled.token(user="nobody", unit="web.service") == 200
    assert ruled.token(user="nobody", unit="other.service") == 404
    assert ruled.wait_event("access-denied", PEER_UNIT="other.service")


def test_it_is_found_every_time(ruled):
    """Also the first time after a long silence, and many times in a row."""
    script = "for i in $(seq 30); do bearerctl token shop >/dev/null || exit 1; done; sleep 3; exec bearerctl token shop"
    assert ruled.box.run("sh", "-c", script, unit="web.service").stdout.strip()
