# SPDX-License-Identifier: MIT
"""Fixtures of the tests of the packages: /usr/bin/python3 -m pytest tests/packaging

BEARERD_DEBS is a folder with packages of this tree that packaging/build-deb made; without, they are built, in a minute.
They are installed in boxes alone (tests/systemd/boxlib), never on this machine.
"""

import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "systemd"), str(HERE.parent / "system"), str(HERE.parent / "standin")]

from boxlib.box import Box, Unable  # noqa: E402
from deb import Packages, build  # noqa: E402


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """The Debian packages of this tree."""
    folder = os.environ.get("BEARERD_DEBS")
    return Packages(pathlib.Path(folder) if folder else build(tmp_path_factory.mktemp("deb")))


@pytest.fixture
def box(packages):
    """A fresh system, where the packages lie in /debs and nothing of ours is installed."""
    try:
        with Box() as one:
            packages.put_into(one)
            yield one
    except Unable as error:
        pytest.skip(f"no box: {error}")
