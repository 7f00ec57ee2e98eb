# SPDX-License-Identifier: MIT
"""Where secrets lie in the memory of the daemon, seen from outside: in locked mappings only, and no longer than they
are used. And that the daemon cannot be dumped."""

import os
import re

import pytest
from lib import memory, profiles
from lib.http import read_answer, request_bytes
from test_providers import RSA, make_key

pytestmark = [pytest.mark.needs_root, pytest.mark.plain_build]


def tails(token):
    """Two pieces of a token that no other token has."""
    return {"middle": token[len(token) // 2 :][:40].encode(), "end": token[-40:].encode()}


def use(daemon, name):
    """Everything that handles a token: each form of answer, kept and closed connections, HEAD, pipelining."""
    with daemon.connection() as connection:
        for target in (f"/v1/profiles/{name}/token", f"/v1/profiles/{name}/headers", f"/v1/profiles/{name}"):
            assert connection.call("GET", target).status == 200
            assert connection.call("HEAD", target).status == 200
        text = connection.call("GET", f"/v1/profiles/{name}/headers", headers={"Accept": "text/plain"})
        assert text.status == 200
    with daemon.connect() as sock:
        sock.sendall(request_bytes(f"/v1/profiles/{name}/token") * 3)
        for _ in range(3):
            read_answer(sock)


def assert_locked(hits):
    for name, mappings in hits.items():
        for mapping in mappings:
            assert mapping.is_locked, f"{name} lies in {mapping}"


@pytest.fixture
def tenants(daemon, upstream):
    """Every kind of key, running; {needle's name: bytes} of all keys."""
    vipps = upstream.vipps_client(api_subscription_key="CANARYapi0123456789abcdef0123456")
    oauth = upstream.oauth_client("vipps-oauth", client_secret="CANARYoauth/0123456789==")
    basic = upstream.oauth_client("basic", client_secret="CANARYbasic/0123456789==")
    post = upstream.oauth_client("post", client_secret="CANARYpost/0123456789==")
    signing, public = make_key(daemon, "signing.pem", *RSA)
    jwt = upstream.register(
        {"kind": "private_key_jwt", "client_id": f"jwt-{daemon.folder.name}", "public_key_pem": public, "alg": "RS256"}
    )
    tls = upstream.register({"kind": "tls", "client_id": f"tls-{daemon.folder.name}"})
    tls_key = open(upstream.client_key_file).read()
    profiles.vipps(daemon, "vipps", upstream, vipps)
    profiles.vipps_oauth(daemon, "oauth", upstream, oauth)
    profiles.oauth2(daemon, "basic", upstream, basic)
    profiles.oauth2(daemon, "post", upstream, post, "post", base=upstream.https, profile={"CAFile": upstream.ca_file})
    profiles.oauth2(daemon, "jwt", upstream, jwt, "private-key-jwt", keys={"SigningKeyFile": signing})
    profiles.oauth2(
        daemon,
        "tls",
        upstream,
        tls,
        "tls",
        base=upstream.https_mtls,
        profile={"TLSCertificateFile": upstream.client_cert_file, "CAFile": upstream.ca_file},
        keys={"TLSKeyFile": daemon.key("tls.key", tls_key)},
    )
    daemon.start("--log-level", "debug")
    return {
        "vipps secret": vipps["client_secret"].encode(),
        "subscription key": vipps["subscription_keys"][0].encode(),
        "API key": vipps["api_subscription_key"].encode(),
        "oauth secret": oauth["client_secret"].encode(),
        "basic secret": basic["client_secret"].encode(),
        "post secret": post["client_secret"].encode(),
        "post secret in a form": b"CANARYpost%2F0123456789",
        "signing key": signing.read_bytes().splitlines()[5],
        "TLS key": tls_key.encode().splitlines()[2],
    }


NAMES = ("vipps", "oauth", "basic", "post", "jwt", "tls")


def test_keys_and_tokens_lie_in_locked_memory_only(daemon, tenants):
    for name in NAMES:
        use(daemon, name)
    tokens = {name: daemon.token(name)["access_token"] for name in NAMES}
    daemon.wait_metric("bearerd_connections", 1)
    needles = dict(tenants)
    for name, token in tokens.items():
        needles |= {f"{piece} of the token of {name}": needle for piece, needle in tails(token).items()}
    hits = memory.search(daemon.pid, needles)
    for name in ("vipps secret", "subscription key", *(f"end of the token of {name}" for name in NAMES)):
        assert hits[name], f"{name} is not found at all: this test looks in the wrong place"
    assert_locked(hits)


def test_a_replaced_token_is_gone(daemon, tenants):
    old = {}
    for name in NAMES:
        use(daemon, name)
        token = daemon.token(name)["access_token"]
        old |= {f"{piece} of the old token of {name}": needle for piece, needle in tails(token).items()}
        assert daemon.call("POST", f"/v1/profiles/{name}/refresh").status == 200
        use(daemon, name)
    daemon.wait_metric("bearerd_connections", 1)
    for name, mappings in memory.search(daemon.pid, old).items():
        assert not mappings, f"{name} still lies in {mappings}"


def test_failures_leave_nothing_behind(daemon, upstream):
    """A token in an answer that is refused, or cut off, is wiped; keys that were echoed are, too."""
    client = upstream.vipps_client(client_secret="CANARYecho/0123456789abcdef==")
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start("--log-level", "debug")
    canary = "eyJh.CANARY-" + os.urandom(20).hex() + "." + os.urandom(40).hex()
    for rule in (
        {"token": canary, "expires_in": "soon"},
        {"token": canary, "token_type": "mac"},
        {"token": canary, "truncate": 400},
        {"token": canary, "slow_body": 0.001, "expires_in": 0},
        {"status": 400, "body": {"error": canary, "error_description": canary}},
        {"body": canary, "headers": {"Content-Type": "text/plain"}},
        {"echo_secrets": True},
    ):
        [number] = upstream.fault({"client_id": client["client_id"], **rule})
        daemon.call("POST", "/v1/profiles/shop/refresh")
        upstream.clear(number)
    assert daemon.call("POST", "/v1/profiles/shop/refresh").status == 200
    hits = memory.search(daemon.pid, {"canary": canary.encode(), "piece": canary[-40:].encode()})
    assert not hits["canary"] and not hits["piece"], hits
    assert_locked(memory.search(daemon.pid, {"secret": client["client_secret"].encode()}))


def test_after_an_outage_the_expired_token_is_gone(daemon, own_upstream):
    client = own_upstream.vipps_client(lifetime=2)
    profiles.vipps(daemon, "shop", own_upstream, client)
    daemon.start()
    token = daemon.token("shop")["access_token"]
    own_upstream.down("http")
    daemon.wait_status("shop", state="failed", expires_in=None)
    hits = memory.search(daemon.pid, tails(token))
    assert not any(hits.values()), hits


def test_it_cannot_be_dumped(daemon, upstream):
    profiles.vipps(daemon, "shop", upstream, upstream.vipps_client())
    for path in (daemon.run_folder, daemon.key_folder, *daemon.key_folder.iterdir()):
        os.chown(path, 65534, 65534)
    daemon.main(SocketGroup="65534", SocketMode="0666")
    daemon.start(user=65534, group=65534, extra_groups=[])
    # Files of a process that is not dumpable belong to root (proc(5)), so its own user cannot read or trace it.
    for name in ("mem", "environ", "maps", "fd"):
        assert os.stat(f"/proc/{daemon.pid}/{name}").st_uid == 0
    with open(f"/proc/{daemon.pid}/limits") as file:
        [limit] = [line for line in file if line.startswith("Max core file size")]
    assert re.split(r"\s{2,}", limit)[1:3] == ["0", "0"]


def test_children_of_fork_would_get_no_secrets(daemon, tenants):
    """What is locked: MADV_DONTDUMP, and MADV_WIPEONFORK or, where it is shared, MADV_DONTFORK: "dd", "wf", "dc"."""
    with open(f"/proc/{daemon.pid}/smaps") as file:
        flags = [line.split()[1:] for line in file if line.startswith("VmFlags:")]
    locked = [flag for flag in flags if "lo" in flag]
    assert locked and all("dd" in flag and ("wf" in flag or "dc" in flag) for flag in locked)
