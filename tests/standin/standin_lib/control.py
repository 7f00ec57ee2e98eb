# SPDX-License-Identifier: MIT
"""The control interface for tests: JSON over HTTP on a port of its own. README.md lists it."""

import json
import re
import urllib.parse

from . import assertion, http1
from .clients import BadClient, client_of
from .faults import BadRule

WAIT_MAX = 600  # seconds a long poll may ask for
WAIT_COUNTERS = ("requests", "ok", "issued", "faulted", "in_flight", "api_calls", "api_ok")  # members of Counters
WAIT_CONDITIONS = (*WAIT_COUNTERS, "errors", "held", "accepted", "in_flight_max")


TAKE_LISTS = (r"/clients", r"/faults")  # paths whose body may be a list


class Refused(Exception):
    """The control request is answered with `status` and {"error": detail}."""

    def __init__(self, status, detail):
        super().__init__(detail)
        self.status = status
        self.detail = detail


def as_list(value):
    """One or a list of: always a list."""
    return value if isinstance(value, list) else [value]


def number_of(text, name):
    """A query parameter as a number."""
    try:
        return float(text)
    except ValueError:
        raise Refused(400, f"{name} must be a number") from None


class Control:
    """The handlers; `serve` is a connection to the control port."""

    def __init__(self, app):
        self._app = app
        self._routes = [
            ("GET", r"/health", self._health),
            ("GET", r"/clients", self._list_clients),
            ("POST", r"/clients", self._put_clients),
            ("DELETE", r"/clients", self._clear_clients),
            ("POST", r"/clients/([^/]+)", self._change_client),
            ("DELETE", r"/clients/([^/]+)", self._remove_client),
            ("POST", r"/clients/([^/]+)/revoke", self._revoke),
            ("POST", r"/clients/([^/]+)/restore", self._restore),
            ("GET", r"/faults", self._list_faults),
            ("POST", r"/faults", self._add_faults),
            ("DELETE", r"/faults", self._clear_faults),
            ("DELETE", r"/faults/([0-9]+)", self._remove_fault),
            ("POST", r"/release", self._release),
            ("GET", r"/stats", self._stats),
            ("GET", r"/requests", self._requests),
            ("GET", r"/wait", self._wait),
            ("POST", r"/lifetime", self._lifetime),
            ("POST", r"/clock", self._clock),
            ("POST", r"/down", self._down),
            ("POST", r"/up", self._up),
            ("POST", r"/close-connections", self._close_connections),
            ("POST", r"/reset", self._reset),
        ]

    async def serve(self, connection):
        """One connection to the control port, request after request."""
        while True:
            try:
                request = await http1.read_request(connection.reader)
            except http1.Malformed as error:
                await connection.send_last(http1.refuse_malformed(error).whole(self._app.date(), close=True))
                return
            if request is None:
                return
            response = await self._answer(request)
            await connection.send(response.whole(self._app.date(), request.wants_close))
            if request.wants_close:
                return

    async def _answer(self, request):
        """The answer to one control request."""
        try:
            status, value = await self._dispatch(request)
        except Refused as error:
            status, value = error.status, {"error": error.detail}
        except (BadClient, BadRule) as error:
            status, value = 400, {"error": str(error)}
        return http1.Response.of_json(status, value)

    async def _dispatch(self, request):
        """(status, JSON value) from the handler that the request's method and path choose."""
        try:
            body = json.loads(request.body) if request.body else {}
        except ValueError:
            raise Refused(400, "the body is not JSON") from None
        query = dict(urllib.parse.parse_qsl(request.query))
        allowed = []
        for method, pattern, handler in self._routes:
            match = re.fullmatch(pattern, request.path)
            if match and method == request.method:
                if not isinstance(body, dict) and pattern not in TAKE_LISTS:
                    raise Refused(400, "the body must be a JSON object")
                return await handler(*map(urllib.parse.unquote, match.groups()), body=body, query=query)
            if match:
                allowed.append(method)
        raise Refused(405 if allowed else 404, f"allowed: {', '.join(allowed)}" if allowed else "no such path")

    async def _health(self, **_):
        return 200, {"ok": True}

    # --- clients -------------------------------------------------------------------------------------------------

    def _client(self, client_id):
        client = self._app.clients.get(client_id)
        if client is None:
            raise Refused(404, f"no client {client_id}")
        return client

    async def _list_clients(self, **_):
        return 200, {"clients": [client.client_id for client in self._app.clients]}

    async def _put_clients(self, body, **_):
        clients = [client_of(values) for values in as_list(body)]
        for client in clients:
            check_public_key(client)
        self._app.clients.put_all(clients)
        return 200, {"registered": len(clients)}

    async def _clear_clients(self, **_):
        self._app.clients.clear()
        return 200, {}

    async def _change_client(self, client_id, body, **_):
        self._client(client_id)
        check_public_key(self._app.clients.change(client_id, body))
        return 200, {}

    async def _remove_client(self, client_id, **_):
        self._client(client_id)
        self._app.clients.remove(client_id)
        return 200, {}

    async def _revoke(self, client_id, body, **_):
        client = self._client(client_id)
        if body.get("what") == "tokens":
            self._app.upstream.revoke_tokens(client)
        else:
            client.set_revoked(body.get("what"), body.get("index"), True)
        return 200, {}

    async def _restore(self, client_id, body, **_):
        self._client(client_id).set_revoked(body.get("what", "all"), body.get("index"), False)
        return 200, {}

    # --- faults --------------------------------------------------------------------------------------------------

    async def _list_faults(self, **_):
        return 200, {"faults": self._app.faults.as_json()}

    async def _add_faults(self, body, **_):
        return 200, {"ids": self._app.faults.add_all(as_list(body))}

    async def _clear_faults(self, **_):
        self._app.faults.clear()
        return 200, {}

    async def _remove_fault(self, number, **_):
        if not self._app.faults.remove(int(number)):
            raise Refused(404, f"no fault {number}")
        return 200, {}

    async def _release(self, body, **_):
        return 200, {"released": self._app.faults.release(body.get("client_id"))}

    # --- what arrived --------------------------------------------------------------------------------------------

    def _described(self, client_id):
        """The counters of one client, or of all together with the listeners."""
        described = self._app.record.counters(client_id).as_json() | {"held": self._app.faults.n_held(client_id)}
        if client_id is None:
            described["serial"] = self._app.record.serial
            described["listeners"] = {name: one.as_json() for name, one in self._app.listeners.items()}
        return described

    async def _stats(self, query, **_):
        if "client_id" in query:
            return 200, self._described(query["client_id"])
        clients = {client_id: self._described(client_id) for client_id in self._app.record.client_ids()}
        return 200, {**self._described(None), "clients": clients}

    async def _requests(self, query, **_):
        since = number_of(query.get("since", "0"), "since")
        entries = self._app.record.requests(query.get("client_id"), since)
        return 200, {"serial": self._app.record.serial, "requests": [entry.as_json() for entry in entries]}

    async def _wait(self, query, **_):
        client_id = query.get("client_id")
        timeout = min(number_of(query.get("timeout", "10"), "timeout"), WAIT_MAX)
        listener = self._app.listeners.get(query.get("listener", "http"))
        wanted = {name: number_of(query[name], name) for name in WAIT_CONDITIONS if name in query}
        unknown = set(query) - set(wanted) - {"client_id", "timeout", "listener"}
        if unknown or not wanted or listener is None:
            raise Refused(400, f"wait for one of: {', '.join(WAIT_CONDITIONS)}; accepted with listener=NAME")
        at_most = wanted.pop("in_flight_max", float("inf"))

        def is_met():
            counters = self._app.record.counters(client_id)
            values = {name: getattr(counters, name) for name in WAIT_COUNTERS} | {
                "errors": sum(counters.errors.values()),
                "held": self._app.faults.n_held(client_id),
                "accepted": listener.accepted,
            }
            return counters.in_flight <= at_most and all(values[name] >= n for name, n in wanted.items())

        met = await self._app.record.wait(client_id, is_met, timeout)
        return 200 if met else 504, self._described(client_id)

    # --- the whole -----------------------------------------------------------------------------------------------

    async def _lifetime(self, body, **_):
        seconds = body.get("seconds")
        if seconds is not None and (not isinstance(seconds, int) or seconds < 1):
            raise Refused(400, "seconds must be a whole number above 0, or null")
        self._app.upstream.default_lifetime = seconds
        return 200, {}

    async def _clock(self, body, **_):
        if not isinstance(body.get("advance", body.get("ahead")), (int, float)):
            raise Refused(400, "advance or ahead must be a number of seconds")
        clock = self._app.clock
        clock.ahead = body["ahead"] if "ahead" in body else clock.ahead + body["advance"]
        return 200, {"ahead": clock.ahead}

    def _chosen_listeners(self, body):
        names = as_list(body["listener"]) if "listener" in body else list(self._app.listeners)
        missing = [name for name in names if name not in self._app.listeners]
        if missing:
            raise Refused(404, f"no listener {missing[0]}")
        return [self._app.listeners[name] for name in names]

    async def _down(self, body, **_):
        for listener in self._chosen_listeners(body):
            listener.down()
        return 200, {}

    async def _up(self, body, **_):
        for listener in self._chosen_listeners(body):
            await listener.up()
        return 200, {}

    async def _close_connections(self, body, **_):
        return 200, {"closed": sum(one.close_connections() for one in self._chosen_listeners(body))}

    async def _reset(self, **_):
        await self._app.reset()
        return 200, {}


def check_public_key(client):
    """Refuse a registration whose public key cannot be read."""
    if client.public_key_pem is not None:
        try:
            assertion.load_public_key(client.public_key_pem)
        except ValueError:
            raise BadClient("public_key_pem is not a public key in PEM") from None
