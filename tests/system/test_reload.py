# SPDX-License-Identifier: MIT
"""Settings read anew while the daemon serves: all or nothing, told to who asked and to the service manager, and what
did not change does not notice."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
from lib import profiles
from lib.caller import Caller
from lib.gate import Gate, can_be_had
from lib.http import read_answer, read_to_end, request_bytes
from lib.reload import changes, edit, refused, reload, wait_until
from lib.settings import PATIENCE
from lib.watch import ERROR

ALICE = 3_000_000_001
TOKEN = "/v1/profiles/shop/token"
RELOADED = "settings reloaded: "
REFUSED = "the new settings were refused"


@pytest.fixture
def shop(daemon, upstream):
    """A daemon, not started, with the profiles "shop" and "other"; the client of "shop"."""
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    profiles.vipps(daemon, "other", upstream, upstream.vipps_client())
    return client


@pytest.fixture
def gates(daemon):
    """Skips where files cannot be held."""
    if not can_be_had(daemon.config):
        pytest.skip("no fanotify permission events here")


# --- asking -----------------------------------------------------------------------------------------------------------


def test_a_hangup_is_told_to_the_manager(daemon, upstream, shop):
    daemon.start()
    client = upstream.vipps_client()
    profiles.vipps(daemon, "third", upstream, client)
    daemon.manager.drain()
    mark, before = len(daemon.manager.items), time.monotonic_ns() // 1000
    daemon.signal(signal.SIGHUP)
    daemon.manager.wait_for(since=mark, READY="1")
    first = daemon.manager.items[mark]
    assert first["RELOADING"] == "1" and "READY" not in first
    assert before <= int(first["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    line = daemon.log.wait_for(match=RELOADED)
    assert "as before: 2" in line.message
    upstream.wait(client["client_id"], ok=1)
    daemon.manager.wait_status("3 of 3 profiles usable", since=mark)


def test_a_hangup_during_the_start_does_not_end_it(daemon, upstream, shop):
    """READY=1 says that there are tokens, or why not; a reload must not say it instead."""
    upstream.fault(client_id=shop["client_id"], hang=True)
    daemon.start(wait=False)
    upstream.wait(shop["client_id"], held=1)
    daemon.signal(signal.SIGHUP)
    daemon.log.wait_for(match=RELOADED)
    assert daemon.get("/readyz").status == 503
    assert not daemon.manager.has(READY="1")
    upstream.clear()
    daemon.wait_ready()
    assert upstream.stats(shop["client_id"])["requests"] == 1


@pytest.mark.needs_root
def test_only_admins_may_ask(daemon, shop):
    daemon.main(SocketMode="0666")
    daemon.start()
    with Caller(daemon, ALICE) as alice:
        answer = alice.call("POST", "/v1/reload")
        assert (answer.status, answer.problem_type) == (403, "forbidden")
        assert alice.get("/v1/reload").status == 405
    assert daemon.get("/v1/reload").headers["Allow"] == "POST"
    assert not daemon.log.find(match=RELOADED) and not daemon.manager.has(RELOADING="1")
    assert reload(daemon)["unchanged"] == 2


def test_the_outcome_names_every_profile_that_changed(daemon, upstream, shop):
    files = {}
    for name in ("gone", "keys", "policy", "access", "identity", "lazy"):
        files[name] = profiles.vipps(daemon, name, upstream, upstream.vipps_client())
    daemon.start()
    files["gone"].unlink()
    profiles.vipps(daemon, "new", upstream, upstream.vipps_client())
    profiles.vipps(daemon, "idle", upstream, upstream.vipps_client(), profile={"Preload": "no"})
    profiles.vipps(daemon, "identity", upstream, upstream.vipps_client())
    edit(files["keys"], "[Refresh]", "[Headers]\nVipps-System-Name=acme\n[Refresh]")
    edit(files["policy"], "RetryMin=100ms", "RetryMin=200ms")
    edit(files["access"], "Allow=any", f"Allow=user:{os.geteuid()}")
    edit(files["lazy"], "Provider=vipps", "Provider=vipps\nPreload=no")
    outcome = reload(daemon)
    assert (outcome["added"], outcome["removed"]) == (["idle", "new"], ["gone"])
    assert changes(outcome) == {
        "access": ("access", None),
        "identity": ("identity", "proven"),
        "idle": ("added", None),
        "keys": ("keys", "proven"),
        "lazy": ("policy", None),
        "new": ("added", "proven"),
        "policy": ("policy", None),
    }
    assert (outcome["unchanged"], outcome["problems"]) == (2, [])
    assert all(change["message"] is None for change in outcome["changed"])


def test_what_did_not_change_does_not_notice(daemon, upstream, shop):
    daemon.start()
    before = daemon.status("shop")
    token = daemon.token("shop")
    with daemon.connection() as kept:
        for _ in range(10):
            profiles.vipps(daemon, "shop", upstream, shop)  # the same once more: other files, nothing new
            assert reload(daemon)["unchanged"] == 2
            assert kept.call("GET", TOKEN).json["fingerprint"] == token["fingerprint"]
    after = daemon.status("shop")
    for status in (before, after):
        status.pop("expires_in")
    assert after == before
    assert upstream.stats(shop["client_id"])["requests"] == 1


# --- all or nothing ---------------------------------------------------------------------------------------------------


def unknown_key(daemon):
    edit(daemon.profile_folder / "shop.conf", "Provider=vipps", "Provider=vipps\nEnviroment=test")
    return rf"{daemon.profile_folder}/shop\.conf:3", "unknown key Enviroment="


def bad_main_file(daemon):
    edit(daemon.config, "[Access]", "MaxConections=7\n[Access]")
    return rf"{daemon.config}:\d+", "unknown key MaxConections="


def missing_key(daemon):
    (daemon.key_folder / "shop.client-secret").unlink()
    return r".*", "shop.client-secret does not exist"


def missing_folder(daemon):
    daemon.profile_folder.rename(daemon.folder / "elsewhere")
    return rf"{daemon.profile_folder}", "cannot be read: No such file or directory"


def no_profile(daemon):
    for file in daemon.profile_folder.glob("*.conf"):
        file.unlink()
    return rf"{daemon.profile_folder}", "there is no profile here"


def no_main_file(daemon):
    daemon.config.unlink()
    return rf"{daemon.config}", "does not exist"


BREAKS = [unknown_key, bad_main_file, missing_key, missing_folder, no_profile, no_main_file]


@pytest.mark.parametrize("spoil", BREAKS, ids=[spoil.__name__ for spoil in BREAKS])
def test_a_refused_reload_changes_nothing(daemon, upstream, shop, spoil):
    """Not the good half of what changed either."""
    daemon.main(MaxConnectionsPerUser=50)
    daemon.start()
    before = daemon.token("shop")
    # What would be in force if somebody looked at the files one by one.
    edit(daemon.profile_folder / "other.conf", "Allow=any", "Allow=user:4242")
    edit(daemon.config, "MaxConnectionsPerUser=50", "MaxConnectionsPerUser=1")
    profiles.vipps(daemon, "aaa-new", upstream, upstream.vipps_client())
    saved = daemon.folder / "saved"
    saved.mkdir()
    for name in ("bearerd.conf", "profiles.d", "keys"):
        subprocess.run(["cp", "-a", "--parents", name, saved.name], cwd=daemon.folder, check=True)
    place, words = spoil(daemon)
    mark, told = daemon.log.mark(), len(daemon.manager.items)
    problems = refused(daemon)
    found = [problem for problem in problems if problem["severity"] == "error"]
    assert any(re.fullmatch(place, one["place"]) and words in one["message"] for one in found), problems
    daemon.log.wait_for(match=REFUSED, level=ERROR, since=mark)
    daemon.log.wait_for(match=re.escape(words), level=ERROR, since=mark)
    daemon.manager.wait_status("the last reload was refused", since=told)
    # A manager that waits for the end of the reload is told, too.
    daemon.manager.wait_for(since=told, READY="1")
    with daemon.connection() as one, daemon.connection() as two:
        assert one.call("GET", TOKEN).json["fingerprint"] == before["fingerprint"]
        assert two.call("GET", "/v1/profiles/other/token").status == 200
        assert one.call("GET", "/readyz").status == 200
        assert one.call("GET", "/v1/profiles/aaa-new/token").status == 404
    assert upstream.stats(shop["client_id"])["requests"] == 1
    # Repaired, all of it comes into force.
    shutil.rmtree(daemon.profile_folder, ignore_errors=True)
    subprocess.run(["cp", "-a", f"{saved}/.", daemon.folder], check=True)
    told = len(daemon.manager.items)
    assert changes(reload(daemon)) == {"aaa-new": ("added", "proven"), "other": ("access", None)}
    daemon.manager.wait_for(since=told, READY="1")
    assert "refused" not in daemon.manager.status
    assert daemon.get("/v1/profiles/other/token").status == 404


def test_all_errors_are_told_at_once(daemon, shop):
    daemon.start()
    for name in ("shop", "other"):
        edit(daemon.profile_folder / f"{name}.conf", "Allow=any", "Allow=any\nDeny=any")
    edit(daemon.config, "[Access]", "Nonsense=1\n[Access]")
    assert len([problem for problem in refused(daemon) if problem["severity"] == "error"]) >= 3


# --- profiles come and go ---------------------------------------------------------------------------------------------


def test_a_removed_profile_is_one_that_never_was(daemon, shop):
    daemon.start()
    with daemon.connection() as kept:
        assert kept.call("GET", TOKEN).status == 200
        (daemon.profile_folder / "shop.conf").unlink()
        assert reload(daemon)["removed"] == ["shop"]
        answer = kept.call("GET", TOKEN)
    assert answer.status == 404
    unknown = daemon.get("/v1/profiles/nope/token")
    assert answer.body.replace(b"shop", b"nope") == unknown.body
    names = {"Date"}
    assert [h for h in answer.headers.items() if h[0] not in names] == [
        h for h in unknown.headers.items() if h[0] not in names
    ]
    assert [profile["name"] for profile in daemon.get("/v1/profiles").json["profiles"]] == ["other"]
    assert 'profile="shop"' not in daemon.get("/metrics").text


def test_who_waits_for_a_removed_profile_is_told(daemon, upstream, shop):
    """A report, a refresh and a long poll; the request in flight is called off."""
    daemon.start()
    report = json.dumps({"fingerprint": daemon.token("shop")["fingerprint"]}).encode()
    upstream.fault(client_id=shop["client_id"], hang=True)
    with contextlib.ExitStack() as stack:
        reports, refreshes, polls = (stack.enter_context(daemon.connect()) for _ in range(3))
        refreshes.sendall(request_bytes("/v1/profiles/shop/refresh", "POST"))
        upstream.wait(shop["client_id"], held=1)
        reports.sendall(request_bytes("/v1/profiles/shop/rejected?wait=60", "POST", body=report))
        polls.sendall(request_bytes(f"{TOKEN}?wait=60", headers=['If-None-Match: "g1"']))
        daemon.wait_metric("bearerd_waiters", 3)
        (daemon.profile_folder / "shop.conf").unlink()
        reload(daemon)
        for sock in (reports, refreshes, polls):
            answer = read_answer(sock)
            assert (answer.status, answer.problem_type) == (404, "unknown-profile")
    daemon.wait_metric("bearerd_waiters", 0)
    upstream.wait(shop["client_id"], requests=2, in_flight_max=0)


def test_a_profile_that_comes_again_tells_no_generation_twice(daemon, upstream, shop):
    daemon.start()
    for _ in range(3):
        assert daemon.call("POST", "/v1/profiles/shop/refresh").status == 200
    file = daemon.profile_folder / "shop.conf"
    text = file.read_text()
    last, fingerprint = daemon.token("shop")["generation"], daemon.token("shop")["fingerprint"]
    for _ in range(3):
        file.unlink()
        assert reload(daemon)["removed"] == ["shop"]
        file.write_text(text)
        outcome = reload(daemon)
        assert (outcome["added"], changes(outcome)) == (["shop"], {"shop": ("added", "proven")})
        # Who polls with what he knew gets the new one, not a 304.
        token = daemon.token("shop")
        assert token["generation"] > last and token["fingerprint"] != fingerprint
        answer = daemon.get(TOKEN, headers={"If-None-Match": f'"g{last}"'})
        assert answer.status == 200
        last, fingerprint = token["generation"], token["fingerprint"]


def test_a_profile_that_was_broken_at_the_start_is_repaired(daemon, upstream, shop):
    file = daemon.profile_folder / "shop.conf"
    edit(file, "Provider=vipps", "Provider=vipps\nEnviroment=test")
    daemon.start()
    assert daemon.status("shop")["state"] == "failed"
    assert daemon.get(TOKEN).status == 503
    # As long as it is broken, nothing else can be changed either.
    refused(daemon)
    edit(file, "Enviroment=test\n", "")
    outcome = reload(daemon)
    assert changes(outcome) == {"shop": ("identity", "proven")}, outcome
    assert daemon.token("shop", "?wait=0")["generation"] == 1
    assert daemon.status("shop")["state"] == "fresh"
    assert daemon.get("/readyz").status == 200
    assert upstream.stats(shop["client_id"])["requests"] == 1
    assert reload(daemon)["unchanged"] == 2


def test_another_profile_directory(daemon, upstream, shop):
    daemon.start()
    before = daemon.token("shop")
    daemon.profile_folder = daemon.folder / "more.d"
    daemon.profile_folder.mkdir()
    profiles.vipps(daemon, "shop", upstream, shop)
    profiles.vipps(daemon, "new", upstream, upstream.vipps_client())
    daemon.main()
    outcome = reload(daemon)
    assert (outcome["added"], outcome["removed"], outcome["unchanged"]) == (["new"], ["other"], 1)
    assert daemon.token("shop")["fingerprint"] == before["fingerprint"], "where a file lies is no change"
    assert daemon.token("new")["generation"] >= 1


# --- while it reads ---------------------------------------------------------------------------------------------------


@pytest.mark.needs_root
def test_requests_are_answered_while_settings_are_read(daemon, upstream, shop, gates):
    """The reader stands before a key file for as long as it takes; nobody else does."""
    daemon.start()
    with daemon.connect() as admin, daemon.connection() as kept:
        with Gate(daemon.key_folder / "shop.client-secret") as gate:
            admin.sendall(request_bytes("/v1/reload", "POST"))
            gate.wait()
            for _ in range(500):
                assert kept.call("GET", TOKEN).status == 200
            assert daemon.get("/healthz").status == 200
            assert daemon.call("POST", "/v1/profiles/shop/refresh").json["generation"] == 2
            assert not daemon.log.find(match=RELOADED)
        assert read_answer(admin).json["unchanged"] == 2
    assert daemon.token("shop")["generation"] == 2


@pytest.mark.needs_root
def test_two_reloads_at_once_end_with_what_the_last_one_saw(daemon, upstream, shop, gates):
    """The second one is asked when the first has read part: it is read once more, and both get that outcome."""
    file = daemon.profile_folder / "other.conf"
    daemon.start()
    mark = len(daemon.manager.items)
    with contextlib.ExitStack() as stack:
        first, *others = (stack.enter_context(daemon.connect()) for _ in range(10))
        with Gate(daemon.key_folder / "shop.client-secret") as gate:  # "other" comes before "shop"
            first.sendall(request_bytes("/v1/reload", "POST"))
            gate.wait()
            edit(file, "Allow=any", "Allow=user:4242")
            for sock in others:
                sock.sendall(request_bytes("/v1/reload", "POST"))
            daemon.wait_metric("bearerd_waiters", 10)
        for sock in (first, *others):
            assert changes(read_answer(sock).json) == {"other": ("access", None)}
    assert daemon.get("/v1/profiles/other/token").status == 404
    daemon.manager.wait_for(since=mark, READY="1")
    daemon.log.wait_for(match=RELOADED, count=2)
    assert len(daemon.log.find(match=RELOADED)) == 2
    assert reload(daemon)["unchanged"] == 2


def has_reader(daemon):
    """Whether the daemon's thread that reads settings is there."""
    names = []
    for thread in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            names.append((thread / "comm").read_text())
    return "settings\n" in names


