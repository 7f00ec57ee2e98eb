# SPDX-License-Identifier: MIT
"""Keys as systemd credentials: named one by one, or a folder of encrypted ones, of which none can stop the others."""

import pathlib
import re

import pytest

from boxlib.service import CREDENTIALS, UNIT
from lib.profiles import REFRESH

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOWN = "/run/bearerd-credentials/shown"


def without_files(service, name, upstream, client):
    """A profile that names no key file."""
    service.profile(
        name,
        {
            "Profile": {"Provider": "vipps", "BaseURL": upstream.http},
            "Keys": {"ClientID": client["client_id"]},
            "Refresh": REFRESH,
            "Access": {"Allow": "any"},
        },
    )


@pytest.fixture
def stored(service, upstream):
    """A function that makes a profile with encrypted keys; its client."""

    def make(name, **changed):
        client = upstream.vipps_client()
        without_files(service, name, upstream, client)
        service.credential(f"{name}.client-secret", client["client_secret"], **changed)
        service.credential(f"{name}.subscription-key", client["subscription_keys"][0])
        return client

    return make


def helper_words(service):
    """What bearerd-credentials.service said in this test."""
    return service.box.words(CREDENTIALS, service.since)


def damage(service, name):
    """One byte in the middle of a stored key."""
    path = service.box.path(f"/etc/bearerd/credentials/{name}")
    text = path.read_text()
    middle = len(text) // 2
    path.write_text(text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :])


def test_encrypted_keys_of_every_profile_without_a_word_in_the_unit(service, stored):
    stored("shop")
    stored("second")
    service.start()
    assert service.token("shop") == 200 and service.token("second") == 200


def test_a_key_that_is_stored_later_counts_from_the_next_start(service, stored):
    stored("shop")
    service.start()
    stored("later")
    service.box.ctl("restart", UNIT)
    assert service.token("later") == 200 and service.token("shop") == 200


def test_credentials_that_the_unit_names_one_by_one(service, upstream):
    client = upstream.vipps_client()
    without_files(service, "shop", upstream, client)
    service.box.write("/etc/bearerd/plain", client["client_secret"], mode=0o600)
    service.drop_in(
        "named",
        "[Service]\n"
        "LoadCredential=shop.client-secret:/etc/bearerd/plain\n"
        f"SetCredential=shop.subscription-key:{client['subscription_keys'][0]}\n",
    )
    service.start()
    assert service.token("shop") == 200


def test_a_name_in_the_unit_comes_before_the_folder(service, stored, upstream):
    client = stored("shop")
    service.credential("shop.client-secret", "of last year")
    service.box.write("/etc/bearerd/plain", client["client_secret"], mode=0o600)
    service.drop_in("named", "[Service]\nLoadCredential=shop.client-secret:/etc/bearerd/plain\n")
    service.start()
    assert service.token("shop") == 200


def test_no_other_user_can_read_them(service, stored):
    stored("shop")
    service.start()
    folder = f"/run/credentials/{UNIT}"
    assert service.box.sh("ls", folder).stdout.split() == ["PROFILE_shop.client-secret", "PROFILE_shop.subscription-key"]
    done = service.box.run("ls", folder, user="nobody", check=False)
    assert done.returncode != 0 and "ermission" in done.stderr
    assert service.box.sh("stat", "-f", "-c", "%T", folder).stdout.strip() == "ramfs", "never swapped"


def test_a_damaged_key_fails_its_profile_and_no_other(service, stored):
    stored("shop")
    stored("second")
    damage(service, "second.client-secret")
    box = service.box
    # The first start fails, as systemd says no word; the next one is without it.
    service.fail_to_start()
    box.wait_show(UNIT, ActiveState="active")
    assert service.token("shop") == 200
    assert service.status("second")["state"] == "failed"
    assert "not started for a credential" in service.words()
    told = [line for line in helper_words(service).splitlines() if "decrypted" in line]
    assert len(told) == 1 and "second.client-secret: left out, since it cannot be decrypted" in told[0]


def test_a_damaged_key_is_told_at_every_start_and_counts_when_it_is_stored_anew(service, stored):
    stored("shop")
    client = stored("second")
    damage(service, "second.client-secret")
    service.fail_to_start()
    service.box.wait_show(UNIT, ActiveState="active")
    since = service.box.mark()
    service.box.ctl("restart", UNIT)
    assert "second.client-secret: left out" in service.box.words(CREDENTIALS, since)
    service.credential("second.client-secret", client["client_secret"])
    service.box.ctl("restart", UNIT)
    assert service.token("second") == 200


