# SPDX-License-Identifier: MIT
"""Names and certificates under the sandbox: the way to an issuer on the Internet, played in the box."""

import pytest

from boxlib.network import NAME_SERVER, NameServer
from boxlib.service import UNIT
from lib.profiles import vipps


@pytest.fixture
def authority(box, upstream):
    """The stand-in's authority as a file that the daemon can read; its path there."""
    box.copy(upstream.ca_file, "/etc/bearerd/ca.pem")
    box.sh("chmod", "0644", "/etc/bearerd/ca.pem")
    return "/etc/bearerd/ca.pem"


def port_of(url):
    return url.rpartition(":")[2]


def test_https_with_an_authority_of_its_own(service, upstream, authority):
    vipps(service, "shop", upstream, upstream.vipps_client(), base=upstream.https, profile={"CAFile": authority})
    service.start()
    assert service.token() == 200


@pytest.fixture
def trust(box, authority):
    """A function that makes the stand-in's authority one of the system's, as update-ca-certificates does; undone at the end."""
    bundle = box.path("/etc/ssl/certs/ca-certificates.crt")
    before = bundle.read_bytes()
    name = box.sh("openssl", "x509", "-noout", "-subject_hash", "-in", authority).stdout.strip() + ".0"

    def add():
        bundle.write_bytes(before + box.path(authority).read_bytes())
        box.sh("ln", "-s", authority, f"/etc/ssl/certs/{name}")

    yield add
    bundle.write_bytes(before)
    box.sh("rm", "-f", f"/etc/ssl/certs/{name}")


def test_https_with_the_systems_authorities(service, upstream, trust):
    vipps(service, "shop", upstream, upstream.vipps_client(), base=upstream.https)
    service.start()
    assert service.status()["last_error"]["reason"] == "certificate"
    trust()
    # A restart is no reason to ask sooner than was planned.
    service.box.ctl("restart", UNIT)
    service.wait_event("recovered")
    assert service.token() == 200


def test_a_name_is_looked_up(service, upstream, authority):
    """By getaddrinfo() in a thread, with /etc/resolv.conf, UDP and no netlink."""
    box = service.box
    before = box.path("/etc/resolv.conf").read_bytes()
    box.write("/etc/resolv.conf", f"nameserver {NAME_SERVER}\n")
    # The name that the certificate of this listener is for.
    base = f"https://wrong.example:{port_of(upstream.https_wrong_host)}"
    vipps(service, "shop", upstream, upstream.vipps_client(), base=base, profile={"CAFile": authority})
    try:
        with NameServer(box, "wrong.example") as names:
            service.start()
            assert names.n_asked > 0
        assert service.token() == 200
    finally:
        box.write("/etc/resolv.conf", before)


def test_a_name_that_is_nowhere_is_told_as_such(service, upstream):
    box = service.box
    before = box.path("/etc/resolv.conf").read_bytes()
    box.write("/etc/resolv.conf", f"nameserver {NAME_SERVER}\n")
    vipps(service, "shop", upstream, upstream.vipps_client(), base="https://nowhere.example")
    try:
        with NameServer(box, "issuer.example"):
            service.start()
        assert "Could not resolve host: nowhere.example" in service.status()["last_error"]["message"]
    finally:
        box.write("/etc/resolv.conf", before)


def test_a_proxy_from_the_environment_file(service, upstream):
    """Who asks the proxy has read its address."""
    box = service.box
    vipps(service, "shop", upstream, upstream.vipps_client(), base="https://issuer.example")
    box.write("/etc/default/bearerd", f"https_proxy={upstream.refused}\n")
    try:
        service.start()
        assert port_of(upstream.refused) in service.status()["last_error"]["message"]
    finally:
        box.sh("rm", "/etc/default/bearerd")
