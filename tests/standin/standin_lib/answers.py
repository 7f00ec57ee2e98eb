# SPDX-License-Identifier: MIT
"""Answers that go wrong as a fault rule says: bending what an answer contains, and delivering it badly."""

import asyncio
import base64
import html
import json

from .http1 import Response, http_date

ENDLESS_MAX = 64 * 1024 * 1024  # bytes of an "endless" body, should the client swallow all of it
ENDLESS_PIECE = 64 * 1024
HUGE_HEADER = 1024 * 1024  # bytes, when the rule does not say how many

# --- bending an answer -----------------------------------------------------------------------------------------------


def members_text(members):
    """A JSON object from members, of which a value {"raw": TEXT} goes in verbatim and {"absent": true} not at all."""
    parts = []
    for name, value in members.items():
        if value == {"absent": True}:
            continue
        is_raw = isinstance(value, dict) and set(value) == {"raw"}
        parts.append(f"{json.dumps(name)}:{value['raw'] if is_raw else json.dumps(value)}")
    return "{" + ",".join(parts) + "}"


MEMBER_ACTIONS = {"expires_in", "token", "token_type", "members", "no_access_token"}


def bend_members(members, actions):
    """The members of a good answer as the rule wants them."""
    bent = dict(members)
    for action, name in (("expires_in", "expires_in"), ("token", "access_token"), ("token_type", "token_type")):
        if action in actions:
            bent[name] = actions[action]
    bent.update(actions.get("members", {}))
    if "no_access_token" in actions:
        bent.pop("access_token", None)
    return bent


def echo_body(request):
    """An error text that repeats every credential received: what a careless upstream or proxy would log and show."""
    words = []
    for name in ("client_id", "client_secret", "Ocp-Apim-Subscription-Key", "Authorization"):
        value = request.header(name)
        if value is None:
            continue
        words.append(f"{name}: {value}")
        if value.startswith("Basic "):
            words.append("decoded: " + base64.b64decode(value[6:] + "==").decode("latin-1"))
    if request.body:
        words.append("body: " + request.body.decode("latin-1"))
    return " ".join(words)


def content(request, actions):
    """(default status, content type, body) that replaces the answer, or None."""
    if "body" in actions:
        body = actions["body"]
        if isinstance(body, str):
            return 200, "application/json", body.encode()
        return 200, "application/json", json.dumps(body).encode()
    if "body_base64" in actions:
        return 200, "application/octet-stream", base64.b64decode(actions["body_base64"])
    if "html" in actions:
        return 200, "text/html", b"<!DOCTYPE html><html><body><h1>Welcome to the login page</h1></body></html>"
    if "empty" in actions:
        return 200, "application/json", b""
    if "not_json" in actions:
        return 200, "application/json", b'{"token_type": "Bearer", "expires_in": 3600, "access_token": '
    if "redirect" in actions:
        text = f"<a href=\"{html.escape(actions['redirect'])}\">moved</a>"
        return 302, "text/html", text.encode()
    if "echo_secrets" in actions:
        text = echo_body(request)
        return 401, "application/json", json.dumps({"error": "invalid_client", "error_description": text}).encode()
    if "status" in actions:
        text = {"statusCode": actions["status"], "message": "made to fail"}
        return 200, "application/json", json.dumps(text).encode()
    return None


def bend(request, response, members, actions, now):
    """The answer as the rule wants it; `members` is None when the request was refused."""
    if members is not None and actions.keys() & MEMBER_ACTIONS:
        response.body = members_text(bend_members(members, actions)).encode("utf-8", "surrogateescape")
    replaced = content(request, actions)
    if replaced:
        status, media, body = replaced
        response = Response(status, [("Content-Type", media)], body)
    if "status" in actions:
        response = Response(actions["status"], response.headers, response.body)
    if "reason" in actions:
        response.reason = actions["reason"]
    if "echo_secrets" in actions:
        response.reason = echo_body(request).replace("\r", " ").replace("\n", " ")
        response.headers.append(("X-Received", response.reason))
    response.headers = bent_headers(response.headers, actions, now)
    return response