def test_a_key_under_another_name_is_not_taken(service, stored):
    """Somebody who can write to the folder cannot make one profile use the other's key."""
    stored("shop")
    stored("second", encrypted_as="PROFILE_shop.client-secret")
    service.fail_to_start()
    service.box.wait_show(UNIT, ActiveState="active")
    assert service.token("shop") == 200
    assert service.status("second")["state"] == "failed"


def test_when_the_machines_key_is_another_the_keys_in_files_still_work(service, stored, upstream):
    client = upstream.vipps_client()
    without_files(service, "files", upstream, client)
    stored("shop")
    service.profile(
        "files",
        {
            "Profile": {"Provider": "vipps", "BaseURL": upstream.http},
            "Keys": {
                "ClientID": client["client_id"],
                "ClientSecretFile": service.key("files.client-secret", client["client_secret"]),
                "SubscriptionKeyFile": service.key("files.subscription-key", client["subscription_keys"][0]),
            },
            "Access": {"Allow": "any"},
        },
    )
    box = service.box
    box.sh("rm", "/var/lib/systemd/credential.secret")
    box.sh("systemd-creds", "setup")
    service.fail_to_start()
    box.wait_show(UNIT, ActiveState="active")
    assert service.token("files") == 200
    assert service.status("shop")["state"] == "failed"
    assert "has this machine another key now" in helper_words(service)


@pytest.mark.parametrize("name", [
    "notes", "notes.txt", "shop.client-secret~", ".shop.client-secret.swp", "Shop.client-secret", "shop.client-secret.old",
    "shop.client-key", "client-secret", "shop.client-secret.new line\n",
])  # fmt: skip
def test_what_is_no_key_is_ignored(service, stored, name):
    stored("shop")
    service.box.write(f"/etc/bearerd/credentials/{name}", "x")
    service.start()
    assert service.token("shop") == 200
    assert (f"{name}: ignored" in helper_words(service)) == (name[0] != ".")


@pytest.mark.parametrize("what", ["folder", "link to nothing"])
def test_what_is_no_file_is_ignored(service, stored, what):
    stored("shop")
    path = "/etc/bearerd/credentials/shop.next-client-secret"
    service.box.sh(*(["mkdir", path] if what == "folder" else ["ln", "-s", "/nothing", path]))
    try:
        service.start()
        assert service.token("shop") == 200
        assert f"{path}: ignored, since it is no regular file" in helper_words(service)
    finally:
        service.box.sh("rm", "-d", path)


def test_every_kind_that_the_daemon_reads_is_passed_on():
    helper = (ROOT / "systemd/bearerd-credentials").read_text()
    table = (ROOT / "daemon/core/settings.c").read_text()
    kinds = re.findall(r"\[KEY_\w+\] += \{\s*\"([a-z-]+)\"", table)
    assert len(kinds) == 7
    assert re.search(r"^is_key=.*\(([a-z|-]+)\)\$'$", helper, re.MULTILINE)[1].split("|") == kinds


def test_the_damaged_one_of_many_is_found_however_long_it_takes(service, stored):
    """Not in the time that a stop may take: there it would be ended before it came to the last one, at every attempt."""
    stored("shop")
    stored("z")
    make = (
        "printf x | systemd-creds encrypt --with-key=host --name=PROFILE_n$1.client-secret -"
        " /etc/bearerd/credentials/n$1.client-secret"
    )
    service.box.sh("sh", "-c", f"seq 100 | xargs -I@ sh -c '{make}' sh @")
    damage(service, "z.client-secret")
    service.drop_in("hurry", "[Service]\nTimeoutStopSec=1s\n")
    service.fail_to_start()
    service.box.wait_show(UNIT, ActiveState="active")
    assert service.token("shop") == 200


def test_a_failed_start_without_a_damaged_key_is_told(service, stored):
    stored("shop")
    service.drop_in("missing", "[Service]\nLoadCredential=other:/nowhere\n")
    service.fail_to_start()
    words = (
        "each key that is not left out can be decrypted, and yet systemd could not pass them on: are they more than 1 MiB"
        " together, or does a drop-in name a credential that is missing (systemctl cat bearerd)?"
    )
    service.box.wait_journal(service.since, _SYSTEMD_UNIT=CREDENTIALS, MESSAGE=words)
    assert "left out, since" not in helper_words(service)


