# SPDX-License-Identifier: MIT
"""Fixtures of the system tests. Run: /usr/bin/python3 -m pytest tests/system [-n 4]; lib/settings.py has the knobs."""

import os
import pathlib
import resource
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "standin")]

from client import Standin  # noqa: E402
from lib.daemon import Daemon  # noqa: E402
from lib.settings import BEARERD, TIME_FACTOR, WRAPPER, is_sanitized  # noqa: E402

N_FILES = 8192  # descriptors: a thousand connections, and room


def pytest_configure(config):
    config.addinivalue_line("markers", "needs_root: acts as other users, or looks into the daemon's memory")
    config.addinivalue_line("markers", "plain_build: says nothing about a build with sanitizers or under valgrind")
    if not BEARERD.exists():
        raise pytest.UsageError(f"no daemon at {BEARERD}: build it, or set BEARERD")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < N_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(N_FILES, hard), hard))


def pytest_collection_modifyitems(items):
    is_odd = bool(WRAPPER) or is_sanitized()
    for item in items:
        if item.get_closest_marker("needs_root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
        if item.get_closest_marker("plain_build") and is_odd:
            item.add_marker(pytest.mark.skip(reason="not with sanitizers or under valgrind"))


@pytest.fixture(scope="session")
def shared_upstream():
    """One stand-in for all tests that touch nothing but their own clients."""
    with Standin(max_seconds=int(3600 * TIME_FACTOR)) as one:
        yield one
        assert one.stderr == "", "the stand-in complained"


@pytest.fixture
def upstream(shared_upstream):
    """The shared stand-in, for a test that limits its faults to its own clients; they are removed afterwards."""
    before = {rule["id"] for rule in shared_upstream.faults()}
    yield shared_upstream
    for rule in shared_upstream.faults():
        if rule["id"] not in before:
            shared_upstream.clear(rule["id"])


@pytest.fixture
def own_upstream():
    """A stand-in of the test's own: it may go down, change its clock, or have nobody else ask it."""
    with Standin() as one:
        yield one


@pytest.fixture
def daemon():
    """A daemon that is not started yet; its orderly end is asserted."""
    with Daemon() as one:
        yield one
