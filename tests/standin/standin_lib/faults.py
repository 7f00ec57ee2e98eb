# SPDX-License-Identifier: MIT
"""The rules, set by tests, by which answers go wrong. answers.py carries them out.

A rule says to whom it applies (client_id, path, listener), how often (skip, times) and what happens (its actions).
The first live rule that matches a request takes it, whole; so several rules with times=1 are a script.

Every wait in here ends with `release()`, with the rule's removal, or when the client hangs up: a test waits for
events and never for time.
"""

import asyncio
import base64
import collections

FILTERS = ("client_id", "path", "listener")


class BadRule(ValueError):
    """A fault rule that makes no sense; the text says why."""


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_flag(value):
    return value is True


def _is_duration(value):
    return _is_number(value) and value >= 0


def _one_of(*choices):
    return lambda value: isinstance(value, str) and value in choices


def _is_text(value):
    return isinstance(value, str)


def _is_headers(value):
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _is_retry_after(value):
    if isinstance(value, dict):
        return set(value) == {"date_in"} and _is_number(value["date_in"])
    return _is_number(value) or _is_text(value)


def _is_base64(value):
    try:
        return _is_text(value) and base64.b64decode(value, validate=True) is not None
    except ValueError:
        return False


def _is_member(value):
    """Any JSON value, {"raw": TEXT} or {"absent": true}; see answers.members_text()."""
    return not (isinstance(value, dict) and set(value) == {"raw"}) or _is_text(value["raw"])


def _is_members(value):
    return isinstance(value, dict) and all(_is_member(v) for v in value.values())


# name: does this value make sense. What each action does is in README.md.
ACTIONS = {
    # before the answer
    "delay": _is_duration,
    "hang": _is_flag,
    # the token
    "lifetime": _is_count,
    "date_skew": _is_number,
    "token": _is_member,
    "token_type": _is_member,
    "expires_in": _is_member,
    "members": _is_members,
    # the answer's content
    "status": lambda value: _is_count(value) and 100 <= value <= 999,
    "reason": _is_text,
    "body": lambda value: isinstance(value, (str, dict, list)),
    "body_base64": _is_base64,
    "headers": _is_headers,
    "retry_after": _is_retry_after,
    "html": _is_flag,
    "empty": _is_flag,
    "not_json": _is_flag,
    "no_access_token": _is_flag,
    "redirect": _is_text,
    "echo_secrets": _is_flag,
    # its delivery
    "drop": _one_of("accept", "request", "headers"),
    "reset": lambda value: value is True or _one_of("accept", "request", "headers", "body")(value),
    "truncate": lambda value: value is True or (_is_count(value) and value > 0),
    "endless": lambda value: value is True or _one_of("close", "chunked", "length")(value),
    "slow_body": _is_duration,
    "huge_header": lambda value: value is True or _is_count(value),
    "status_line": _is_text,
    "interim_100": lambda value: value is True or _is_count(value),
    "framing": _one_of("length", "chunked", "close"),
    "close_after": lambda value: value is True or value == "silent",
}
CONTENTS = ("body", "body_base64", "html", "empty", "not_json", "no_access_token", "redirect", "echo_secrets")
DELIVERIES = ("drop", "reset", "truncate", "endless", "slow_body", "framing")


