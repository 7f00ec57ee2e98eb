# SPDX-License-Identifier: MIT
"""Audit=: who was handed a token and who was denied one is in the log, exactly and without flooding it.

What is told of a window is told when the daemon ends, too, so nobody here waits for a minute (test_idle.py does).
"""

import collections
import os
import pathlib
import subprocess
import sys
import time

import pytest
from lib import audit, profiles
from lib.caller import Caller
from lib.cgroups import Slice
from lib.crowd import Crowd
from lib.http import read_answer, request_bytes
from lib.settings import PATIENCE
from lib.watch import INFO, NOTICE

ALICE, BOB = 3_000_000_001, 3_000_000_002
TOKEN = "/v1/profiles/shop/token"
EVENTS = ("token-handout", "token-handouts", "access-denied", "access-denials")


@pytest.fixture
def clients(daemon, upstream):
    """A daemon with the profiles "shop" and "other" that everybody may use and "closed" that nobody may; by name."""
    daemon.main(SocketMode="0666")
    made = {name: upstream.vipps_client() for name in ("shop", "other", "closed")}
    for name, client in made.items():
        profiles.vipps(daemon, name, upstream, client, allow=None if name == "closed" else "any")
    return made


def many(number, target, method="GET"):
    """So many requests for one connection, the last of which closes it."""
    return request_bytes(target, method) * (number - 1) + request_bytes(target, method, ["Connection: close"])


def n_answers(data, status):
    return data.count(b"HTTP/1.1 %d " % status)


def ask(caller, number, target, status=200):
    """So many requests of a caller, all of which are answered like this."""
    assert n_answers(caller.exchange(many(number, target)), status) == number


# --- what a line says -------------------------------------------------------------------------------------------------


def test_the_first_handout_says_it_all(daemon, clients):
    daemon.start()
    token = daemon.token("shop")
    line = daemon.log.wait_for("token-handout")
    assert line.level == INFO
    told = audit.read(line)
    assert (told["profile"], told["generation"], told["fingerprint"]) == ("shop", 1, token["fingerprint"])
    assert (told["uid"], told["pid"]) == (os.geteuid(), os.getpid())
    assert told["exe"] == os.readlink("/proc/self/exe")
    assert told["how"] == "cache"


def test_who_waited_is_told_from_who_did_not(daemon, upstream, clients):
    upstream.fault(client_id=clients["shop"]["client_id"], hang=True)
    daemon.start(wait=False)
    upstream.wait(clients["shop"]["client_id"], held=1)
    daemon.wait_socket()
    with Crowd(daemon, 10) as crowd:
        crowd.ask(f"{TOKEN}?wait=60")
        daemon.wait_metric("bearerd_waiters", 10)
        upstream.clear()
        assert {answer.status for answer in crowd.answers()} == {200}
    daemon.wait_ready()
    for _ in range(5):
        daemon.headers("shop")
    daemon.stop()
    [first] = audit.lines(daemon, "token-handout")
    [rest] = audit.lines(daemon, "token-handouts")
    assert first["how"] == "upstream"
    assert (rest["count"], rest["cache"], rest["waited"]) == (9 + 5, 5, 9)


@pytest.mark.needs_root
def test_units_are_named(daemon, clients):
    daemon.start()
    with Slice() as units:
        for name in ("till.service", "shop-7.service"):
            with Caller(daemon, ALICE) as alice:
                units.put(alice.pid, name)
                ask(alice, 3, TOKEN)
                ask(alice, 2, "/v1/profiles/closed/token", 404)
                program = os.readlink(f"/proc/{alice.pid}/exe")
                pid = alice.pid
    daemon.stop()
    for event, count in (("token-handouts", 2), ("access-denials", 1)):
        told = audit.lines(daemon, event)
        assert {(one["uid"], one["unit"], one["exe"]) for one in told} == {
            (ALICE, "till.service", program),
            (ALICE, "shop-7.service", program),
        }
        assert [one["count"] for one in told] == [count] * 2
        assert told[-1]["pid"] == pid
    for event in ("token-handout", "access-denied"):
        assert [one["unit"] for one in audit.lines(daemon, event)] == ["till.service", "shop-7.service"]