@pytest.mark.needs_root
def test_a_stop_while_settings_are_read(daemon, shop, gates):
    """Who asked is answered, nothing comes into force any more, and the manager hears nothing behind STOPPING=1."""
    daemon.start()
    mark = len(daemon.manager.items)
    with daemon.connect() as admin, daemon.connect() as slow:
        # Answers that nobody takes keep the daemon from ending before the reader does.
        slow.sendall(request_bytes(TOKEN) * 1000)
        with Gate(daemon.key_folder / "shop.client-secret") as gate:
            edit(daemon.profile_folder / "other.conf", "Allow=any", "Allow=user:4242")
            admin.sendall(request_bytes("/v1/reload", "POST"))
            gate.wait()
            assert has_reader(daemon)
            daemon.signal(signal.SIGTERM)
            answer = read_answer(admin)
            assert (answer.status, answer.problem_type) == (503, "stopping")
            daemon.manager.wait_for(since=mark, STOPPING="1")
        wait_until(lambda: not has_reader(daemon), "the reader does not end")
        read_to_end(slow)
    assert daemon.wait_exit() == 0
    assert not daemon.socket.exists()
    assert not daemon.log.find(match=RELOADED)
    assert "STOPPING" in daemon.manager.items[-1], daemon.manager.items[mark:]


