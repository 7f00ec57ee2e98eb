# SPDX-License-Identifier: MIT
"""Another user with many connections: a process of its own, told what to do, that counts what it is answered.

    with User(daemon, ALICE) as alice:
        alice.connect(100)                                   # how many were let in
        assert alice.ask("/healthz") == {200: 100}           # everybody asks once
        with alice.hammering("/v1/profiles/shop/token"):     # everybody asks again and again
            ...
        assert alice.hammered == {200: ...}

Counts are {status: number}; a connection that broke counts as None. Needs root, and no account: see caller.py.
"""

import contextlib
import json
import subprocess
import sys

from .http import request_bytes
from .settings import PATIENCE

SOURCE = r"""
import collections, json, re, selectors, socket, struct, sys, threading

path, patience = sys.argv[1], float(sys.argv[2])
held, over = [], threading.Event()

def connect():
    # In time, and yet blocking: with settimeout() a full queue at the socket is EAGAIN, at once.
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", int(patience), 0))
    sock.connect(path)
    return sock

def read(sock):
    # One answer: (status, head). None: the connection ended instead.
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            return None, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    left = (int(length[1]) if length else 0) - len(body)
    while left > 0:
        part = sock.recv(left)
        if not part:
            return None, data
        left -= len(part)
    return int(head.split(b" ", 2)[1]), head

def is_let_in(sock, data):
    sock.sendall(data)
    return read(sock)[0] == 200

def do_connect(number, data):
    n = 0
    for _ in range(number):
        sock = connect()
        with_answer = False
        try:
            with_answer = is_let_in(sock, data)
        except OSError:
            pass
        if with_answer:
            held.append(sock)
            n += 1
        else:
            sock.close()
    return n

def do_connect_silently(number):
    held.extend(connect() for _ in range(number))
    return len(held)

def do_disconnect():
    while held:
        held.pop().close()

def do_flood(number, data):
    # As much as goes into each socket, and nothing is read.
    for sock in held:
        sock.setblocking(False)
        try:
            for _ in range(number):
                sock.send(data)
        except BlockingIOError:
            pass

def do_send(data):
    for sock in held:
        sock.sendall(data)
    return len(held)

def count(results):
    return sorted(collections.Counter(results).items(), key=str)

def do_answers():
    return count([read(sock)[0] for sock in held])

def one_of_a_storm(data):
    # Without data: only made and dropped.
    sock = connect()
    try:
        if not data:
            return None
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            status, head = read(sock)
        except ConnectionResetError:
            return None
        assert status != 429 or b"Retry-After: " in head, head
        return status
    finally:
        sock.close()

def do_storm(number, data):
    return count([one_of_a_storm(data) for _ in range(number)])

def hammer(data, counts):
    # Each connection has one request under way; one answer at a time, until it is over.
    with selectors.DefaultSelector() as selector:
        for sock in held:
            selector.register(sock, selectors.EVENT_READ)
            sock.sendall(data)
        n_open = len(held)
        while n_open:
            for key, _ in selector.select():
                status = read(key.fileobj)[0]
                counts[status] += 1
                if over.is_set() or status is None:
                    selector.unregister(key.fileobj)
                    n_open -= 1
                else:
                    key.fileobj.sendall(data)

def storm(data, counts):
    while not over.is_set():
        counts[one_of_a_storm(data)] += 1

def do_begin(what, data):
    global thread, counts
    counts = collections.Counter()
    over.clear()
    thread = threading.Thread(target={"hammer": hammer, "storm": storm}[what], args=(data, counts))
    thread.start()

def do_end():
    over.set()
    thread.join()
    return sorted(counts.items(), key=str)

for line in sys.stdin:
    name, *arguments = json.loads(line)
    arguments = [bytes.fromhex(a[1:]) if isinstance(a, str) and a[:1] == "x" else a for a in arguments]
    try:
        print(json.dumps(["ok", globals()["do_" + name](*arguments)]), flush=True)
    except Exception as error:
        print(json.dumps(["error", repr(error)]), flush=True)
"""


class User:
    """See above; a context manager."""

    def __init__(self, daemon, uid):
        self.uid = uid
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", SOURCE, str(daemon.socket), str(PATIENCE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            user=uid,
            group=uid,
            extra_groups=[],
        )
        self.hammered = None

    def _tell(self, name, *arguments):
        arguments = ["x" + a.hex() if isinstance(a, bytes) else a for a in arguments]
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()
        outcome, value = json.loads(self._process.stdout.readline())
        assert outcome == "ok", value
        return value

    def _count(self, name, *arguments):
        return {status: number for status, number in self._tell(name, *arguments)}

    def connect(self, number, target="/healthz"):
        """So many more connections, each with a request that is answered by 200; how many were let in and are kept."""
        return self._tell("connect", number, request_bytes(target))

    def connect_silently(self, number):
        """So many more connections without a word; how many are kept now."""
        return self._tell("connect_silently", number)

    def disconnect(self):
        """Closes what is kept."""
        self._tell("disconnect")

    def flood(self, target, number):
        """Every kept connection sends so many requests, or as many as go, and reads nothing."""
        self._tell("flood", number, request_bytes(target))

    def send(self, target, *headers, method="GET"):
        """Every kept connection sends this."""
        self._tell("send", request_bytes(target, method, headers))

    def answers(self):
        """Every kept connection's next answer, counted."""
        return self._count("answers")

    def ask(self, target, *headers, method="GET"):
        """send() and answers()."""
        self.send(target, *headers, method=method)
        return self.answers()

    def storm(self, number, target):
        """So many connections one after another, a request each; a 429 is held to have its Retry-After."""
        return self._count("storm", number, request_bytes(target))

    @contextlib.contextmanager
    def hammering(self, target):
        """Meanwhile every kept connection asks as fast as it is answered; then `hammered` has the counts."""
        yield from self._meanwhile("hammer", target)

    @contextlib.contextmanager
    def storming(self, target):
        """The same with a new connection for every request; None for a target: connections without one."""
        yield from self._meanwhile("storm", target)

    def _meanwhile(self, what, target):
        self._tell("begin", what, request_bytes(target) if target else b"")
        try:
            yield self
        finally:
            self.hammered = self._count("end")

    def close(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
