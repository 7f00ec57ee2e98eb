# SPDX-License-Identifier: MIT
"""The ports. Loopback only, on 127.0.0.1 and, where there is IPv6, on ::1 with the same number."""

import asyncio
import errno
import itertools
import socket
import ssl

from .http1 import Connection

BACKLOG = 4096  # as many connections may arrive at once as bearerd accepts clients
PORT_ATTEMPTS = 50  # to find a number free on both addresses

_connection_numbers = itertools.count(1)


def bind(port):
    """Bound sockets on 127.0.0.1 and ::1 with one number (0: any that is free)."""
    for _ in range(PORT_ATTEMPTS):
        first = bind_one(socket.AF_INET, "127.0.0.1", port)
        number = first.getsockname()[1]
        try:
            return [first, bind_one(socket.AF_INET6, "::1", number)]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return [first]  # no IPv6 on this machine
            first.close()
            if port:
                raise
    raise OSError(errno.EADDRINUSE, "no port is free on both 127.0.0.1 and ::1")


def bind_one(family, address, port):
    """One bound socket."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


class Listener:
    """One port with its connections. Can go down (connections refused) and come back with the same number."""

    def __init__(self, name, serve, context=None, on_change=lambda: None):
        self.name = name
        self.port = 0
        self.accepted = 0  # TCP connections, broken TLS handshakes included
        self.established = 0  # of those, ready to carry HTTP
        self._context = context
        self._serve = serve
        self._on_change = on_change
        self._open = set()
        self._servers = []
        self._placeholders = []

    @property
    def scheme(self):
        """http or https."""
        return "https" if self._context else "http"

    @property
    def url(self):
        """Base URL: https by name, because that is what certificates are for."""
        return f"{self.scheme}://{'localhost' if self._context else '127.0.0.1'}:{self.port}"

    def urls(self, target):
        """Every URL under which a client may know `target` here, with and without its query."""
        bases = [f"{self.scheme}://{host}:{self.port}" for host in ("localhost", "127.0.0.1", "[::1]")]
        return {base + path for base in bases for path in (target, target.partition("?")[0])}

    async def up(self, port=None):
        """Listen; without `port`, on the number of before."""
        if self._servers:
            return
        sockets = bind(self.port if port is None else port)
        self.port = sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        for sock in sockets:
            # Asked for here and not in bind(): a listening placeholder would accept connections nobody serves.
            server = await loop.create_server(self._connection, sock=sock, ssl=self._context, backlog=BACKLOG)
            self._servers.append(server)
        self._drop_placeholders()

    def down(self):
        """Stop listening and end every connection. The number stays reserved by bound, silent sockets."""
        for server in self._servers:
            server.close()
        if self._servers:
            self._placeholders = bind(self.port)
        self._servers = []
        self.close_connections()

    def close(self):
        """The end."""
        for server in self._servers:
            server.close()
        self._servers = []
        self._drop_placeholders()
        self.close_connections()

    def close_connections(self):
        """End every connection now, also idle ones that a client means to use again; how many."""
        ending = list(self._open)
        for connection in ending:
            connection.abort()
        return len(ending)

    def as_json(self):
        """As `GET /stats` shows it."""
        return {
            "accepted": self.accepted,
            "established": self.established,
            "open": len(self._open),
            "listening": bool(self._servers),
        }

    def _drop_placeholders(self):
        for sock in self._placeholders:
            sock.close()
        self._placeholders = []

    def _connection(self):
        """One accepted TCP connection."""
        self.accepted += 1
        self._on_change()
        return Connection(self, next(_connection_numbers), self._serve, self._begin, self._end)

    def _begin(self, connection):
        self.established += 1
        self._open.add(connection)
        self._on_change()

    def _end(self, connection):
        self._open.discard(connection)
        self._on_change()


def server_context(files):
    """TLS as a good server has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


def mtls_context(files, ca_file):
    """TLS that requires a client certificate of the CA (RFC 8705)."""
    context = server_context(files)
    context.load_verify_locations(ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def old_tls_context(files, ca_file):
    """TLS 1.1 and nothing newer, or None when the local OpenSSL no longer can."""
    context = server_context(files)
    try:
        limit_to_tls_1_1(context)
        client = ssl.create_default_context(cafile=ca_file)
        limit_to_tls_1_1(client)
        shake_hands(context, client)
    except (ssl.SSLError, ValueError):
        return None
    return context


def limit_to_tls_1_1(context):
    """Allow old TLS and only that; needs security level 0, because of SHA-1 in its signatures."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1


def shake_hands(server_side, client_side):
    """Try a handshake of two contexts in memory; raises SSLError when they cannot."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(10):  # TLS 1.1 needs three turns
        done = 0
        for side in (client, server):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                pass
        if done == 2:
            return
    raise ssl.SSLError("the handshake does not come to an end")
