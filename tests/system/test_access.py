# SPDX-License-Identifier: MIT
"""Who gets what: callers of other users and groups, as the kernel names them. A refusal tells nothing."""

import os

import pytest
from lib import profiles
from lib.caller import Caller
from lib.watch import NOTICE

pytestmark = pytest.mark.needs_root

NOBODY = 65534
# Made up: no account has them, and none is needed.
ALICE, BOB, CAROL = 3_000_000_001, 3_000_000_002, 3_000_000_003
STAFF, OTHERS = 3_100_000_001, 3_100_000_002
DENIED = "there is no profile of this name that this caller may use"


@pytest.fixture
def shared(daemon, upstream):
    """A daemon that everybody may connect to, with three profiles; {name: client}."""
    clients = {name: upstream.vipps_client() for name in ("alices", "staffs", "nobodys", "everybodys")}
    profiles.vipps(daemon, "alices", upstream, clients["alices"], allow=f"user:{ALICE}")
    profiles.vipps(daemon, "staffs", upstream, clients["staffs"], allow=f"group:{STAFF}")
    profiles.vipps(daemon, "nobodys", upstream, clients["nobodys"], allow=None)
    profiles.vipps(daemon, "everybodys", upstream, clients["everybodys"], allow="any")
    daemon.main(SocketMode="0666")
    daemon.start()
    return clients


def may(caller, profile):
    """Whether a caller gets this profile's token; the refusal is checked."""
    answer = caller.get(f"/v1/profiles/{profile}/token")
    if answer.status == 200:
        assert answer.json["profile"] == profile
        return True
    assert (answer.status, answer.problem_type) == (404, "unknown-profile")
    assert answer.problem["detail"] == DENIED
    assert set(answer.problem) == {"type", "title", "status", "detail", "profile"}
    return False


def test_users(daemon, shared):
    with Caller(daemon, ALICE) as alice, Caller(daemon, BOB) as bob, Caller(daemon, NOBODY) as nobody:
        assert [may(caller, "alices") for caller in (alice, bob, nobody)] == [True, False, False]
        assert [may(caller, "nobodys") for caller in (alice, bob, nobody)] == [False] * 3
        assert [may(caller, "everybodys") for caller in (alice, bob, nobody)] == [True] * 3
        answer = alice.get("/v1/profiles/alices/headers")
        assert answer.status == 200 and answer.json["Authorization"].startswith("Bearer ")


def test_groups(daemon, shared):
    with Caller(daemon, ALICE, gid=STAFF) as primary, Caller(daemon, BOB, gid=OTHERS, groups=[STAFF]) as supplementary:
        assert may(primary, "staffs") and may(supplementary, "staffs")
    many = [STAFF + i for i in range(-100, 100) if i != 0]  # the kernel sorts them
    with Caller(daemon, BOB, gid=OTHERS, groups=[*many, STAFF]) as member, Caller(daemon, BOB, groups=many) as stranger:
        assert may(member, "staffs")
        assert not may(stranger, "staffs")
    with Caller(daemon, STAFF, gid=OTHERS) as namesake:  # a uid of that number is no group
        assert not may(namesake, "staffs")
    with Caller(daemon, OTHERS, gid=ALICE) as namesake:
        assert not may(namesake, "alices")


def test_a_denial_and_an_unknown_name_are_the_same_answer(daemon, shared):
    with Caller(daemon, BOB) as bob:
        for method, rest in (("GET", ""), ("GET", "/token"), ("GET", "/headers"), ("POST", "/refresh")):
            there = bob.raw(method, f"/v1/profiles/alices{rest}")
            nowhere = bob.raw(method, f"/v1/profiles/nobody{rest}")  # as long a name, for Content-Length

            def without_date(data):
                return b"\r\n".join(line for line in data.split(b"\r\n") if not line.lower().startswith(b"date:"))

            assert b" 404 " in there.split(b"\r\n")[0]
            assert without_date(there) == without_date(nowhere).replace(b"nobody", b"alices")


def test_a_denial_is_logged_and_counted_where_the_owner_sees_it(daemon, shared, upstream):
    requests = upstream.stats(shared["alices"]["client_id"])["requests"]
    with Caller(daemon, BOB) as bob, Caller(daemon, ALICE) as alice:
        assert not may(bob, "alices")
        line = daemon.log.wait_for("access-denied", "alices")
        assert line.level == NOTICE
        assert f"uid {BOB}" in line.message and f"pid {bob.pid}" in line.message
        assert daemon.metrics().value("bearerd_denied_total", profile="alices") == 1
        assert alice.metrics().value("bearerd_denied_total", profile="alices") == 1
        assert daemon.metrics().value("bearerd_api_requests_total", profile="alices", code="404") == 0
        assert daemon.metrics().value("bearerd_api_requests_total", profile="", code="404") == 1
        for _ in range(100):  # who knocks all day does not fill the log
            may(bob, "alices")
        assert len(daemon.log.find("access-denied")) < 40
    assert upstream.stats(shared["alices"]["client_id"])["requests"] == requests


