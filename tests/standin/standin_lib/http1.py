# SPDX-License-Identifier: MIT
"""HTTP/1.1 on asyncio streams: a small, strict reader and a composer of answers.

Why not a library: a stand-in has to drop connections half-way through a header, promise more bytes than it sends
and answer with garbage. Only raw control of the bytes gives that.

Strict where a client under test could be sloppy (RFC 9112, June 2022): CRLF only, no folded header lines, no
repeated header, Host required, Content-Length the only accepted framing of a request body. What is refused here
is answered with a 4xx and the connection is closed, because its framing can no longer be trusted.
"""

import asyncio
import email.utils
import http
import json
import re
import socket
import struct

HEAD_MAX = 64 * 1024  # one request's line and headers; more is answered 431
LINGER = 2  # seconds to wait for the client's end after an answer that refuses its bytes
BODY_MAX = 64 * 1024 * 1024  # bulk registration of 10,000 clients is about 5 MiB

REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[!-~]*) HTTP/(\d)\.(\d)")
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t\x80-\xff]*?)[ \t]*")


class Malformed(Exception):
    """The bytes are not a request we accept; `status` is the answer before closing."""

    def __init__(self, status, detail):
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Request:
    """One request as read: `headers` in the order and case received, `header()` by any case."""

    __slots__ = ("method", "target", "path", "query", "headers", "by_name", "body")

    def __init__(self, method, target, headers, body=b""):
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.by_name = {name.lower(): value for name, value in headers}
        self.body = body

    def header(self, name):
        """The value of a header, or None."""
        return self.by_name.get(name.lower())

    @property
    def wants_close(self):
        """Whether the client asked for the connection to end with this answer."""
        return (self.header("Connection") or "").lower() == "close"


class Response:
    """One answer before it goes wrong: status, headers as pairs, body bytes."""

    __slots__ = ("status", "headers", "body", "reason")

    def __init__(self, status, headers, body=b"", reason=None):
        self.status = status
        self.headers = headers
        self.body = body
        self.reason = reason if reason is not None else reason_phrase(status)

    @classmethod
    def of_json(cls, status, value, headers=(), content_type="application/json"):
        """An answer with `value` as its JSON body."""
        body = json.dumps(value, separators=(",", ":")).encode()
        return cls(status, [("Content-Type", content_type), *headers], body)

    def head(self, extra=()):
        """Status line and headers as bytes, the empty line included."""
        lines = [f"HTTP/1.1 {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in (*self.headers, *extra)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def whole(self, date, close=False):
        """The entire well-formed answer as bytes."""
        extra = [("Date", date), ("Content-Length", len(self.body))]
        if close:
            extra.append(("Connection", "close"))
        return self.head(extra) + self.body


def reason_phrase(status):
    """The usual words behind a status code; made-up codes get made-up words."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Stand-in"


def http_date(epoch):
    """IMF-fixdate as RFC 9110 section 5.6.7 wants it."""
    return email.utils.formatdate(epoch, usegmt=True)


def parse_head(head):
    """Request line and headers, without the final empty line, as a bodiless Request."""
    line, *rest = head.split(b"\r\n")
    match = REQUEST_LINE.fullmatch(line)
    if not match:
        raise Malformed(400, "malformed request line")
    if match[3] != b"1" or match[4] != b"1":
        raise Malformed(505, "only HTTP/1.1 is spoken here")
    headers, seen = [], set()
    for raw in rest:
        found = HEADER_LINE.fullmatch(raw)
        if not found:
            raise Malformed(400, "malformed header line")
        name, value = found[1].decode("ascii"), found[2].decode("latin-1")
        if name.lower() in seen:
            raise Malformed(400, f"header {name} came twice")
        seen.add(name.lower())
        headers.append((name, value))
    if "host" not in seen:
        raise Malformed(400, "no Host header")
    return Request(match[1].decode("ascii"), match[2].decode("ascii"), headers)


def body_length(request):
    """How many body bytes follow; 0 when the request says nothing about a body."""
    if request.header("Transfer-Encoding") is not None:
        raise Malformed(411, "a request body needs Content-Length here")
    if request.header("Expect") is not None:
        raise Malformed(417, "Expect is not supported")
    text = request.header("Content-Length")
    if text is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise Malformed(400, "malformed Content-Length")
    if int(text) > BODY_MAX:
        raise Malformed(413, "body too large")
    return int(text)


async def read_request(reader):
    """The next request of a connection, or None when the client closed it between requests."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Malformed(400, "connection ended inside a request head") from None
        return None
    except asyncio.LimitOverrunError:
        raise Malformed(431, "request head too large") from None
    request = parse_head(head[:-4])
    length = body_length(request)
    if length:
        try:
            request.body = await reader.readexactly(length)
        except asyncio.IncompleteReadError:
            raise Malformed(400, "connection ended inside a request body") from None
    return request


class Connection(asyncio.StreamReaderProtocol):
    """One accepted connection.

    Adds to the stream protocol what the faults need: `gone`, a future that is done as soon as the client hung up
    (so that a held answer ends with its client), and `reset`, which closes with RST instead of FIN.
    """

    def __init__(self, listener, number, serve, on_begin, on_end):
        loop = asyncio.get_running_loop()
        self.listener = listener
        self.number = number
        self.gone = loop.create_future()
        self.reader = asyncio.StreamReader(limit=HEAD_MAX, loop=loop)
        self.writer = None
        self.peer_cert = None
        self._serve = serve
        self._on_begin = on_begin
        self._on_end = on_end
        super().__init__(self.reader, self._started, loop=loop)

    async def _started(self, _reader, writer):
        """Runs as the connection's task: serves it to the end, whatever the end is."""
        self.writer = writer
        ssl_object = writer.get_extra_info("ssl_object")
        self.peer_cert = ssl_object.getpeercert() if ssl_object else None
        try:
            await self._serve(self)
        except (ConnectionError, TimeoutError, OSError):
            pass  # the client went away; for a stand-in that is an ordinary end
        finally:
            writer.close()

    def connection_made(self, transport):
        self._on_begin(self)
        super().connection_made(transport)

    def eof_received(self):
        self._mark_gone()
        return super().eof_received()

    def connection_lost(self, exc):
        self._mark_gone()
        self._on_end(self)
        super().connection_lost(exc)

    def _mark_gone(self):
        if not self.gone.done():
            self.gone.set_result(None)

    async def send(self, data):
        """Write and wait until the kernel took it; raises ConnectionError when the client is gone."""
        self.writer.write(data)
        await self.writer.drain()

    async def send_last(self, data):
        """Send an answer to a request that was not read to its end, so that the answer arrives.

        Closing with unread bytes makes the kernel send RST, which would overtake the answer (RFC 9112 section 9.6).
        """
        await self.send(data)
        if self.writer.can_write_eof():  # not over TLS
            self.writer.write_eof()
            await asyncio.wait((asyncio.ensure_future(self._swallow()), self.gone), timeout=LINGER)

    async def _swallow(self):
        while await self.reader.read(HEAD_MAX):
            pass

    def reset(self):
        """End the connection with RST: SO_LINGER with time 0 makes close() drop everything."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def abort(self):
        """End the connection now, without waiting for a TLS close."""
        if self.writer is not None:
            self.writer.transport.abort()


def refuse_malformed(error):
    """The answer to bytes that are no acceptable request."""
    return Response.of_json(error.status, {"statusCode": error.status, "message": error.detail})
