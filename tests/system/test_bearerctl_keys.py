# SPDX-License-Identifier: MIT
"""bearerctl keys: asking without echo, storing, and showing what is there."""

import os
import re
import signal
import subprocess

import pytest
from lib.ctl import bearerctl, environment  # noqa: F401 (fixtures)
from lib.ctl import NOBODY
from lib.keystore import encrypting, store  # noqa: F401 (fixtures)
from lib.keystore import UID, names
from lib.profiles import write

pytestmark = pytest.mark.needs_root

SECRET = "hunter2-hunter2-hunter2-hunter2"
SUBSCRIPTION = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def private_key():
    return subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                          capture_output=True, text=True, check=True).stdout


def mode(path):
    return oct(path.stat().st_mode & 0o7777)


def rows(store, *arguments):
    """The lines of the list, as lists of words: profile, kind, where, age and state; no value among them."""
    done = store.run("keys", "--list", *arguments)
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr and SUBSCRIPTION not in done.stdout + done.stderr
    return [re.split(r"  +", line.strip()) for line in done.stdout.splitlines()[1:]]


# ---- at the terminal ----


def test_keys_are_asked_for_without_echo_and_encrypted(encrypting):
    encrypting.profile("shop")
    terminal = encrypting.ask("shop")
    shown = terminal.answer("client secret: ", SECRET + "\n")
    shown += terminal.answer("next client secret (optional; Enter skips it): ", "\n")
    shown += terminal.answer("subscription key: ", SUBSCRIPTION + "\n")
    shown += terminal.answer("secondary subscription key (optional; Enter skips it): ", "\n")
    shown += terminal.answer("API subscription key (optional; Enter skips it): ", "\n")
    status, rest = terminal.end()
    shown += rest
    assert status == 0, shown
    assert "hunter2" not in shown and "0123456789" not in shown
    assert "stored encrypted: client-secret" in shown and "32 characters" in shown
    assert "systemctl restart bearerd" in shown and "reload" not in shown and "shop gets a new one" in shown
    assert names(encrypting.encrypted) == ["shop.client-secret", "shop.subscription-key"]
    assert mode(encrypting.encrypted) == "0o700"
    assert mode(encrypting.encrypted / "shop.client-secret") == "0o600"
    assert encrypting.decrypt("shop.client-secret") == SECRET
    assert encrypting.decrypt("shop.subscription-key") == SUBSCRIPTION
    assert not encrypting.plain.exists()
    stored = (encrypting.encrypted / "shop.client-secret").read_bytes()
    assert SECRET.encode() not in stored


def test_enter_keeps_what_is_stored(encrypting):
    encrypting.profile("shop", provider="vipps-oauth")
    assert encrypting.run("keys", "shop", "client-secret", stdin=SECRET).returncode == 0
    before = (encrypting.encrypted / "shop.client-secret").read_bytes()
    terminal = encrypting.ask("shop")
    terminal.answer("Enter keeps it): ", "\n")
    terminal.answer("(optional; Enter skips it): ", "\n")
    status, shown = terminal.end()
    assert status == 0 and "nothing was changed" in shown
    assert (encrypting.encrypted / "shop.client-secret").read_bytes() == before
    # And another answer takes its place.
    terminal = encrypting.ask("shop", "client-secret")
    terminal.answer("Enter keeps it): ", "other\n")
    assert terminal.end()[0] == 0
    assert encrypting.decrypt("shop.client-secret") == "other"
    assert names(encrypting.encrypted) == ["shop.client-secret"]


def test_what_cannot_be_a_key_is_asked_for_again(encrypting):
    encrypting.profile("shop", provider="vipps-oauth")
    terminal = encrypting.ask("shop", "client-secret")
    terminal.answer("client secret: ", "\n")
    terminal.expect("cannot do without its client secret")
    terminal.answer("client secret: ", "bl\u00e5-hunter2\n")
    assert "hunter2" not in terminal.expect("must hold one line of printable ASCII")
    for pasted in ("hunter2\nhunter3\n", "hunter2\nhunter3", "hunter2\n\nhunter3\n"):
        terminal.answer("client secret: ", pasted)
        assert "hunter" not in terminal.expect("there came several")
    terminal.answer("client secret: ", "x" * 5000 + "\n")
    terminal.expect("more than a terminal passes on")
    terminal.answer("client secret: ", f" {SECRET}\n")
    terminal.expect("begins or ends with a space")
    assert terminal.end()[0] == 0
    assert encrypting.decrypt("shop.client-secret") == f" {SECRET}"