@pytest.mark.needs_root
def test_programs_are_told_apart(daemon, clients):
    """The same user in the same unit, by another program: a copy of the interpreter under a name that wants to be
    more than one line, or somebody else."""
    odd = daemon.folder / "evil (uid 0)\n<6>token-handout: x"
    odd.write_bytes(pathlib.Path(sys.executable).resolve().read_bytes())
    odd.chmod(0o755)
    source = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
    source += "s.sendall(sys.argv[2].encode())\nwhile s.recv(65536): pass\n"
    daemon.start()
    for program in (sys.executable, odd):
        command = [program, "-I", "-S", "-c", source, str(daemon.socket), many(5, TOKEN).decode()]
        subprocess.run(command, check=True, timeout=PATIENCE, env={"PYTHONHOME": sys.base_prefix})
    daemon.stop()
    lines = daemon.log.find("token-handout")
    assert len(lines) == len(daemon.log.find("token-handouts")) == 2
    assert "evil (uid 0)?<6>token-handout: x" in lines[1].raw
    assert not daemon.log.find(match="^x")


# --- Audit=summary ----------------------------------------------------------------------------------------------------


@pytest.mark.needs_root
def test_thousands_are_two_lines_a_caller_and_the_numbers_are_right(daemon, clients):
    daemon.start()
    expected = collections.Counter()
    with Caller(daemon, ALICE) as alice, Caller(daemon, ALICE) as again, Caller(daemon, BOB) as bob:
        for caller, number in ((alice, 700), (again, 500), (bob, 300), (alice, 801)):
            for name in ("shop", "other"):
                ask(caller, number, f"/v1/profiles/{name}/token")
                ask(caller, number // 10, f"/v1/profiles/{name}/headers")
                expected[caller.uid, name] += number + number // 10
    with daemon.connection() as connection:
        for i in range(1000):
            name = ("shop", "other")[i % 2]
            assert connection.call("GET", f"/v1/profiles/{name}/token").status == 200
            expected[os.geteuid(), name] += 1
    fingerprint = daemon.token("shop")["fingerprint"]
    expected[os.geteuid(), "shop"] += 1
    assert not daemon.log.find("token-handouts"), "their minute is not over"
    daemon.stop()
    assert audit.totals(daemon, "token-handout", "token-handouts") == expected
    # Processes of one user, unit and program are one caller.
    for event in ("token-handout", "token-handouts"):
        callers = [(one["uid"], one["profile"]) for one in audit.lines(daemon, event)]
        assert sorted(callers) == sorted(expected), event
    [one] = [one for one in audit.lines(daemon, "token-handouts") if (one["uid"], one["profile"]) == (ALICE, "shop")]
    assert (one["cache"], one["waited"]) == (one["count"], 0)
    assert fingerprint in daemon.log.find("token-handout", "^shop: ")[0].message


def test_what_is_no_handout_is_not_counted(daemon, upstream, clients):
    daemon.start()
    upstream.fault(client_id=clients["other"]["client_id"], status=503)
    with daemon.connection() as connection:
        assert connection.call("GET", TOKEN, headers={"If-None-Match": '"g1"'}).status == 304
        assert connection.call("HEAD", TOKEN).status == 200
        assert connection.call("GET", f"{TOKEN}?min_ttl=99999").status == 409
        assert connection.call("GET", f"{TOKEN}?wait=x").status == 400
        assert connection.call("POST", TOKEN).status == 405
        for target in ("/v1/profiles", "/v1/profiles/shop", "/metrics", "/readyz", "/v1/profiles/shop/explain?uid=0"):
            assert connection.call("GET", target).status == 200
        assert connection.call("POST", "/v1/profiles/shop/refresh").status == 200
        assert connection.call("POST", "/v1/profiles/other/refresh").status == 503
        assert connection.call("POST", "/v1/profiles/shop/rejected", b"{}").status == 400
    daemon.stop()
    for event in EVENTS:
        assert not daemon.log.find(event)


def test_a_report_and_a_long_poll_end_with_a_handout(daemon, upstream, clients):
    daemon.start()
    first = daemon.token("shop")
    body = b'{"fingerprint": "%s"}' % first["fingerprint"].encode()
    assert daemon.call("POST", "/v1/profiles/shop/rejected", body).json["generation"] == 2
    with daemon.connect() as sock:
        sock.sendall(request_bytes(f"{TOKEN}?wait=60", headers=['If-None-Match: "g2"']))
        daemon.wait_metric("bearerd_waiters", 1)
        assert daemon.call("POST", "/v1/profiles/shop/refresh").status == 200
        assert read_answer(sock).json["generation"] == 3
    daemon.stop()
    [rest] = audit.lines(daemon, "token-handouts")
    assert (rest["count"], rest["cache"], rest["waited"]) == (2, 0, 2)


# --- Audit=every, Audit=off -------------------------------------------------------------------------------------------


@pytest.mark.needs_root
def test_every_is_every_one(daemon, clients):
    daemon.main(SocketMode="0666", Audit="every")
    daemon.start()
    with Caller(daemon, ALICE) as alice:
        ask(alice, 500, TOKEN)
        pid = alice.pid
    for _ in range(3):
        daemon.headers("other")
    daemon.stop()
    told = audit.lines(daemon, "token-handout")
    assert [(one["uid"], one["pid"], one["profile"]) for one in told] == [(ALICE, pid, "shop")] * 500 + [
        (os.geteuid(), os.getpid(), "other")
    ] * 3
    assert not daemon.log.find("token-handouts")


@pytest.mark.needs_root
def test_off_is_none_but_denials_are_told(daemon, clients):
    daemon.main(SocketMode="0666", Audit="off")
    daemon.start()
    with Caller(daemon, ALICE) as alice:
        ask(alice, 100, TOKEN)
        ask(alice, 100, "/v1/profiles/closed/token", 404)
    daemon.stop()
    assert not daemon.log.find("token-handout") and not daemon.log.find("token-handouts")
    assert audit.totals(daemon, "access-denied", "access-denials") == {(ALICE, "closed"): 100}


@pytest.mark.needs_root
def test_a_reload_changes_it_and_loses_nothing(daemon, clients):
    daemon.start()

    def change(mode):
        daemon.main(SocketMode="0666", Audit=mode)
        assert daemon.call("POST", "/v1/reload").status == 200

    with Caller(daemon, ALICE) as alice:
        ask(alice, 50, TOKEN)
        change("every")
        assert audit.read(daemon.log.wait_for("token-handouts"))["count"] == 49
        ask(alice, 20, TOKEN)
        change("off")
        ask(alice, 10, TOKEN)
        change("summary")
        ask(alice, 30, TOKEN)
        # One that changes nothing of it does not end the window, nor forgets who was in it.
        assert daemon.call("POST", "/v1/reload").status == 200
        ask(alice, 5, TOKEN)
    daemon.stop()
    assert len(daemon.log.find("token-handout")) == 1 + 20 + 1
    assert [one["count"] for one in audit.lines(daemon, "token-handouts")] == [49, 34]


# --- denials ----------------------------------------------------------------------------------------------------------


@pytest.mark.needs_root
def test_denials_are_told_and_counted(daemon, clients):
    daemon.start()
    with Caller(daemon, ALICE) as alice:
        for name, number in (("closed", 1001), ("missing", 501)):
            ask(alice, number, f"/v1/profiles/{name}/token", 404)
        assert daemon.metrics().value("bearerd_denied_total", profile="closed") == 1001
        pid = alice.pid
    daemon.stop()
    closed, missing = daemon.log.find("access-denied")
    assert closed.level == missing.level == NOTICE
    assert audit.read(closed)["why"] == "is not admitted by any Allow= rule"
    assert audit.read(missing)["why"] == "asked for a profile that is not there"
    for told, name in ((audit.read(closed), "closed"), (audit.read(missing), "missing")):
        assert (told["profile"], told["uid"], told["pid"]) == (name, ALICE, pid)
    counts = {one["profile"]: one["count"] for one in audit.lines(daemon, "access-denials")}
    assert counts == {"closed": 1000, None: 500}


def test_names_that_are_asked_for_cannot_forge_lines(daemon, clients):
    daemon.start()
    for name in ("x%0a%3c6%3etoken-handout:%20shop", "%1b[31mred", "a" * 5000, "%ff%fe", "..%2f..%2fetc"):
        assert daemon.get(f"/v1/profiles/{name}/token").status in (404, 400, 414, 431)
    daemon.stop()
    assert not daemon.log.find("token-handout")
    for line in daemon.log.items:
        assert line.raw.isprintable() and line.raw.isascii() and len(line.raw) < 600


# Asks once for each uid from a number on, on connections of their own: a crowd of users in one process.
KNOCK = """
import os, socket, sys
path, first, number, data = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].encode()
for uid in range(first, first + number):
    os.seteuid(uid)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        os.seteuid(0)
        sock.sendall(data)
        while sock.recv(65536):
            pass
"""


@pytest.mark.needs_root
def test_a_crowd_of_strangers_does_not_flood_the_log(daemon, clients):
    """Twenty are named, and one more a second; the others are a number, and it is the right one."""
    daemon.start()
    data = many(3, "/v1/profiles/closed/token").decode()
    began = time.monotonic()
    command = [sys.executable, "-I", "-c", KNOCK, str(daemon.socket), str(ALICE), "300", data]
    subprocess.run(command, check=True, timeout=PATIENCE)
    assert daemon.metrics().value("bearerd_denied_total", profile="closed") == 900
    named = 20 + int(time.monotonic() - began) + 1
    daemon.stop()
    single, rest = audit.lines(daemon, "access-denied"), audit.lines(daemon, "access-denials")
    assert 20 <= len(single) <= named
    assert len(single) + sum(one["count"] for one in rest) == 900
    counts = {one["uid"]: one["count"] for one in rest}
    assert len(counts) == len(rest) and None in counts, "each caller is summed up once"
    # All three of a caller's are told by its name. Only one whose second came between them has some with the others'.
    names = [one["uid"] for one in single]
    assert [counts.pop(uid) for uid in names[:20]] == [2] * 20
    assert counts.keys() - {None} <= set(names[20:])
    others = 900 - 3 * len(single)
    assert others <= counts[None] <= others + 2 * len(names[20:])


# --- what is never told -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["summary", "every"])
def test_no_token_is_ever_in_it(daemon, upstream, clients, mode):
    daemon.main(SocketMode="0666", Audit=mode)
    daemon.start("--log-level", "debug")
    secrets = [client["client_secret"] for client in clients.values()]
    secrets += [key for client in clients.values() for key in client["subscription_keys"]]
    for _ in range(3):
        for name in ("shop", "other"):
            token = daemon.token(name)
            secrets.append(token["access_token"])
            assert daemon.headers(name)["Authorization"] == f"Bearer {token['access_token']}"
            # A caller who mistakes the token for the name, or for the fingerprint.
            assert daemon.get(f"/v1/profiles/{token['access_token'][:63].lower()}/token").status == 404
            secrets.append(token["access_token"][63:])
            body = b'{"fingerprint": "%s"}' % token["access_token"].encode()
            assert daemon.call("POST", f"/v1/profiles/{name}/rejected", body).status == 400
            body = b'{"fingerprint": "%s"}' % token["fingerprint"].encode()
            assert daemon.call("POST", f"/v1/profiles/{name}/rejected", body).status == 200
    daemon.stop()
    assert daemon.log.find("token-handout") and daemon.log.find("token-rejected")
    for secret in secrets:
        assert secret not in daemon.log.text
        assert secret[:40] not in daemon.log.text
