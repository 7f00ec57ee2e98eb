# SPDX-License-Identifier: MIT
"""The socket file: made with the mode and group that are set or not at all, and never taken from somebody alive."""

import os
import socket
import stat

import pytest
from lib import profiles
from lib.daemon import Daemon


@pytest.fixture
def shop(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    return daemon


def refused(daemon, *words, status=1):
    """A start that fails, and says why and what to do."""
    result = daemon.run()
    assert result.returncode == status, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr
    assert not [name for name in os.listdir(daemon.run_folder) if name.startswith(".")], "half a socket was left"


@pytest.mark.parametrize("mode", [0o660, 0o600, 0o666, 0o620])
def test_mode(shop, mode):
    old_mask = os.umask(0o777)
    try:
        shop.main(SocketMode=f"{mode:04o}")
        os.umask(0o077)
        shop.start()
    finally:
        os.umask(old_mask)
    found = shop.socket.stat()
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == mode
    assert found.st_uid == os.geteuid()
    assert os.listdir(shop.run_folder) == ["s"]


@pytest.mark.needs_root
def test_group(shop):
    shop.main(SocketGroup="3100000009")
    shop.start()
    assert shop.socket.stat().st_gid == 3100000009
    shop.stop()
    shop.main(SocketGroup="daemon")
    shop.start()
    assert shop.socket.group() == "daemon"


def test_a_group_that_is_not_there(shop):
    shop.main(SocketGroup="no-such-group")
    refused(shop, 'bearerd.conf:4: error: SocketGroup= names the group "no-such-group"', status=78)


@pytest.mark.needs_root
def test_a_group_that_may_not_be_given(shop):
    """As an ordinary user: it refuses to start rather than serve with another group than it was told."""
    for path in (shop.run_folder, shop.key_folder, *shop.key_folder.iterdir()):
        os.chown(path, 65534, 65534)
    shop.main(SocketGroup="root", access={"Admin": "user:65534"})
    result = shop.run(user=65534, group=65534, extra_groups=[])
    assert result.returncode == 1
    assert "cannot give the socket to group root" in result.stderr
    assert os.listdir(shop.run_folder) == []


@pytest.mark.needs_root
def test_without_root(shop):
    for path in (shop.run_folder, shop.key_folder, *shop.key_folder.iterdir()):
        os.chown(path, 65534, 65534)
    shop.main(SocketGroup="65534", SocketMode="0666", access={"Admin": "user:0"})
    shop.start(user=65534, group=65534, extra_groups=[])
    assert shop.get("/v1/profiles/shop/token").status == 200
    assert shop.socket.stat().st_uid == 65534


def test_a_socket_that_is_served_is_left_alone(shop, upstream):
    shop.start()
    inode = shop.socket.stat().st_ino
    refused(shop, f"{shop.socket}: another process serves this socket")
    assert shop.socket.stat().st_ino == inode
    assert shop.get("/healthz").status == 200


def test_a_socket_of_somebody_else_is_left_alone(shop):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(shop.socket))
        other.listen()
        refused(shop, "another process serves this socket")
        assert shop.socket.exists()


def test_a_stale_socket_is_replaced(shop):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(shop.socket))
    shop.start()
    assert shop.get("/healthz").status == 200


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(shop, kind):
    if kind == "file":
        shop.socket.write_text("precious")
    elif kind == "folder":
        shop.socket.mkdir()
    else:
        shop.socket.symlink_to("/nowhere")
    refused(shop, f"{shop.socket}: is there and is no socket")
    assert kind != "file" or shop.socket.read_text() == "precious"
    assert os.path.lexists(shop.socket)


def test_the_folder_is_made(shop):
    shop.run_folder.rmdir()
    shop.start()
    assert stat.S_IMODE(shop.run_folder.stat().st_mode) == 0o755
    assert shop.get("/healthz").status == 200


def test_a_folder_that_cannot_be_made(shop):
    shop.main(Socket="/nowhere/at/all/s")
    refused(shop, "/nowhere/at/all: cannot make the socket's folder")


def test_a_path_that_is_too_long(shop):
    shop.main(Socket="/tmp/" + "x" * 120)
    result = shop.run()
    assert result.returncode == 78
    assert "Socket= must be an absolute path of at most 107 bytes" in result.stderr


def test_the_option_goes_before_the_setting(shop):
    elsewhere = shop.folder / "elsewhere"
    shop.main(Socket="/nowhere/at/all/s")
    shop.socket = elsewhere
    shop.start("--socket", elsewhere)
    assert shop.get("/healthz").status == 200


def test_a_socket_that_was_taken_away_is_not_removed_at_the_end(shop):
    """Somebody else's file at that path is somebody else's."""
    shop.start()
    shop.socket.unlink()
    shop.socket.write_text("another's")
    shop.signal(15)
    assert shop.wait_exit() == 0
    assert shop.socket.read_text() == "another's"


def test_two_at_once(shop, upstream):
    """Both start, one serves, the other gives way."""
    with Daemon() as other:
        profiles.vipps(other, "shop", upstream, upstream.vipps_client())
        other.main(Socket=shop.socket)
        shop.start(wait=False)
        other.start(wait=False)
        loser = other if other.process.poll() is not None else None
        while loser is None:
            for one, two in ((shop, other), (other, shop)):
                if one.process.poll() is not None:
                    loser = one
        winner = shop if loser is other else other
        assert loser.wait_exit() == 1
        winner.socket = shop.socket
        winner.wait_ready()
        assert winner.get("/healthz").status == 200
        winner.stop()