class Rule:
    """One fault rule."""

    def __init__(self, number, values):
        if not isinstance(values, dict):
            raise BadRule("a rule must be a JSON object")
        values = dict(values)
        self.number = number
        self.filters = {name: values.pop(name) for name in FILTERS if values.get(name) is not None}
        for name in FILTERS:
            values.pop(name, None)
        self.times = values.pop("times", None)  # None: until cleared
        self.skip = values.pop("skip", 0)
        self.hits = 0
        self.actions = values
        self._check()

    def _check(self):
        if self.times is not None and (not _is_count(self.times) or self.times == 0):
            raise BadRule("times must be a whole number above 0, or null")
        if not _is_count(self.skip):
            raise BadRule("skip must be a whole number")
        if not all(_is_text(value) for value in self.filters.values()):
            raise BadRule(f"{', '.join(FILTERS)} must be strings")
        if not self.actions:
            raise BadRule("a rule needs an action")
        for name, value in self.actions.items():
            if name not in ACTIONS:
                raise BadRule(f"unknown action {name}; there are: {', '.join(ACTIONS)}")
            if not ACTIONS[name](value):
                raise BadRule(f"action {name} cannot have the value {value!r}")
        for group in (CONTENTS, DELIVERIES):
            both = [name for name in group if name in self.actions]
            if len(both) > 1:
                raise BadRule(f"{' and '.join(both)} exclude each other")
        if self.at_accept and {"client_id", "path"} & set(self.filters):
            raise BadRule("nobody is known yet when a connection is accepted: only a listener filter is possible")

    @property
    def at_accept(self):
        """Whether this rule is for fresh connections and not for requests."""
        return "accept" in (self.actions.get("drop"), self.actions.get("reset"))

    def matches(self, client_id, path, listener, is_token):
        """Whether a request is this rule's. Without a path filter, only token requests are."""
        wanted = self.filters.get("path")
        if wanted is None and not is_token:
            return False
        if wanted not in (None, "*") and wanted.lower() != path.lower():
            return False
        seen = {"client_id": client_id, "listener": listener}
        return all(self.filters.get(name, value) == value for name, value in seen.items())

    def take(self):
        """Use the rule up by one; whether it applies this time."""
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return True

    @property
    def is_live(self):
        """Whether the rule has uses left."""
        return self.times is None or self.hits < self.times

    def as_json(self):
        """The rule as `GET /faults` shows it."""
        head = {"id": self.number, "times": self.times, "skip": self.skip, "hits": self.hits}
        return head | self.filters | self.actions


class Faults:
    """All rules, and everybody who is held by one."""

    def __init__(self, on_held):
        self._rules = []
        self._next_number = 1
        self._held = {}  # future of a wait to the client_id waiting
        self._held_by = collections.Counter()  # client_id to how many waits, because /stats asks for every client
        self._on_held = on_held  # called with the client_id when a wait begins

    def add_all(self, rules):
        """Append rules; all or, when one is bad, none. Their numbers."""
        made = [Rule(self._next_number + i, values) for i, values in enumerate(rules)]
        self._next_number += len(made)
        self._rules += made
        return [rule.number for rule in made]

    def as_json(self):
        """All rules, used-up ones included."""
        return [rule.as_json() for rule in self._rules]

    def clear(self):
        """Remove every rule and release whoever they hold."""
        self._rules.clear()
        self.release()

    def remove(self, number):
        """Remove one rule and release everybody held; whether it was there."""
        before = len(self._rules)
        self._rules = [rule for rule in self._rules if rule.number != number]
        self.release()
        return len(self._rules) < before

    def take(self, client_id, path, listener, is_token):
        """The rule for this request, used up by one; or None."""
        for rule in self._rules:
            if not rule.at_accept and rule.is_live and rule.matches(client_id, path, listener, is_token):
                if rule.take():
                    return rule
        return None

    def take_accept(self, listener):
        """The rule for a connection just accepted, used up by one; or None."""
        for rule in self._rules:
            if rule.at_accept and rule.is_live and rule.filters.get("listener", listener) == listener and rule.take():
                return rule
        return None

    def release(self, client_id=None):
        """End the waits of one client or of all; how many."""
        ended = [future for future, owner in self._held.items() if client_id in (None, owner) and not future.done()]
        for future in ended:
            future.set_result(None)
        return len(ended)

    def n_held(self, client_id=None):
        """How many answers of one client or of all are held right now."""
        return len(self._held) if client_id is None else self._held_by[client_id]

    async def pause(self, connection, client_id, seconds):
        """Wait until released, or until `seconds` passed (None: for ever), or the client hung up (ConnectionError).

        True when released.
        """
        released = asyncio.get_running_loop().create_future()
        self._held[released] = client_id
        self._held_by[client_id] += 1
        self._on_held(client_id)
        try:
            await asyncio.wait((released, connection.gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._held[released]
            self._held_by[client_id] -= 1
        if connection.gone.done():
            raise ConnectionResetError("the client hung up while its answer was held")
        return released.done()
