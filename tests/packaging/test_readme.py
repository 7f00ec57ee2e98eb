# SPDX-License-Identifier: MIT
"""The README's way from a clone to a first token, each command as it is written there, at a terminal.

What has to be replaced: `editor` is a program that writes what a person would, and the profile asks the stand-in upstream,
because no machine of ours has keys of a real one.
"""

import re

import pytest
from boxlib.box import ENVIRONMENT
from clones import README, readme_commands
from deb import ROOT
from lib.terminal import Terminal

COMMANDS = readme_commands("Use it")
MAX_COMMANDS = 12
AT = "/srv/my clone/bearerd"

EDITOR = """#!/bin/sh -e
[ "$*" = /etc/bearerd/profiles.d/shop.conf ]
sed -i -e 's|^Environment=.*|BaseURL={url}|' -e 's|^ClientID=.*|ClientID={client_id}|' \\
    -e 's|^Merchant-Serial-Number=.*|Merchant-Serial-Number={msn}|' -e 's|^Allow=.*|Allow=user:www-data|' "$1"
"""


class Person:
    """Somebody at a terminal in the box."""

    def __init__(self, box, user="root", folder=AT):
        self._box = box
        self._folder = folder
        self._as_user = [] if user == "root" else ["setpriv", "--reuid", user, "--regid", user, "--init-groups"]

    def run(self, command, answers=()):
        """Types a command, and what it asks for; what was shown. The command must succeed."""
        line = self._box.entered([*self._as_user, "bash", "-c", f'cd "{self._folder}" && {command}'])
        terminal = Terminal(line, {**ENVIRONMENT, "TERM": "dumb", "HOME": "/root"})
        try:
            shown = "".join(terminal.answer(prompt, text + "\n") for prompt, text in answers)
            status, rest = terminal.end()
        finally:
            terminal.close()
        assert status == 0, f"{command}: {shown}{rest}"
        return shown + rest


def what_keys_asks(client):
    return [
        ("client secret: ", client["client_secret"]),
        ("next client secret (optional; Enter skips it): ", ""),
        ("subscription key: ", client["subscription_keys"][0]),
        ("secondary subscription key (optional; Enter skips it): ", ""),
        ("API subscription key (optional; Enter skips it): ", ""),
    ]


def without_remark(line):
    return re.sub(r"  +# .*", "", line)


def test_the_way_is_short():
    """And has every step: packages, a profile, its keys, a check, a start, a look."""
    assert len(COMMANDS) <= MAX_COMMANDS
    words = [without_remark(line).split(" ")[0] for line in COMMANDS]
    assert words[:2] == ["packaging/build-deb", "apt"]
    assert {"bearerctl keys shop", "bearerctl check", "bearerctl status"} <= {without_remark(line) for line in COMMANDS}
    assert any(line.startswith("systemctl enable --now bearerd") for line in COMMANDS)


def test_the_readme_for_debian_tells_the_same_way():
    text = (ROOT / "packaging/debian/bearerd.README.Debian").read_text()
    told = re.search(r"((?:^    .*\n)+)", text, re.MULTILINE)[1].splitlines()
    after_install = [without_remark(line) for line in COMMANDS if not line.startswith(("packaging/", "apt "))]
    assert [without_remark(line).strip() for line in told] == after_install


@pytest.fixture
def newcomer(box, clone, upstream, client):
    """A person on a machine where the clone is, and its first command has been run (see the fixture)."""
    box.copy(clone, AT)
    values = {"url": upstream.http, "client_id": client["client_id"], "msn": "123456"}
    box.write("/usr/local/bin/editor", EDITOR.format(**values), mode=0o755)
    return Person(box)


def test_the_way_leads_to_a_token(newcomer, box, upstream, client):
    shown = ""
    for line in COMMANDS[1:]:
        shown = newcomer.run(line, what_keys_asks(client) if line.startswith("bearerctl keys ") else ())
    # The last one shows that all is well.
    assert re.search(r"^shop +fresh ", shown, re.MULTILINE), shown
    assert box.ctl("is-enabled", "bearerd.service").stdout == "enabled\n"
    stored = box.sh("ls", "/etc/bearerd/credentials", "/etc/bearerd/keys").stdout
    assert {"shop.client-secret", "shop.subscription-key"} <= set(stored.split())
    check_what_applications_do(Person(box, "www-data", "/"), upstream)
    assert upstream.stats(client["client_id"])["requests"] == 1


def check_what_applications_do(application, upstream):
    """The commands further down, as written: a token, an API call, the same token from the socket."""
    commands = re.search(r"^```sh\n(bearerctl token shop.*?)^```$", README, re.MULTILINE | re.DOTALL)[1].splitlines()
    assert len(commands) == 3
    token = application.run(commands[0]).strip()
    call = commands[1].replace("https://apitest.vipps.no/...", f"{upstream.http}/api/ping")
    assert call != commands[1]
    application.run(call.replace("curl ", "curl --fail "))
    assert token in application.run(commands[2])