def test_what_cannot_be_decrypted_is_not_worth_keeping(encrypting):
    encrypting.profile("shop", provider="vipps-oauth")
    encrypting.encrypted.mkdir(mode=0o700)
    (encrypting.encrypted / "shop.client-secret").write_text("nonsense")
    terminal = encrypting.ask("shop", "client-secret")
    terminal.answer(", but cannot be decrypted here): ", "\n")
    terminal.expect("cannot do without its client secret")
    terminal.answer(", but cannot be decrypted here): ", f"{SECRET}\n")
    assert terminal.end()[0] == 0
    assert encrypting.decrypt("shop.client-secret") == SECRET


def test_what_is_typed_ahead_is_no_answer(encrypting):
    encrypting.profile("shop", provider="vipps-oauth")
    terminal = encrypting.ask("shop", "client-secret", ahead="ahead\n")
    terminal.answer("client secret: ", "answer\n")
    assert terminal.end()[0] == 0
    assert encrypting.decrypt("shop.client-secret") == "answer"


def test_a_newline_too_much_is_no_answer_to_the_next_question(encrypting):
    """Text with CRLF: the terminal makes two newlines of it."""
    encrypting.profile("shop", provider="vipps-oauth")
    terminal = encrypting.ask("shop")
    terminal.answer("client secret: ", f"{SECRET}\r\n")
    terminal.answer("next client secret (optional; Enter skips it): ", "other\r\n")
    assert terminal.end()[0] == 0
    assert encrypting.decrypt("shop.client-secret") == SECRET
    assert encrypting.decrypt("shop.next-client-secret") == "other"


def test_the_same_key_twice_is_told(encrypting):
    encrypting.profile("shop", provider="vipps-oauth")
    terminal = encrypting.ask("shop")
    terminal.answer("client secret: ", f"{SECRET}\n")
    terminal.answer("next client secret (optional; Enter skips it): ", f"{SECRET}\n")
    status, shown = terminal.end()
    assert status == 0
    assert "warning: the next client secret is the same as the client secret: are they mixed up?" in shown


@pytest.mark.parametrize("how", ["Ctrl-C", "Ctrl-D", "SIGTERM", "SIGALRM", "SIGUSR1"])
def test_leaving_restores_the_terminal_and_stores_nothing(store, how):
    store.profile("shop")
    terminal = store.ask("shop")
    terminal.answer("client secret: ", SECRET + "\n")
    terminal.answer("next client secret (optional; Enter skips it): ", {"Ctrl-C": "hun\x03", "Ctrl-D": "\x04"}.get(how, "hun"))
    if how.startswith("SIG"):
        terminal.process.send_signal(getattr(signal, how))
    status, shown = terminal.end()
    assert status == {"Ctrl-C": -signal.SIGINT, "Ctrl-D": 1}.get(how) or -getattr(signal, how)
    assert "hun" not in shown
    assert names(store.encrypted) == names(store.plain) == []


def test_a_stop_asks_anew(store):
    store.profile("shop", provider="vipps-oauth")
    terminal = store.ask("shop", "client-secret")
    terminal.answer("client secret: ", "half\x1a")  # Ctrl-Z: nobody is there to continue us, so that we go on at once
    terminal.answer("client secret: ", "\x03")
    assert terminal.end()[0] == -signal.SIGINT


def test_echo_that_somebody_turned_on_meanwhile_is_off_again(encrypting):
    """A shell does, when its job was stopped in a way that cannot be caught."""
    encrypting.profile("shop", provider="vipps-oauth")
    terminal = encrypting.ask("shop", "client-secret")
    terminal.answer("client secret: ", "half")
    terminal.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED)
    terminal.restore()
    terminal.process.send_signal(signal.SIGCONT)
    terminal.answer("client secret: ", f"{SECRET}\n")
    status, shown = terminal.end()
    assert status == 0 and "hunter2" not in shown
    assert encrypting.decrypt("shop.client-secret") == SECRET


def process_of(parent, name):
    """The child of this name, and how often it has waited; None: there is none yet."""
    for pid in open(f"/proc/{parent}/task/{parent}/children", encoding="ascii").read().split():
        fields = dict(line.split(":\t") for line in open(f"/proc/{pid}/status", encoding="ascii").read().splitlines()
                      if ":\t" in line)
        if fields["Name"] == name:
            return int(pid), fields["State"][0], int(fields["voluntary_ctxt_switches"])
    return None


