# SPDX-License-Identifier: MIT
"""One profile's trouble is not another's: slow upstreams, crowds of callers, callers who leave, two tenants at one
upstream."""

import socket
import threading

from lib import profiles
from lib.http import read_answer, read_to_end, request_bytes


def test_a_hanging_upstream_delays_nobody_else(daemon, upstream):
    """A thousand requests are answered while the hang lasts: it ends only after them."""
    hanging, warm, other = (upstream.vipps_client() for _ in range(3))
    for name, client in (("hanging", hanging), ("warm", warm), ("other", other)):
        profiles.vipps(daemon, name, upstream, client)
    upstream.fault(client_id=hanging["client_id"], hang=True)
    daemon.start(wait=False)
    upstream.wait(hanging["client_id"], held=1)
    daemon.log.wait_for("token-fetched", "warm")
    daemon.log.wait_for("token-fetched", "other")
    daemon.wait_socket()
    # A refresh of a token that is still good hangs as well.
    upstream.fault(client_id=warm["client_id"], hang=True)
    with daemon.connect() as admin, daemon.connect() as waiting, daemon.connection() as connection:
        admin.sendall(request_bytes("/v1/profiles/warm/refresh", "POST"))
        upstream.wait(warm["client_id"], held=1)
        waiting.sendall(request_bytes("/v1/profiles/hanging/token?wait=60"))
        daemon.wait_metric("bearerd_waiters", 2)
        targets = ["/v1/profiles/warm/token?wait=0", "/v1/profiles/other/token?wait=0", "/v1/profiles/other/headers"]
        targets += ["/v1/profiles/hanging", "/v1/profiles"]
        for i in range(1000):
            assert connection.call("GET", targets[i % len(targets)]).status == 200
        assert upstream.stats(hanging["client_id"])["held"] == 1
        assert upstream.stats(warm["client_id"])["held"] == 1
        upstream.clear()
        assert read_answer(admin).json["generation"] == 2
        assert read_answer(waiting).status == 200
    daemon.wait_ready()


def test_a_hanging_origin_leaves_slots_to_others(daemon, own_upstream):
    """ConcurrentFetches=2, ten profiles of one origin that hangs: another origin gets its turn."""
    stuck = [own_upstream.vipps_client() for _ in range(10)]
    for i, client in enumerate(stuck):
        profiles.vipps(daemon, f"a-stuck-{i}", own_upstream, client)
        own_upstream.fault(client_id=client["client_id"], hang=True)
    good = own_upstream.vipps_client()
    elsewhere = {"base": own_upstream.https, "profile": {"CAFile": own_upstream.ca_file}}
    profiles.vipps(daemon, "good", own_upstream, good, **elsewhere)
    daemon.main(ConcurrentFetches=2)
    daemon.start(wait=False)
    own_upstream.wait(good["client_id"], ok=1)
    daemon.wait_socket()
    daemon.wait_status("good", generation=1)
    for generation in range(2, 6):
        answer = daemon.call("POST", "/v1/profiles/good/refresh")
        assert (answer.status, answer.json["generation"]) == (200, generation)
    stats = own_upstream.stats()
    assert stats["max_in_flight"] <= 2
    assert stats["held"] >= 1
    own_upstream.clear()
    daemon.wait_ready()
    assert daemon.get("/readyz").status == 200


def test_one_slot_goes_round(daemon, own_upstream):
    """ConcurrentFetches=1: a hang that times out is followed by somebody else's turn."""
    stuck = [own_upstream.vipps_client() for _ in range(3)]
    for i, client in enumerate(stuck):
        profiles.vipps(daemon, f"a-stuck-{i}", own_upstream, client, refresh={"Timeout": "1s"})
        own_upstream.fault(client_id=client["client_id"], hang=True)
    good = own_upstream.vipps_client()
    elsewhere = {"base": own_upstream.https, "profile": {"CAFile": own_upstream.ca_file}}
    profiles.vipps(daemon, "good", own_upstream, good, **elsewhere)
    daemon.main(ConcurrentFetches=1)
    daemon.start(wait=False)
    stats = own_upstream.wait(good["client_id"], ok=1)
    assert stats["requests"] == 1
    turns = [request["client_id"] for request in own_upstream.requests()]
    assert turns.index(good["client_id"]) <= 1, "the second turn at the latest is the healthy origin's"
    own_upstream.clear()
    daemon.wait_ready()


