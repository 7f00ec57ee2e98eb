# SPDX-License-Identifier: MIT
"""bearerd.service in a box, as its users have it: settings in /etc/bearerd, systemctl, clients in units of their own.

Has what the helpers for profiles of the other system tests ask for (lib/profiles.py: key(), profile()).
"""

import json
import time

from lib.daemon import settings_text

from .box import PATIENCE

UNIT = "bearerd.service"
SOCKET_UNIT = "bearerd.socket"
CREDENTIALS = "bearerd-credentials.service"
SOCKET = "/run/bearerd/bearerd.sock"
DROP_INS = f"/run/systemd/system/{UNIT}.d"
EXIT_CONFIG = 78

# One request, with the answer on stdout: what a client in any language does.
CLIENT = """
import http.client, json, socket, sys
path, method, target, *headers = sys.argv[1:]
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(path)
connection = Connection("localhost")
connection.request(method, target, headers=dict(one.split(": ", 1) for one in headers))
answer = connection.getresponse()
print(json.dumps({"status": answer.status, "headers": dict(answer.getheaders()), "body": answer.read().decode()}))
""".replace("TIMEOUT", str(PATIENCE))


def client_command(target, method="GET", headers=(), socket=SOCKET):
    """The command line of one request; headers as they are written."""
    return ["/usr/bin/python3", "-I", "-c", CLIENT, str(socket), method, target, *headers]


class Service:
    """The service of one test. close() leaves the box as it was found."""

    def __init__(self, box):
        self.box = box
        self.since = box.mark()

    # --- settings ----------------------------------------------------------------------------------------------------

    def main(self, text):
        """/etc/bearerd/bearerd.conf."""
        self.box.write("/etc/bearerd/bearerd.conf", text)

    def profile(self, name, sections):
        """A profile's file, from a dict of sections or a text."""
        text = sections if isinstance(sections, str) else settings_text(sections)
        self.box.write(f"/etc/bearerd/profiles.d/{name}.conf", text)

    def key(self, name, value):
        """A key file; its path there."""
        path = f"/etc/bearerd/keys/{name}"
        self.box.write(path, value, mode=0o400)
        self.box.sh("chown", "bearerd:", path)
        return path

    def credential(self, name, value, encrypted_as=None):
        """Stores a key encrypted, as `bearerctl keys` does."""
        self.box.sh(
            "systemd-creds", "encrypt", "--with-key=host", f"--name={encrypted_as or 'PROFILE_' + name}", "-",
            f"/etc/bearerd/credentials/{name}", input=value,
        )  # fmt: skip

    def drop_in(self, name, text):
        """Changes the unit, until the test is over."""
        self.box.write(f"{DROP_INS}/{name}.conf", text)
        self.box.ctl("daemon-reload")

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self):
        done = self.box.ctl("start", UNIT, check=False)
        assert done.returncode == 0, f"{done.stderr}{self.words()}"
        return self

    def fail_to_start(self):
        """The start fails; what systemctl says."""
        done = self.box.ctl("start", UNIT, check=False)
        assert done.returncode != 0
        return done.stderr

    def show(self, *properties):
        return self.box.show(UNIT, *properties)

    @property
    def pid(self):
        """In the box's numbers."""
        return int(self.show("MainPID"))

    def words(self):
        return self.box.words(UNIT, self.since)

    def wait_event(self, event, **fields):
        """The first entry of this test's daemon with this EVENT=."""
        return self.box.wait_journal(self.since, EVENT=event, _SYSTEMD_UNIT=UNIT, **fields)

    def events(self, event, **fields):
        return self.box.journal(self.since, EVENT=event, _SYSTEMD_UNIT=UNIT, **fields)

    def close(self):
        box = self.box
        box.ctl("stop", UNIT, SOCKET_UNIT, CREDENTIALS, check=False)
        box.ctl("reset-failed", check=False)
        folders = ["/etc/bearerd/profiles.d", "/etc/bearerd/keys", "/etc/bearerd/credentials", "/run/bearerd-credentials"]
        box.sh("find", *folders, DROP_INS, "/etc/bearerd/bearerd.conf", "-not", "-type", "d", "-delete", check=False)
        box.ctl("daemon-reload")

    # --- clients -----------------------------------------------------------------------------------------------------

    def answer(self, target, user="root", unit=None, method="GET", headers=(), socket=SOCKET, groups=("bearerd",), **run):
        """One request by a client of this user, in a unit of this name: "status", "headers", "body", read where it is JSON."""
        properties = [] if user == "root" else ["SupplementaryGroups=" + " ".join(groups)]
        command = client_command(target, method, headers, socket)
        return read_answer(self.box.run(*command, user=user, unit=unit, properties=properties, **run).stdout)

    def ask(self, target, **answer):
        """The same; (status, body)."""
        value = self.answer(target, **answer)
        return value["status"], value["body"]

    def token(self, profile="shop", **ask):
        """The status of a request for a token."""
        return self.ask(f"/v1/profiles/{profile}/token", **ask)[0]

    def status(self, profile="shop"):
        """What the admin sees of a profile."""
        code, body = self.ask(f"/v1/profiles/{profile}")
        assert code == 200, body
        return body

    def wait_status(self, profile="shop", **wanted):
        """Until these members of a profile's status have these values."""
        deadline = time.monotonic() + PATIENCE
        while any((status := self.status(profile))[name] != value for name, value in wanted.items()):
            assert time.monotonic() < deadline, status


def read_answer(text):
    """What CLIENT printed."""
    value = json.loads(text)
    if value["body"].startswith(("{", "[")):
        value["body"] = json.loads(value["body"])
    return value
