# SPDX-License-Identifier: MIT
"""The stand-in as a whole: owns every object, and the path of one request from its arrival to its answer."""

from . import grants, http1
from .answers import Delivery, bend
from .clients import Clients
from .faults import Faults
from .listeners import Listener
from .record import Record
from .tokens import Clock, Tokens


class App:
    """Everything there is, wired together."""

    def __init__(self, log_file=None):
        self.clock = Clock()
        self.clients = Clients()
        self.tokens = Tokens(self.clock)
        self.upstream = grants.Upstream(self.clock, self.clients, self.tokens)
        self.record = Record(log_file)
        self.faults = Faults(on_held=self.record.changed)
        self.listeners = {}  # name to Listener; the control port is not among them

    async def listen(self, name, port=0, context=None, serve=None):
        """Open one port of the upstream."""
        listener = Listener(name, serve or self.serve, context, lambda: self.record.changed(None))
        await listener.up(port)
        self.listeners[name] = listener
        return listener

    async def reset(self):
        """Back to the state at start, apart from connections, request serials and what listeners counted."""
        self.clients.clear()
        self.tokens.clear()
        self.upstream.reset()
        self.faults.clear()
        self.record.clear()
        self.clock.ahead = 0.0
        for listener in self.listeners.values():
            await listener.up()

    async def serve(self, connection):
        """One connection to the upstream, request after request."""
        rule = self.faults.take_accept(connection.listener.name)
        if rule:
            if "reset" in rule.actions:
                connection.reset()
            return
        while True:
            try:
                request = await http1.read_request(connection.reader)
            except http1.Malformed as error:
                self.record.total.errors["malformed"] += 1
                await connection.send_last(http1.refuse_malformed(error).whole(self.date(), close=True))
                return
            if request is None or not await self._exchange(connection, request):
                return

    async def serve_nothing(self, connection):
        """A connection to the silent port: accepted, read, never answered."""
        await connection.gone

    async def _exchange(self, connection, request):
        """One request and its answer; whether the connection is good for another."""
        route = grants.find_route(request.path)
        is_token = route is None or route.is_token
        if route is None:
            client_id = request.header("client_id")
        elif route.is_token:
            client_id = grants.claimed_client_id(request, route)
        else:
            client_id = self.upstream.client_of_token(request)
        entry = self.record.arrived(connection, request, client_id, is_token)
        rule = self.faults.take(client_id, request.path, connection.listener.name, is_token)
        try:
            if rule is None:
                response, members = self._answer(connection, request, route, {})
                self.record.answered(entry, response.status, is_token and members is not None)
                await connection.send(response.whole(self.date(), request.wants_close))
                return not request.wants_close
            self.record.met_fault(entry)
            return await self._faulty(connection, request, route, entry, rule.actions)
        finally:
            self.record.answered(entry, "gone", False)  # unless counted before: the client hung up, or we broke

    def _answer(self, connection, request, route, shape):
        """(answer as it should be, members of its body or None when it is a refusal)."""
        try:
            if route is None:
                raise grants.gateway_refusal(404, "Resource not found")
            if request.method != route.method:
                raise grants.gateway_refusal(405, "Method not allowed", [("Allow", route.method)])
            members = getattr(self.upstream, route.handler)(request, connection, shape)
        except grants.Refusal as refusal:
            return refusal.response, None
        no_store = [("Cache-Control", "no-store"), ("Pragma", "no-cache")]  # RFC 6749 section 5.1
        return http1.Response.of_json(200, members, no_store), members

    async def _faulty(self, connection, request, route, entry, actions):
        """The answer under a fault rule; whether the connection is good for another request.

        The token is made before any wait: an upstream that is slow in answering has usually issued the token
        already, and its life runs. A client that counts from the answer is caught by that.
        """
        response, members = self._answer(connection, request, route, actions)
        if "hang" in actions:
            await self.faults.pause(connection, entry.client_id, None)
        if "delay" in actions:
            await self.faults.pause(connection, entry.client_id, actions["delay"])
        response = bend(request, response, members, actions, self.clock.now())
        date = self.date(actions.get("date_skew", 0))
        delivery = Delivery(self.faults, connection, entry.client_id, response, actions, date)
        with_token = members is not None and entry.is_token and 200 <= response.status < 300
        if not delivery.is_slow:
            self.record.answered(entry, delivery.broken_by or response.status, with_token and not delivery.broken_by)
        keep = await delivery.send()
        self.record.answered(entry, delivery.broken_by or response.status, with_token and not delivery.broken_by)
        return keep and not request.wants_close

    def date(self, skew=0):
        """The Date header of an answer sent now."""
        return http1.http_date(self.clock.now() + skew)
