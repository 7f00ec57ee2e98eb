# SPDX-License-Identifier: MIT
"""bearerctl keys, where storing goes wrong: what was there before stays, all of it, and nothing lies about in the clear."""

import fcntl
import os
import signal
import subprocess
import time

import pytest
from lib.ctl import bearerctl, environment  # noqa: F401 (fixtures)
from lib.keystore import encrypting, store  # noqa: F401 (fixtures)
from lib.keystore import names
from lib.settings import PATIENCE

pytestmark = pytest.mark.needs_root

SECRET = "hunter2-hunter2-hunter2-hunter2"
SUBSCRIPTION = "0123456789abcdef0123456789abcdef"


def answer_all(terminal):
    """The two keys that Provider=vipps cannot do without."""
    terminal.answer("client secret: ", SECRET + "\n")
    terminal.answer("next client secret (optional; Enter skips it): ", "\n")
    terminal.answer("subscription key: ", SUBSCRIPTION + "\n")
    terminal.answer("secondary subscription key (optional; Enter skips it): ", "\n")
    terminal.answer("API subscription key (optional; Enter skips it): ", "\n")


# ---- systemd-creds ----


def test_what_does_not_decrypt_is_not_stored_as_encrypted(store):
    """A systemd-creds that says that it encrypts, and does not."""
    path = store.instead_of_systemd_creds("[ $1 = encrypt ] && echo nonsense && exit 0", "echo 'bad key' >&2; exit 1")
    store.profile("shop", provider="vipps-oauth")
    done = store.run("keys", "shop", "client-secret", stdin=SECRET, path=path)
    assert "cannot be encrypted here: bad key" in done.stderr
    assert names(store.encrypted) == [] and names(store.plain) == ["shop.client-secret"]


def test_the_last_words_of_many_are_told(store):
    path = store.instead_of_systemd_creds("seq 10000 >&2", "echo 'no key here' >&2; exit 1")
    store.profile("shop", provider="vipps-oauth")
    assert "cannot be encrypted here: no key here\n" in store.run("keys", "shop", "client-secret", stdin=SECRET, path=path).stderr


def test_nobody_who_knows_the_key_leaves_a_core(store):
    path = store.instead_of_systemd_creds("grep core /proc/self/limits >&2; exit 1")
    store.profile("shop", provider="vipps-oauth")
    done = store.run("keys", "shop", "client-secret", stdin=SECRET, path=path)
    # Where less is allowed already, it stays so.
    assert done.stderr.splitlines()[0].split()[-3:] in (["1", "1", "bytes"], ["0", "0", "bytes"])


def test_where_systemd_creds_is_killed_nothing_is_stored_in_the_clear(store):
    """That tells nothing about whether this machine can encrypt."""
    path = store.instead_of_systemd_creds("kill -9 $$")
    store.profile("shop", provider="vipps-oauth")
    done = store.run("keys", "shop", "client-secret", stdin=SECRET, path=path)
    assert done.returncode == 1
    assert "not stored: systemd-creds was killed" in done.stderr
    assert names(store.encrypted) == names(store.plain) == []


def test_a_caller_that_ignores_its_children_does_not_matter(store):
    """SIGCHLD stays ignored through exec: then nobody would learn how systemd-creds ended."""
    path = store.instead_of_systemd_creds("kill -9 $$")
    store.profile("shop", provider="vipps-oauth")
    caller = ["env", "--ignore-signal=CHLD", f"PATH={path}"]
    done = store.command(*caller, store.bearerctl, "keys", "shop", "client-secret", stdin=SECRET)
    assert "not stored: systemd-creds was killed" in done.stderr


def test_one_that_fails_for_the_second_key_leaves_the_first_as_it_was(store):
    path = store.instead_of_systemd_creds(
        "case $2 in *subscription-key*) echo 'out of luck' >&2; exit 1;; esac", 'exec /usr/bin/systemd-creds "$@"')
    store.profile("shop")
    terminal = store.ask("shop", path=path)
    answer_all(terminal)
    status, shown = terminal.end()
    assert status == 1, shown
    assert "not stored: out of luck" in shown
    assert names(store.encrypted) == names(store.plain) == []


def test_one_that_hangs_can_be_left(store):
    path = store.instead_of_systemd_creds("echo hanging >/dev/tty", "exec sleep 1000")
    store.profile("shop", provider="vipps-oauth")
    terminal = store.ask("shop", "client-secret", path=path)
    terminal.answer("client secret: ", SECRET + "\n")
    terminal.expect("hanging")
    terminal.type("\x03")
    assert terminal.end()[0] == -signal.SIGINT
    assert names(store.encrypted) == names(store.plain) == []


# ---- folders and files ----


def test_a_folder_that_others_can_write_is_refused(store):
    store.profile("shop")
    store.encrypted.mkdir(mode=0o700)
    store.encrypted.chmod(0o777)
    done = store.run("keys", "shop", "client-secret", stdin=SECRET)
    assert done.returncode == 1
    assert "can be written by others; run: chmod 0700 /etc/bearerd/credentials" in done.stderr
    assert names(store.encrypted) == names(store.plain) == []
    assert "can be written by others" in store.run("keys", "--list").stderr