def test_keys_of_a_profile_with_every_character_there_is(service, upstream):
    """Stored by bearerctl, encrypted under a name that systemd finds again, and read by the daemon."""
    name = "0a.b_c-client-secret." + "x" * 42
    assert len(name) == 63
    client = upstream.vipps_client()
    without_files(service, name, upstream, client)
    for kind, value in (("client-secret", client["client_secret"]), ("subscription-key", client["subscription_keys"][0])):
        done = service.box.sh("bearerctl", "keys", name, kind, input=value)
        assert f"stored encrypted: {kind}" in done.stderr
    service.start()
    assert service.token(name) == 200
    states = service.box.sh("bearerctl", "keys", "--list", name).stdout.splitlines()[1:]
    assert [line.split()[-1] for line in states] == ["ok", "ok"]
    # Taken out again, it is in force until the next start.
    service.box.sh("rm", f"/etc/bearerd/credentials/{name}.client-secret")
    assert "no longer stored: systemctl restart bearerd" in service.box.sh("bearerctl", "keys", "--list", name).stdout
    service.box.ctl("restart", UNIT, check=False)
    assert f"missing: bearerctl keys {name}" in service.box.sh("bearerctl", "keys", "--list", name).stdout


def test_no_key_at_all_and_no_folder(service, upstream, shop):
    """As on a machine that uses key files only."""
    box = service.box
    box.sh("mv", "/etc/bearerd/credentials", "/etc/bearerd/credentials.gone")
    try:
        shop.start()
        assert shop.token() == 200
    finally:
        box.sh("mv", "/etc/bearerd/credentials.gone", "/etc/bearerd/credentials")


def test_without_systemd_creds_keys_in_files_still_work(service, stored, shop):
    """Which key is the damaged one cannot be found out then."""
    stored("second")
    damage(service, "second.client-secret")
    drop_in = f"/run/systemd/system/{CREDENTIALS}.d/without.conf"
    service.box.write(drop_in, "[Service]\nInaccessiblePaths=/usr/bin/systemd-creds\n")
    service.box.ctl("daemon-reload")
    try:
        service.fail_to_start()
        service.box.wait_show(UNIT, ActiveState="active")
        assert service.token("shop") == 200
        assert "systemd-creds cannot be run, so that no key can be tried: all of them are left out" in helper_words(service)
    finally:
        service.box.sh("rm", drop_in)
        service.box.ctl("daemon-reload")


def test_a_folder_that_was_given_away_is_told(service, stored):
    """As by `chown -R bearerd /etc/bearerd`."""
    stored("shop")
    service.box.sh("chown", "bearerd", "/etc/bearerd/credentials")
    try:
        service.box.ctl("start", UNIT, check=False)
        assert "/etc/bearerd/credentials: cannot be read, since it is not root's: chown root" in helper_words(service)
    finally:
        service.box.sh("chown", "root", "/etc/bearerd/credentials")
    service.box.ctl("restart", UNIT)
    assert service.token("shop") == 200


def test_the_start_works_where_the_helper_does_not(shop):
    shop.box.ctl("mask", "--runtime", CREDENTIALS)
    try:
        shop.start()
        assert shop.token() == 200
    finally:
        shop.box.ctl("unmask", "--runtime", CREDENTIALS)


def test_the_store_is_never_changed(service, stored):
    stored("shop")
    damage(service, "shop.client-secret")
    folder = service.box.path("/etc/bearerd/credentials")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    service.fail_to_start()
    service.box.wait_show(UNIT, ActiveState=lambda value: value != "activating")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_new_key_is_read_after_many_restarts_in_a_row(service, stored, upstream):
    """The helper has no limit on starts of its own: it runs before each, and not only before the first few."""
    client = stored("shop")
    service.start()
    for _ in range(6):
        service.box.ctl("restart", UNIT)
    upstream.change(client["client_id"], client_secret="another")
    service.credential("shop.client-secret", "another")
    service.box.ctl("restart", UNIT)
    assert service.status()["generation"] == 2 and service.token() == 200
    assert service.box.show(CREDENTIALS, "Result") == "success"
