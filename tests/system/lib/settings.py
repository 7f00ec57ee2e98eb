# SPDX-License-Identifier: MIT
"""Where the tests find what they test, and how patient they are. From the environment:

BEARERD, BEARERCTL       the binaries; default build/daemon/bearerd and build/client/bearerctl of this tree
BEARERD_WRAPPER          a command put before the daemon, e.g. "valgrind -q --error-exitcode=99"
BEARERD_TIME_FACTOR      how much slower than a plain build everything may be (valgrind: 10 or more)
"""

import os
import pathlib
import shlex

ROOT = pathlib.Path(__file__).resolve().parents[3]
BEARERD = pathlib.Path(os.environ.get("BEARERD", ROOT / "build/daemon/bearerd"))
BEARERCTL = pathlib.Path(os.environ.get("BEARERCTL", ROOT / "build/client/bearerctl"))
WRAPPER = shlex.split(os.environ.get("BEARERD_WRAPPER", ""))
TIME_FACTOR = float(os.environ.get("BEARERD_TIME_FACTOR", "10" if WRAPPER else "1"))

# How long a test waits for what must come. Never reached when all is well, so it may be long.
PATIENCE = 30 * TIME_FACTOR


def is_sanitized():
    """Whether the daemon was built with ASan: its memory is then not laid out as in earnest."""
    return b"__asan_init" in BEARERD.read_bytes()