def test_a_folder_of_somebody_else_is_refused(store):
    store.profile("shop")
    store.encrypted.mkdir(mode=0o700)
    os.chown(store.encrypted, 4242, 4242)
    done = store.run("keys", "shop", "client-secret", stdin=SECRET)
    assert done.returncode == 1
    assert "is owned by uid 4242, who could change what is in it; run: chown root /etc/bearerd/credentials" in done.stderr
    assert names(store.encrypted) == names(store.plain) == []
    assert "is owned by uid 4242" in store.run("keys", "--list").stderr


@pytest.mark.parametrize("prepare, words", [
    ('mount -t tmpfs -o mode=0700,size=8k tmpfs "$1"; cp "$2" "$1/shop.client-secret"; cat /dev/zero >"$1/fill" 2>/dev/null',
     "cannot write a file in /etc/bearerd/credentials: No space left on device"),
    ('mount -t tmpfs -o mode=0700 tmpfs "$1"; cp "$2" "$1/shop.client-secret"; mount -o remount,ro "$1"',
     "cannot make a file in /etc/bearerd/credentials: Read-only file system"),
], ids=["full", "read-only"])
def test_a_disk_that_takes_nothing_keeps_the_old_key_and_gets_none_in_the_clear(encrypting, prepare, words):
    """A full disk is no reason to think that keys cannot be encrypted."""
    encrypting.profile("shop", provider="vipps-oauth")
    assert encrypting.run("keys", "shop", "client-secret", stdin=SECRET).returncode == 0
    kept = encrypting.etc / "kept"
    kept.write_bytes((encrypting.encrypted / "shop.client-secret").read_bytes())
    script = f"""{prepare}
        printf other | "$3" keys shop client-secret; echo "status $?"
        cmp "$1/shop.client-secret" "$2" && ls -A "$1" /etc/bearerd"""
    done = encrypting.command("sh", "-c", script, "sh", "/etc/bearerd/credentials", "/etc/bearerd/kept", encrypting.bearerctl)
    assert "status 1" in done.stdout and words in done.stderr, done.stderr
    assert {"shop.client-secret", "kept"} <= set(done.stdout.split())
    assert not {".shop.client-secret.new", "keys"} & set(done.stdout.split())


@pytest.mark.parametrize("umask", ["0000", "0777"])
def test_modes_do_not_depend_on_the_umask(encrypting, umask):
    encrypting.profile("shop", provider="vipps-oauth")
    script = f"umask {umask}; exec $0 keys shop client-secret"
    assert encrypting.command("sh", "-c", script, encrypting.bearerctl, stdin=SECRET).returncode == 0
    modes = [path.stat().st_mode & 0o7777 for path in (encrypting.encrypted, encrypting.encrypted / "shop.client-secret")]
    assert modes == [0o700, 0o600]


def test_a_folder_in_the_way_of_one_key_leaves_the_other_as_it_was(encrypting):
    encrypting.profile("shop")
    (encrypting.encrypted / "shop.subscription-key").mkdir(parents=True)
    terminal = encrypting.ask("shop", "client-secret", "subscription-key")
    terminal.answer("client secret: ", SECRET + "\n")
    terminal.answer("subscription key (stored", SUBSCRIPTION + "\n")
    status, shown = terminal.end()
    assert status == 1 and "not stored: /etc/bearerd/credentials/shop.subscription-key is a folder" in shown
    assert names(encrypting.encrypted) == ["shop.subscription-key"]


def test_what_a_killed_one_left_is_swept_away(encrypting):
    encrypting.profile("shop", provider="vipps-oauth")
    encrypting.encrypted.mkdir(mode=0o700)
    (encrypting.encrypted / ".shop.client-secret.new").write_text("half of")
    assert encrypting.run("keys", "shop", "client-secret", stdin=SECRET).returncode == 0
    assert names(encrypting.encrypted) == ["shop.client-secret"]
    assert encrypting.decrypt("shop.client-secret") == SECRET


def is_waited_for(path):
    """Whether somebody waits for the lock of this file."""
    inode = f":{path.stat().st_ino} "
    with open("/proc/locks", encoding="ascii") as locks:
        return any("->" in line and inode in line for line in locks)


def test_two_at_a_time_go_one_after_the_other(encrypting):
    encrypting.profile("shop", provider="vipps-oauth")
    encrypting.encrypted.mkdir(mode=0o700)
    folder = os.open(encrypting.encrypted, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with subprocess.Popen(encrypting._command([encrypting.bearerctl, "keys", "shop", "client-secret"]), text=True,
                          stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=encrypting.environment) as process:
        process.stdin.write(SECRET)
        process.stdin.close()
        deadline = time.monotonic() + PATIENCE
        while not is_waited_for(encrypting.encrypted):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        assert names(encrypting.encrypted) == []
        os.close(folder)
        assert process.wait(PATIENCE) == 0
    assert encrypting.decrypt("shop.client-secret") == SECRET