def test_a_shell_keeps_its_terminal_when_we_go_on_in_the_background(store):
    store.profile("shop", provider="vipps-oauth")
    terminal = store.shell("bash", "--norc", "--noprofile", "-i")
    terminal.type(f"{store.bearerctl} keys shop client-secret\n")
    terminal.answer("client secret: ", "")
    pid, _, _ = process_of(terminal.process.pid, "bearerctl")
    os.kill(pid, signal.SIGSTOP)
    terminal.expect("Stopped")
    terminal.wait(lambda: not terminal.is_canonical())  # the shell reads its line
    _, _, before = process_of(terminal.process.pid, "bearerctl")
    os.kill(pid, signal.SIGCONT)
    # It goes on, and is stopped again as soon as it wants to ask.
    terminal.wait(lambda: process_of(terminal.process.pid, "bearerctl")[1] == "T" and
                  process_of(terminal.process.pid, "bearerctl")[2] > before)
    assert not terminal.is_canonical()
    os.kill(pid, signal.SIGKILL)


def test_a_private_key_ends_with_its_last_line(encrypting, private_key):
    encrypting.profile("issuer", provider="oauth2")
    terminal = encrypting.ask("issuer")
    terminal.answer("signing key, in PEM, to its END line: ", private_key.replace("MI", "mi", 1))
    terminal.expect("holds no private key that can be read")
    terminal.answer("signing key, in PEM, to its END line: ", private_key)
    status, shown = terminal.end()
    assert status == 0 and "BEGIN" not in shown, shown
    assert encrypting.decrypt("issuer.signing-key") == private_key.rstrip("\n")
    # With CRLF, and with an empty line in front of it.
    terminal = encrypting.ask("issuer")
    terminal.answer("to its END line: ", "\n" + private_key.replace("\n", "\r\n"))
    assert terminal.end()[0] == 0
    assert encrypting.decrypt("issuer.signing-key") == private_key.rstrip("\n")
    terminal = encrypting.ask("issuer")
    terminal.answer("Enter keeps it), in PEM, to its END line: ", "\n")
    assert "nothing was changed" in terminal.end()[1]


# ---- from a pipe ----


def test_one_key_from_a_pipe(encrypting, private_key):
    encrypting.profile("shop")
    encrypting.profile("issuer", provider="oauth2")
    done = encrypting.run("keys", "shop", "client-secret", stdin=SECRET + "\r\n")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert SECRET not in done.stderr
    assert encrypting.decrypt("shop.client-secret") == SECRET
    assert encrypting.run("keys", "issuer", "signing-key", stdin=private_key).returncode == 0
    assert encrypting.decrypt("issuer.signing-key") == private_key.rstrip("\n")


