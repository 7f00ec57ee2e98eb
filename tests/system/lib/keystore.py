# SPDX-License-Identifier: MIT
"""bearerctl keys in a machine of its own, as far as keys go: its /etc/bearerd, its users, its host key, its /run.

A mount namespace for each program; the folders are the test's and can be looked into. Nothing of the machine changes.
The fixtures are for the test files to import: store, encrypting (with bearerctl and environment from lib.ctl).
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from .settings import PATIENCE
from .terminal import Terminal

UID = 64201  # of "bearerd"

# $1 is the folder. Its disk is a real one (/var/tmp), because systemd-creds makes no host key on a temporary one.
NAMESPACE = f"""
set -e
mount -t tmpfs tmpfs "$1/over"
mkdir "$1/over/upper" "$1/over/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/over/upper,workdir=$1/over/work" /etc
grep -v '^bearerd:' /etc/passwd >/etc/passwd.new || true
echo 'bearerd:x:{UID}:{UID}::/:/usr/sbin/nologin' >>/etc/passwd.new
mv /etc/passwd.new /etc/passwd
mkdir -p /etc/bearerd
mount --bind "$1/etc" /etc/bearerd
mount --bind "$1/secret" /var/lib/systemd
mount --bind "$1/run" /run
shift
exec "$@"
"""


class KeyStore:
    def __init__(self, bearerctl, environment):
        self.folder = Path(tempfile.mkdtemp(prefix="keys-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        for name in ("etc", "etc/profiles.d", "secret", "run", "over"):
            (self.folder / name).mkdir(mode=0o755)
        self.etc = self.folder / "etc"
        self.encrypted = self.etc / "credentials"
        self.plain = self.etc / "keys"
        self.passed = self.folder / "run/credentials/bearerd.service"
        self.bearerctl = bearerctl
        self.environment = environment
        self.terminals = []

    def close(self):
        for terminal in self.terminals:
            terminal.close()
        shutil.rmtree(self.folder)

    def _command(self, arguments):
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", NAMESPACE, "sh", str(self.folder),
                *map(str, arguments)]

    def command(self, *arguments, env=None, stdin="", **more):
        """Any program in there, to its end."""
        return subprocess.run(self._command(arguments), input=stdin, capture_output=True, text=True, timeout=PATIENCE,
                              env=self.environment | (env or {}), check=False, **more)

    def run(self, *arguments, path=None, **more):
        """bearerctl in there. `path`: another $PATH, for it alone."""
        prefix = ["env", f"PATH={path}"] if path else []
        done = self.command(*prefix, self.bearerctl, *arguments, **more)
        assert "Sanitizer" not in done.stderr, done.stderr
        return done

    def ask(self, *arguments, path=None, **more):
        """bearerctl keys, at a terminal. `path`: another $PATH, for it alone."""
        prefix = ["env", f"PATH={path}"] if path else []
        terminal = Terminal(self._command([*prefix, self.bearerctl, "keys", *arguments]), self.environment, **more)
        self.terminals.append(terminal)
        return terminal

    def shell(self, *command):
        """A shell in there, at a terminal."""
        self.terminals.append(Terminal(self._command(command), self.environment))
        return self.terminals[-1]

    def instead_of_systemd_creds(self, *lines):
        """A $PATH where systemd-creds is this shell script."""
        folder = self.folder / "bin"
        folder.mkdir()
        (folder / "systemd-creds").write_text("\n".join(["#!/bin/sh", *lines, ""]))
        (folder / "systemd-creds").chmod(0o755)
        return f"{folder}:/usr/bin:/bin"

    def decrypt(self, name):
        """The key in a stored file, as systemd would pass it to the service."""
        done = self.command("systemd-creds", "decrypt", f"--name=PROFILE_{name}", f"/etc/bearerd/credentials/{name}", "-")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def profile(self, name, *lines, provider="vipps"):
        """Settings of a profile with these lines in [Keys]."""
        upstream = "TokenURL=https://issuer.example/t\nClientAuth=private-key-jwt" if provider == "oauth2" else \
            "Environment=test"
        (self.etc / f"profiles.d/{name}.conf").write_text("\n".join([
            "[Profile]", f"Provider={provider}", upstream, "[Access]", "Allow=any", "[Keys]", "ClientID=me", *lines, ""]))

    def restart(self):
        """What a start of the service does with what is stored: decrypts it for the daemon."""
        self.passed.mkdir(parents=True, exist_ok=True)
        for path in self.encrypted.iterdir():
            (self.passed / f"PROFILE_{path.name}").write_text(self.decrypt(path.name))


@pytest.fixture
def store(bearerctl, environment):
    one = KeyStore(bearerctl, environment)
    yield one
    one.close()


@pytest.fixture
def encrypting(store):
    """A store where systemd-creds works, as it does on a machine with a disk."""
    done = store.command("systemd-creds", "encrypt", "--name=probe", "-", "-", stdin="probe")
    if done.returncode != 0:
        pytest.skip(f"systemd-creds cannot encrypt here: {done.stderr.strip()}")
    return store


def names(folder):
    """All that is in a folder, also what is hidden."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