@pytest.mark.needs_root
def test_a_stop_does_not_wait_for_a_reader_that_hangs(daemon, shop, gates):
    daemon.start()
    with Gate(daemon.key_folder / "shop.client-secret") as gate:
        daemon.signal(signal.SIGHUP)
        gate.wait()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait_exit() == 0
    assert not daemon.socket.exists(), "the socket was left behind"


def test_no_reload_is_begun_while_the_daemon_stops(daemon, upstream, shop):
    daemon.start()
    upstream.fault(client_id=shop["client_id"], hang=True)
    with daemon.connect() as waits, daemon.connect() as admin:
        admin.sendall(request_bytes("/healthz"))
        assert read_answer(admin).status == 200
        daemon.signal(signal.SIGTERM)
        daemon.manager.wait_for(STOPPING="1")
        daemon.signal(signal.SIGHUP)
        with contextlib.suppress(OSError):
            admin.sendall(request_bytes("/v1/reload", "POST"))
        read_to_end(waits)
    assert daemon.wait_exit() == 0
    assert not daemon.manager.has(RELOADING="1")


@pytest.mark.plain_build
def test_two_thousand_profiles(daemon, upstream, shop):
    """Reading and comparing them all keeps nobody waiting, and only what changed is touched."""
    secret = daemon.key("crowd.secret", "c2VjcmV0LWZvci10ZXN0cw==")
    subscription = daemon.key("crowd.key", "0123456789abcdef0123456789abcdef")
    for i in range(2000):
        keys = {"ClientID": f"client-{i}", "ClientSecretFile": secret, "SubscriptionKeyFile": subscription}
        profile = {"Provider": "vipps", "BaseURL": upstream.http, "Preload": "no"}
        profiles.write(daemon, f"crowd-{i:04}", profile, keys)
    daemon.start()
    for i in range(0, 2000, 2):
        edit(daemon.profile_folder / f"crowd-{i:04}.conf", "Allow=any", "Allow=user:4242")
    for i in range(1, 100, 2):
        (daemon.profile_folder / f"crowd-{i:04}.conf").unlink()
    n_answers = 0
    with daemon.connect() as admin, daemon.connection() as kept:
        admin.sendall(request_bytes("/v1/reload", "POST"))
        admin.setblocking(False)
        while not has_bytes(admin):
            assert kept.call("GET", TOKEN).status == 200
            n_answers += 1
        admin.settimeout(PATIENCE)
        outcome = read_answer(admin).json
    assert n_answers >= 10, "nobody was answered while it read"
    assert (len(outcome["removed"]), len(outcome["changed"]), outcome["unchanged"]) == (50, 1000, 952)
    assert daemon.get("/v1/profiles/crowd-0000/token").status == 404
    assert daemon.status("crowd-1001")["state"] == "empty"
    assert upstream.stats(shop["client_id"])["requests"] == 1


def has_bytes(sock):
    """Whether there is something to be read."""
    try:
        return len(sock.recv(1, socket.MSG_PEEK)) > 0
    except BlockingIOError:
        return False