@pytest.mark.parametrize("arguments, text, status, words", [
    (["shop"], SECRET, 2, "name the one key that it holds"),
    (["shop", "client-secret", "subscription-key"], SECRET, 2, "name the one key that it holds"),
    (["shop", "client-secrt"], SECRET, 2, "did you mean client-secret?"),
    (["shop", "signing-key"], SECRET, 2, "shop has no key signing-key; it has:"),
    (["shop", "client-secret"], "", 1, "is empty"),
    (["shop", "client-secret"], "\n", 1, "is empty"),
    (["shop", "client-secret"], "hunter2\nhunter3\n", 1, "several lines"),
    (["shop", "client-secret"], "h" * 65540, 1, "longer than 64 KiB"),
    (["broken", "client-secret"], SECRET, 1, "do not say which provider"),
    (["../shop", "client-secret"], SECRET, 2, "not the name of a profile"),
    (["--list", "shop", "client-secret"], "", 2, "one argument too many"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_refusals_store_nothing(store, arguments, text, status, words):
    store.profile("shop")
    store.profile("broken", provider="vips")
    done = store.run("keys", *arguments, stdin=text)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert words in done.stderr
    assert "hunter2" not in done.stderr
    assert names(store.encrypted) == names(store.plain) == []


def test_settings_may_come_later(encrypting):
    done = encrypting.run("keys", "shop", "client-secret", stdin=SECRET)
    assert done.returncode == 0
    assert "no settings /etc/bearerd/profiles.d/shop.conf yet" in done.stderr
    assert rows(encrypting)[0][4] == "not used: there are no settings for this profile"
    encrypting.profile("shop")
    done = encrypting.run("keys", "shp", "client-secret", stdin=SECRET)
    assert "shp.conf yet; did you mean shop? These are" in done.stderr


def test_only_root_may(store):
    store.profile("shop")
    for arguments in (["--list"], ["shop", "client-secret"]):
        done = store.command("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", copied(store), "keys",
                             *arguments, stdin=SECRET)
        assert done.returncode == 1
        assert "run this as root" in done.stderr
    assert names(store.encrypted) == []


def copied(store):
    """bearerctl where everybody can reach it, which a build folder need not be."""
    path = store.folder / "bearerctl"
    path.write_bytes(open(store.bearerctl, "rb").read())
    path.chmod(0o755)
    return path


# ---- where it cannot be encrypted ----


@pytest.mark.parametrize("why", ["absent", "failing"])
def test_without_systemd_creds_a_key_is_a_file(store, why):
    path = store.folder / "bin"
    path.mkdir()
    if why == "failing":
        (path / "systemd-creds").write_text("#!/bin/sh\necho 'first line' >&2\necho 'no key here' >&2\nexit 1\n")
        (path / "systemd-creds").chmod(0o755)
    store.profile("shop", provider="vipps-oauth")
    done = store.run("keys", "shop", "client-secret", stdin=SECRET, path=path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    reason = "there is no systemd-creds here" if why == "absent" else "no key here"
    assert f"keys cannot be encrypted here: {reason}\n" in done.stderr
    assert "[Keys] of /etc/bearerd/profiles.d/shop.conf must say: ClientSecretFile=/etc/bearerd/keys/shop.client-secret" in \
        done.stderr
    assert "bearerctl reload" in done.stderr and "restart" not in done.stderr
    key = store.plain / "shop.client-secret"
    assert key.read_text() == SECRET
    assert (mode(key), mode(store.plain)) == ("0o600", "0o700")
    assert (key.stat().st_uid, store.plain.stat().st_uid) == (UID, UID)
    assert names(store.plain) == ["shop.client-secret"] and names(store.encrypted) == []
    # With that line the settings are whole, and nothing more is to be said next time.
    assert rows(store)[0][4] == "not used: no ClientSecretFile= names it"
    store.profile("shop", "ClientSecretFile=/etc/bearerd/keys/shop.client-secret", provider="vipps-oauth")
    assert store.run("check").returncode == 0
    done = store.run("keys", "shop", "client-secret", stdin="other", path=path)
    assert "must say" not in done.stderr
    assert key.read_text() == "other"
    assert [row[2:3] + row[4:] for row in rows(store)] == [["/etc/bearerd/keys/shop.client-secret", "ok"]]


# ---- what is in force ----


def test_a_file_of_the_settings_goes_first(encrypting):
    encrypting.profile("shop", "ClientSecretFile=/etc/bearerd/own", provider="vipps-oauth")
    (encrypting.etc / "own").write_text("own")
    (encrypting.etc / "own").chmod(0o600)
    done = encrypting.run("keys", "shop", "client-secret", stdin=SECRET)
    assert "shop.conf:8 goes before it: take that line out, and then delete /etc/bearerd/own" in done.stderr
    states = {row[2]: row[4] for row in rows(encrypting)}
    assert states == {"/etc/bearerd/own": "ok", "encrypted": "not used: ClientSecretFile= goes first"}


def test_a_credential_of_the_unit_goes_first(encrypting):
    encrypting.profile("shop", provider="vipps-oauth")
    encrypting.passed.mkdir(parents=True)
    (encrypting.passed / "shop.client-secret").write_text("own")
    done = encrypting.run("keys", "shop", "client-secret", stdin=SECRET)
    assert "but the unit passes the credential shop.client-secret, which goes before it" in done.stderr
    states = {row[2]: row[4] for row in rows(encrypting)}
    assert states == {"credential": "ok", "encrypted": "not used: the credential goes first"}


def test_the_list_says_what_is_read_and_what_is_missing(encrypting):
    encrypting.profile("shop")
    encrypting.profile("till", provider="vipps-oauth")
    encrypting.run("keys", "shop", "client-secret", stdin=SECRET)
    encrypting.run("keys", "till", "client-secret", stdin=SECRET)
    assert [row[:3] + row[4:] for row in rows(encrypting)] == [
        ["shop", "client-secret", "encrypted", "not read yet: systemctl restart bearerd"],
        ["shop", "subscription-key", "-", "missing: bearerctl keys shop"],
        ["till", "client-secret", "encrypted", "not read yet: systemctl restart bearerd"],
    ]
    encrypting.restart()
    assert [row[4] for row in rows(encrypting, "till")] == ["ok"]
    # Brought back from a backup, with the time of then.
    backup = encrypting.encrypted / "backup"
    backup.write_bytes((encrypting.encrypted / "till.client-secret").read_bytes())
    os.utime(backup, (1, 1))
    backup.rename(encrypting.encrypted / "till.client-secret")
    assert [row[4] for row in rows(encrypting, "till")] == ["not read yet: systemctl restart bearerd"]
    # Another machine's, a damaged one, and one that was given another name.
    (encrypting.encrypted / "till.client-secret").write_bytes(b"nonsense")
    (encrypting.encrypted / "shop.subscription-key").write_bytes((encrypting.encrypted / "shop.client-secret").read_bytes())
    (encrypting.encrypted / "README").write_text("")
    states = [row[4] for row in rows(encrypting)]
    assert states == ["ok", "cannot be decrypted here: bearerctl keys shop subscription-key stores it anew",
                      "cannot be decrypted here: bearerctl keys till client-secret stores it anew"]
    assert "README: not read by anybody" in encrypting.run("keys", "--list").stderr


def test_an_empty_list(store):
    done = store.run("keys", "--list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no keys here\n")
    done = store.run("keys", "--list", "shp")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no profile shp: neither settings /etc/bearerd/profiles.d/shp.conf nor any key of it" in done.stderr


def test_the_list_does_not_guess_at_a_provider(encrypting):
    encrypting.profile("issuer", provider="oauth2")
    encrypting.run("keys", "issuer", "signing-key", stdin=subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ED25519"], capture_output=True, text=True, check=True).stdout)
    encrypting.profile("issuer", provider="oauth3")
    assert [row[4] for row in rows(encrypting)] == ["unknown: the settings do not say which provider: bearerctl check"]


def test_check_does_not_miss_encrypted_keys(encrypting):
    encrypting.profile("shop", provider="vipps-oauth")
    done = encrypting.run("check")
    assert done.returncode == 1
    assert "there is no credential shop.client-secret in" in done.stderr
    assert "nor PROFILE_shop.client-secret; store it with: bearerctl keys shop" in done.stderr
    encrypting.run("keys", "shop", "client-secret", stdin=SECRET)
    done = encrypting.run("check")
    assert done.returncode == 0
    assert "the client secret is not checked: /etc/bearerd/credentials/shop.client-secret is encrypted" in done.stderr
    encrypting.restart()
    passed = encrypting.passed / "PROFILE_shop.client-secret"
    passed.chmod(0o400)
    os.chown(passed, UID, UID)  # systemd lets the service's user read it
    done = encrypting.run("check")
    assert done.returncode == 0 and "warning" not in done.stderr.split("1 profile")[0], done.stderr


def test_check_finds_what_root_may_read_and_the_daemon_may_not(encrypting):
    encrypting.profile("shop", "ClientSecretFile=/etc/bearerd/own", provider="vipps-oauth")
    own = encrypting.etc / "own"
    own.write_text(SECRET)
    own.chmod(0o600)
    done = encrypting.run("check")
    assert done.returncode == 1
    assert f"ClientSecretFile=/etc/bearerd/own can be read by root alone, and the daemon runs as uid {UID}" in done.stderr
    os.chown(own, UID, UID)
    assert encrypting.run("check").returncode == 0


def test_the_daemon_reads_what_systemd_makes_of_the_folder(daemon, upstream):
    client = upstream.vipps_client()
    credentials = daemon.folder / "credentials"
    credentials.mkdir(mode=0o700)
    for kind, value in (("client-secret", client["client_secret"]), ("subscription-key", client["subscription_keys"][0])):
        (credentials / f"PROFILE_shop.{kind}").write_text(value)
        (credentials / f"PROFILE_shop.{kind}").chmod(0o400)
    headers = {"Merchant-Serial-Number": client["msn"]} if client.get("msn") else {}
    write(daemon, "shop", {"Provider": "vipps", "BaseURL": upstream.http}, {"ClientID": client["client_id"]}, headers=headers)
    daemon.environment["CREDENTIALS_DIRECTORY"] = str(credentials)
    daemon.start()
    assert daemon.token("shop")["profile"] == "shop"
    assert os.listdir(credentials)