def test_a_crowd_at_a_cold_profile_makes_one_request(daemon, upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], hang=True)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start(wait=False)
    upstream.wait(client["client_id"], held=1)
    daemon.wait_socket()
    crowd = [daemon.connect() for _ in range(500)]
    try:
        for sock in crowd:
            sock.sendall(request_bytes("/v1/profiles/shop/token?wait=60"))
        daemon.wait_metric("bearerd_waiters", 500)
        daemon.wait_metric("bearerd_connections", 501)  # and the one that asks
        upstream.clear()
        answers = [read_answer(sock) for sock in crowd]
    finally:
        for sock in crowd:
            sock.close()
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["access_token"] for answer in answers}) == 1
    assert upstream.stats(client["client_id"])["requests"] == 1
    assert daemon.metrics().value("bearerd_waiters") == 0
    daemon.wait_ready()


def test_a_crowd_shares_a_failure_too(daemon, upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], hang=True, status=401)
    profiles.vipps(daemon, "shop", upstream, client, refresh={"RetryMin": "30s", "RetryMax": "60s"})
    daemon.start(wait=False)
    upstream.wait(client["client_id"], held=1)
    daemon.wait_socket()
    crowd = [daemon.connect() for _ in range(50)]
    for sock in crowd:
        sock.sendall(request_bytes("/v1/profiles/shop/token?wait=60"))
    daemon.wait_metric("bearerd_waiters", 50)
    upstream.release(client["client_id"])
    answers = [read_answer(sock) for sock in crowd]
    for sock in crowd:
        sock.close()
    assert {(answer.status, answer.problem["last_error"]["reason"]) for answer in answers} == {(503, "invalid-keys")}
    assert upstream.stats(client["client_id"])["requests"] == 1
    daemon.wait_ready()


def test_a_caller_who_hangs_up_leaves_the_fetch_alone(daemon, upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], hang=True)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start(wait=False)
    upstream.wait(client["client_id"], held=1)
    daemon.wait_socket()
    for how in ("close", "reset"):
        sock = daemon.connect()
        sock.sendall(request_bytes("/v1/profiles/shop/token?wait=60"))
        daemon.wait_metric("bearerd_waiters", 1)
        if how == "reset":
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        daemon.wait_metric("bearerd_waiters", 0)
        daemon.wait_metric("bearerd_connections", 1)  # the one that asks
    assert upstream.stats(client["client_id"])["held"] == 1
    upstream.clear()
    daemon.wait_ready()
    assert daemon.token("shop", "?wait=0")["generation"] == 1
    assert upstream.stats(client["client_id"])["requests"] == 1
    assert "gone" not in upstream.stats(client["client_id"])["errors"]


def test_a_caller_who_only_closes_its_sending_half_is_answered(daemon, upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], hang=True)
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start(wait=False)
    upstream.wait(client["client_id"], held=1)
    daemon.wait_socket()
    callers = [daemon.connect() for _ in range(20)]
    for sock in callers:
        sock.sendall(request_bytes("/v1/profiles/shop/token?wait=60"))
        sock.shutdown(socket.SHUT_WR)
    daemon.wait_metric("bearerd_waiters", 20)
    upstream.clear()
    for sock in callers:
        assert read_answer(sock).json["generation"] == 1
        assert read_to_end(sock) == b""
        sock.close()
    with daemon.connect() as sock:  # the same without a wait
        sock.sendall(request_bytes("/v1/profiles/shop/token"))
        sock.shutdown(socket.SHUT_WR)
        assert read_answer(sock).json["generation"] == 1
    daemon.wait_ready()


def test_two_tenants_at_one_upstream_never_meet(daemon, upstream):
    """Under load from both sides, with tokens replaced all the time; proved at the upstream's own door."""
    tenants = {name: upstream.vipps_client(lifetime=2, msn=msn) for name, msn in (("one", "111111"), ("two", "222222"))}
    for name, client in tenants.items():
        profiles.vipps(daemon, name, upstream, client)
    daemon.start()
    wrong = []

    def use(name, client):
        with daemon.connection() as connection:
            for _ in range(150):
                headers = connection.call("GET", f"/v1/profiles/{name}/headers").json
                token = connection.call("GET", f"/v1/profiles/{name}/token").json
                if (
                    headers["Ocp-Apim-Subscription-Key"] != client["subscription_keys"][0]
                    or headers["Merchant-Serial-Number"] != client["msn"]
                    or token["profile"] != name
                ):
                    wrong.append((name, headers, token))
                status, answer = upstream.ping(headers)
                # A machine that stalls between the two may find the token over; somebody else's is never right.
                if (status, answer) not in ((200, {"client": client["client_id"]}), (401, {"error": "token expired"})):
                    wrong.append((name, status, answer))

    threads = [threading.Thread(target=use, args=item) for item in list(tenants.items()) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    fingerprints = [daemon.status(name)["fingerprint"] for name in tenants]
    assert fingerprints[0] != fingerprints[1]
    assert all(upstream.stats(client["client_id"])["api_ok"] >= 100 for client in tenants.values())
