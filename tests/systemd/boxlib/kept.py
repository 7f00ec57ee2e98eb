# SPDX-License-Identifier: MIT
"""One profile of a service, as its callers see it before and after something happened to the daemon."""

from lib.profiles import vipps

from .service import UNIT

# Crashes are not what waits in most tests.
SOON = "[Service]\nRestartSec=10ms\n"


class Kept:
    """The profile `shop`, open to everybody."""

    def __init__(self, service, upstream):
        self.service = service
        self.box = service.box
        self.upstream = upstream
        self.client = upstream.vipps_client()
        vipps(service, "shop", upstream, self.client)

    def held(self):
        """What a caller has: ETag and everything that does not go by the clock."""
        answer = self.service.answer("/v1/profiles/shop/token")
        assert answer["status"] == 200, answer
        names = ("access_token", "generation", "expires_at")
        return {"etag": answer["headers"]["ETag"]} | {name: answer["body"].get(name) for name in names}

    @property
    def n_requests(self):
        """What the upstream was asked for these keys."""
        return self.upstream.stats(self.client["client_id"])["requests"]

    @property
    def n_stored(self):
        """Descriptors that systemd holds for the daemon."""
        return int(self.service.show("NFileDescriptorStore"))

    def copy_keys(self, client):
        """Other keys in the files of the profile."""
        self.service.key("shop.client-secret", client["client_secret"])
        self.service.key("shop.subscription-key", client["subscription_keys"][0])

    def is_unchanged(self, etag):
        """A caller that asks for something newer is told that there is nothing: what it knows is what the daemon knows."""
        answer = self.service.answer("/v1/profiles/shop/token", headers=[f"If-None-Match: {etag}"])
        return answer["status"] == 304

    def wait_replaced(self, pid, **wanted):
        """Until another process than that one serves."""
        self.box.wait_show(UNIT, ActiveState="active", MainPID=lambda value: value not in ("0", str(pid)), **wanted)

    def kill(self, signal):
        """The daemon ends by this signal, and systemd starts another."""
        pid = self.service.pid
        self.box.sh("kill", f"-{signal}", str(pid))
        self.wait_replaced(pid)

    def check_nothing_lost(self, before, n_requests=1):
        """Everything is as before, and the upstream was not asked."""
        assert self.held() == before
        assert self.is_unchanged(before["etag"])
        assert self.n_requests == n_requests, "the upstream was asked"

    def check_began_anew(self, before, n_requests=2):
        """A token of its own."""
        after = self.held()
        assert after["access_token"] != before["access_token"]
        assert self.n_requests == n_requests