def test_root_is_no_exception(daemon, shared):
    """Admins see every status and may refresh; tokens are for those whom Allow= names."""
    assert os.geteuid() == 0
    answer = daemon.get("/v1/profiles/alices/token")
    assert (answer.status, answer.problem_type) == (404, "unknown-profile")
    assert daemon.get("/v1/profiles/alices/headers").status == 404
    assert daemon.status("alices")["state"] == "fresh"
    refreshed = daemon.call("POST", "/v1/profiles/alices/refresh")
    assert (refreshed.status, refreshed.json["generation"]) == (200, 2)
    names = [status["name"] for status in daemon.get("/v1/profiles").json["profiles"]]
    assert names == ["alices", "everybodys", "nobodys", "staffs"]


def test_a_user_of_a_profile_may_not_force_refreshes(daemon, shared, upstream):
    requests = upstream.stats(shared["alices"]["client_id"])["requests"]
    with Caller(daemon, ALICE) as alice:
        answer = alice.call("POST", "/v1/profiles/alices/refresh")
        assert (answer.status, answer.problem_type) == (403, "forbidden")
        assert (answer.problem["profile"], answer.problem["state"]) == ("alices", "fresh")
        assert alice.get("/v1/profiles/alices").json["generation"] == 1
    assert upstream.stats(shared["alices"]["client_id"])["requests"] == requests


def test_lists_show_each_caller_its_own(daemon, shared):
    def listed(caller):
        return [status["name"] for status in caller.get("/v1/profiles").json["profiles"]]

    with Caller(daemon, ALICE) as alice, Caller(daemon, BOB, groups=[STAFF]) as bob, Caller(daemon, CAROL) as carol:
        assert listed(alice) == ["alices", "everybodys"]
        assert listed(bob) == ["everybodys", "staffs"]
        assert listed(carol) == ["everybodys"]
        for caller in (alice, bob, carol):
            page = caller.get("/metrics").text
            for name in ("alices", "staffs", "nobodys", "everybodys"):
                assert (f'profile="{name}"' in page) == (name in listed(caller))
            assert "bearerd_build_info" in page


def test_readyz_names_nobody_to_outsiders(daemon, upstream):
    client = upstream.vipps_client()
    upstream.revoke(client["client_id"], "secret")
    profiles.vipps(daemon, "secretive", upstream, client, allow=f"user:{ALICE}")
    daemon.main(SocketMode="0666")
    daemon.start()
    with Caller(daemon, ALICE) as alice:
        answer = alice.get("/readyz")
        assert answer.status == 503
        assert "secretive" not in answer.text
        assert alice.get("/healthz").status == 200
    assert "secretive (failed)" in daemon.get("/readyz").problem["detail"]


def test_admins_are_who_the_settings_say(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client(), allow=f"user:{ALICE}")
    daemon.main(SocketMode="0666", access={"Admin": [f"user:{BOB}", f"group:{STAFF}"]})
    daemon.start()
    with Caller(daemon, BOB) as bob, Caller(daemon, CAROL, groups=[STAFF]) as carol:
        assert bob.call("POST", "/v1/profiles/shop/refresh").json["generation"] == 2
        assert carol.call("POST", "/v1/profiles/shop/refresh").json["generation"] == 3
        assert bob.get("/v1/profiles/shop/token").status == 404
    assert daemon.get("/v1/profiles/shop").status == 404, "root is no admin here"
    assert daemon.call("POST", "/v1/profiles/shop/refresh").status == 404


def test_several_rules_and_names(daemon, upstream):
    allow = [f"user:{ALICE} user:{BOB}", "group:root", "user:nobody"]
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client(), allow=allow)
    daemon.main(SocketMode="0666")
    daemon.start()
    with Caller(daemon, ALICE) as alice, Caller(daemon, BOB) as bob, Caller(daemon, CAROL) as carol:
        assert [may(caller, "shop") for caller in (alice, bob, carol)] == [True, True, False]
    with Caller(daemon, NOBODY) as nobody, Caller(daemon, CAROL, gid=0) as grouped:
        assert may(nobody, "shop") and may(grouped, "shop")
    assert daemon.token("shop")["generation"] == 1  # root, by its group


def test_the_socket_itself_keeps_strangers_out(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    daemon.main(SocketMode="0660", SocketGroup=STAFF)
    daemon.start()
    with Caller(daemon, ALICE) as alice, pytest.raises(PermissionError):
        alice.get("/healthz")
    with Caller(daemon, ALICE, groups=[STAFF]) as alice:
        assert may(alice, "shop")


def test_groups_are_those_of_the_connect(daemon, shared):
    """What a process was when it connected counts, as the kernel keeps it: later changes of ids change nothing."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([STAFF])
            with daemon.connection() as connection:
                connection.connect()
                os.setgroups([])
                os.setgid(OTHERS)
                os.setuid(BOB)
                answer = connection.call("GET", "/v1/profiles/staffs/token")
                os.write(write_end, str(answer.status).encode())
                status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        assert pipe.read() == "200"
    assert os.waitpid(child, 0)[1] == 0