def bent_headers(headers, actions, now):
    """Headers with the rule's own: they replace those of the same name."""
    own = dict(actions.get("headers", {}))
    if "redirect" in actions:
        own.setdefault("Location", actions["redirect"])
    if "retry_after" in actions:
        value = actions["retry_after"]
        own["Retry-After"] = http_date(now + value["date_in"]) if isinstance(value, dict) else str(value)
    if "huge_header" in actions:
        size = HUGE_HEADER if actions["huge_header"] is True else actions["huge_header"]
        own["X-Huge"] = "x" * size
    replaced = {name.lower() for name in own}
    return [pair for pair in headers if pair[0].lower() not in replaced] + list(own.items())


# --- delivering it ---------------------------------------------------------------------------------------------------


def chunk(data):
    """One chunk of the chunked transfer coding (RFC 9112 section 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunked(body):
    """A whole body in the chunked transfer coding, in two chunks where there is enough of it."""
    return b"".join(chunk(part) for part in (body[:10], body[10:]) if part) + b"0\r\n\r\n"


class Delivery:
    """Sends one bent answer over a connection in the way the rule says."""

    def __init__(self, faults, connection, client_id, response, actions, date):
        self._faults = faults
        self._connection = connection
        self._client_id = client_id
        self._response = response
        self._actions = actions
        self._date = date

    @property
    def broken_by(self):
        """The delivery fault that keeps this answer from arriving whole, or None."""
        return next((name for name in ("drop", "reset", "truncate", "endless") if name in self._actions), None)

    @property
    def is_slow(self):
        """Whether sending takes its time by intent."""
        return "slow_body" in self._actions or "endless" in self._actions

    def _head(self, framing):
        """Everything before the body."""
        extra = [("Date", self._date)]
        if framing == "length":
            extra.append(("Content-Length", len(self._response.body)))
        elif framing == "chunked":
            extra.append(("Transfer-Encoding", "chunked"))
        elif framing == "endless":
            extra.append(("Content-Length", 10 * ENDLESS_MAX))
        if framing == "close" or self._actions.get("close_after") is True:
            extra.append(("Connection", "close"))
        head = self._response.head(extra)
        if "status_line" in self._actions:
            head = self._actions["status_line"].encode() + head[head.index(b"\r\n") :]
        interims = int(self._actions.get("interim_100", 0))
        return b"HTTP/1.1 100 Continue\r\n\r\n" * interims + head

    async def send(self):
        """Send it; whether the connection can be used for another request."""
        actions, body = self._actions, self._response.body
        if "drop" in actions or "reset" in actions:
            await self._break_off(actions.get("drop") or actions["reset"])
            return False
        if "truncate" in actions:
            missing = max(1, len(body) // 2) if actions["truncate"] is True else actions["truncate"]
            await self._connection.send(self._head("length") + body[: max(0, len(body) - missing)])
            return False
        if "endless" in actions:
            await self._endless()
            return False
        if "slow_body" in actions:
            await self._slowly(actions["slow_body"])
        else:
            framing = actions.get("framing", "length")
            await self._connection.send(self._head(framing) + (chunked(body) if framing == "chunked" else body))
        return "close_after" not in actions and actions.get("framing") != "close"

    async def _break_off(self, stage):
        """Send as much as `stage` says and end the connection, by FIN (drop) or RST (reset)."""
        head = self._head("length")
        if stage == "headers":
            await self._connection.send(head[: len(head) // 2])
        elif stage == "body":
            await self._connection.send(head + self._response.body[: len(self._response.body) // 2])
        if "reset" in self._actions:
            self._connection.reset()

    async def _endless(self):
        """A token that never ends; the client has to give up, or 64 MiB are reached."""
        how = self._actions["endless"]
        framing = {True: "close", "length": "endless"}.get(how, how)
        wrap = chunk if framing == "chunked" else bytes
        await self._connection.send(self._head(framing) + wrap(b'{"token_type":"Bearer","access_token":"'))
        piece = wrap(b"A" * ENDLESS_PIECE)
        for _ in range(ENDLESS_MAX // ENDLESS_PIECE):
            await self._connection.send(piece)
            await asyncio.sleep(0)  # drain() over TLS neither yields nor fails as long as it can buffer
            if self._connection.gone.done():
                raise ConnectionResetError("the client had enough")

    async def _slowly(self, seconds):
        """One byte every `seconds`; what is left at once when released."""
        await self._connection.send(self._head("length"))
        body = self._response.body
        for at in range(len(body)):
            if await self._faults.pause(self._connection, self._client_id, seconds):
                await self._connection.send(body[at:])
                return
            await self._connection.send(body[at : at + 1])
