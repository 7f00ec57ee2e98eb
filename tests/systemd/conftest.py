# SPDX-License-Identifier: MIT
"""Fixtures of the tests in a real systemd. Run as root: /usr/bin/python3 -m pytest tests/systemd [-n 2]

BEARERD_DEBS is a folder with the Debian packages that are tested; without, BEARERD_BUILD is the build folder whose programs
and units are (build). Where there can be no box, every test is
skipped, with the reason.
"""

import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system"), str(HERE.parent / "standin")]

from boxlib.box import Box, Unable  # noqa: E402
from boxlib.installed import install  # noqa: E402
from boxlib.kept import Kept  # noqa: E402
from boxlib.network import BoxStandin  # noqa: E402
from boxlib.probe import install_probe  # noqa: E402
from boxlib.service import Service  # noqa: E402
from lib.profiles import vipps  # noqa: E402


@pytest.fixture(scope="session")
def empty_box():
    """A box where nothing of ours is installed."""
    try:
        with Box() as one:
            yield one
    except Unable as error:
        pytest.skip(f"no box: {error}")


@pytest.fixture(scope="session")
def box(empty_box):
    """The one box of all tests of this process, with the project installed."""
    install(empty_box)
    return empty_box


@pytest.fixture(scope="session")
def upstream(box):
    """The stand-in, in the network of the box. Tests limit its faults to clients of their own."""
    with BoxStandin(box, max_seconds=1800) as one:
        yield one


@pytest.fixture
def service(box):
    """bearerd.service without a profile, not started."""
    one = Service(box)
    yield one
    one.close()


@pytest.fixture
def shop(service, upstream):
    """The same with the profile `shop`, open to everybody."""
    vipps(service, "shop", upstream, upstream.vipps_client())
    return service


@pytest.fixture
def kept(service, upstream):
    """The same, and what its callers had before something happened."""
    return Kept(service, upstream)


@pytest.fixture(scope="session")
def probe(box, tmp_path_factory):
    """Tells from inside a sandbox what can be done there: a program in the box."""
    return install_probe(box, tmp_path_factory.mktemp("probe"))
