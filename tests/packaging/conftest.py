# SPDX-License-Identifier: MIT
"""Fixtures of the tests of the packages: /usr/bin/python3 -m pytest tests/packaging

BEARERD_DEBS is a folder with packages of this tree that packaging/build-deb made; without, they are built, in a minute.
They are installed in boxes alone (tests/systemd/boxlib), never on this machine.
"""

import os
import pathlib
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "systemd"), str(HERE.parent / "system"), str(HERE.parent / "standin")]

from boxlib.box import Box, Unable  # noqa: E402
from boxlib.network import BoxStandin  # noqa: E402
from clones import build_as_anybody, commit_before, fresh_clone  # noqa: E402
from deb import Packages, build, install, let_install  # noqa: E402
from shop import add_profile  # noqa: E402


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """The Debian packages of this tree."""
    folder = os.environ.get("BEARERD_DEBS")
    return Packages(pathlib.Path(folder) if folder else build(tmp_path_factory.mktemp("deb")))


@pytest.fixture(scope="session")
def clone(packages):
    """A fresh clone in which the README's first command has been run, by no special user. The path has blanks."""
    with tempfile.TemporaryDirectory(prefix="bd-my clone ") as folder:
        one = fresh_clone(pathlib.Path(folder), packages.version)
        build_as_anybody(one)
        yield one


@pytest.fixture(scope="session")
def previous(tmp_path_factory):
    """The packages of the commit before; skips where there is none."""
    folder = tmp_path_factory.mktemp("previous")
    return Packages(build(folder / "deb", tree=commit_before(folder / "clone")))


@pytest.fixture
def box(packages):
    """A fresh system where nothing of ours is installed, and the packages lie in /debs."""
    try:
        with Box() as one:
            packages.put_into(one)
            let_install(one)
            yield one
    except Unable as error:
        pytest.skip(f"no box: {error}")


@pytest.fixture
def installed(box):
    """The system with the packages, and no profile."""
    install(box)
    return box


@pytest.fixture
def upstream(box):
    with BoxStandin(box, max_seconds=600) as one:
        yield one


@pytest.fixture
def client(upstream):
    """The keys of the profile `shop`."""
    return upstream.vipps_client(msn="123456")


@pytest.fixture
def running(installed, upstream, client):
    """The system with the packages, the profile `shop`, its keys and a token."""
    add_profile(installed, upstream, client)
    installed.ctl("start", "bearerd.service")
    installed.sh("bearerctl", "wait", "shop", "--timeout", "30s")
    return installed
