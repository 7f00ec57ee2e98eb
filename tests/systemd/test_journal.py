# SPDX-License-Identifier: MIT
"""What `journalctl -o json` shows: fields to filter by, and nothing that is secret."""

import base64
import re

from boxlib.installed import PROGRAM
from boxlib.service import UNIT
from lib.profiles import vipps

HEX_ID = re.compile(r"[0-9a-f]{32}")


def test_the_start_and_a_token_have_their_ids(shop):
    shop.start()
    started, fetched = shop.wait_event("started"), shop.wait_event("token-fetched")
    for entry in (started, fetched):
        assert HEX_ID.fullmatch(entry["MESSAGE_ID"])
        assert entry["SYSLOG_IDENTIFIER"] == "bearerd" and entry["PRIORITY"] in "56"
        assert entry["_SYSTEMD_UNIT"] == UNIT and entry["_COMM"] == "bearerd"
    assert started["MESSAGE_ID"] != fetched["MESSAGE_ID"]
    assert fetched["PROFILE"] == "shop"
    assert fetched["FINGERPRINT"] == shop.status()["fingerprint"]


def test_a_handout_names_the_caller(shop):
    shop.start()
    assert shop.token(user="www-data", unit="web.service") == 200
    entry = shop.wait_event("token-handout", PEER_UNIT="web.service")
    assert entry["PEER_UID"] == "33" and entry["PROFILE"] == "shop" and int(entry["PEER_PID"]) > 1
    assert entry["FINGERPRINT"] == shop.status()["fingerprint"]
    assert HEX_ID.fullmatch(entry["MESSAGE_ID"])


def test_a_denial_names_the_caller(service, upstream):
    vipps(service, "shop", upstream, upstream.vipps_client(), allow="unit:web.service")
    service.start()
    assert service.token(user="www-data", unit="other.service") == 404
    entry = service.wait_event("access-denied", PEER_UNIT="other.service")
    assert entry["PEER_UID"] == "33" and entry["PROFILE"] == "shop" and entry["PRIORITY"] in "45"
    assert HEX_ID.fullmatch(entry["MESSAGE_ID"])


def test_a_failure_says_why(service, upstream):
    client = upstream.vipps_client()
    vipps(service, "shop", upstream, client)
    upstream.fault(client_id=client["client_id"], status=503)
    service.start()
    entry = service.wait_event("profile-failed")
    assert entry["PROFILE"] == "shop" and entry["HTTP_STATUS"] == "503" and entry["REASON"]
    assert HEX_ID.fullmatch(entry["MESSAGE_ID"])


def test_one_id_finds_all_of_its_kind(shop):
    shop.start()
    entry = shop.wait_event("token-fetched")
    found = shop.box.journal(shop.since, MESSAGE_ID=entry["MESSAGE_ID"])
    assert {one["EVENT"] for one in found} == {"token-fetched"}


def test_no_field_holds_a_secret(service, upstream):
    """Of everything that the journal has of this test: by whomever, at any level."""
    client = upstream.vipps_client()
    vipps(service, "shop", upstream, client)
    service.drop_in("debug", f"[Service]\nExecStart=\nExecStart={PROGRAM} --log-level debug\n")
    service.start()
    code, body = service.ask("/v1/profiles/shop/token", user="www-data", unit="web.service")
    assert code == 200
    service.box.ctl("reload", UNIT)
    secrets = [client["client_secret"], client["subscription_keys"][0], body["access_token"]]
    secrets += [base64.b64encode(one.encode()).decode() for one in secrets]
    # The test client's own command line and answer are no entries: its words come to us through a pipe.
    for entry in service.box.journal(service.since):
        for name, value in entry.items():
            assert not [one for one in secrets if value and one in value], f"{name} of {entry.get('MESSAGE')}"


def test_a_journal_that_has_stopped_stops_nobody(shop):
    """Its queue fills up; what does not fit is lost to the log, and the log says so when it is read again."""
    shop.start()
    shop.wait_event("token-fetched")
    n_asked, box = 40, shop.box
    box.ctl("kill", "--signal=STOP", "systemd-journald.service")
    try:
        # Each refresh is an entry. Not in units of their own, of which systemd would tell the journal as well.
        box.sh("sh", "-ec", f"for i in $(seq {n_asked}); do bearerctl refresh shop; done")
    finally:
        box.ctl("kill", "--signal=CONT", "systemd-journald.service")
    box.sh("journalctl", "--sync")  # its queue has been read
    box.sh("bearerctl", "refresh", "shop")
    fetched = shop.events("token-fetched")
    assert len(fetched) < n_asked, "nothing filled the queue"
    lost = [entry["MESSAGE"] for entry in box.journal(shop.since, _SYSTEMD_UNIT=UNIT) if " are lost" in entry["MESSAGE"]]
    assert len(lost) == 1
    # One of the start, those of the loop, and the last.
    assert int(lost[0].split()[0]) + len(fetched) == n_asked + 2
