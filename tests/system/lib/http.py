# SPDX-License-Identifier: MIT
"""HTTP over a Unix socket: whole requests for most tests, naked bytes for the rest."""

import http.client
import io
import json
import re
import socket

from .settings import PATIENCE


class Answer:
    """Status, headers and body of one answer."""

    def __init__(self, response, body=None):
        self.status = response.status
        self.reason = response.reason
        self.version = response.version
        self.headers = response.headers
        self.body = response.read() if body is None else body

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def media_type(self):
        return self.headers.get_content_type()

    @property
    def problem(self):
        """The body of a refusal; asserts that it is one, whole and in the right form."""
        assert self.media_type == "application/problem+json", f"{self}"
        value = self.json
        assert value["status"] == self.status
        assert value["type"].startswith("urn:bearerd:problem:")
        assert value["title"] and value["detail"]
        assert set(value) <= {"type", "title", "status", "detail", "profile", "state", "last_error"}
        return value

    @property
    def problem_type(self):
        return self.problem["type"].removeprefix("urn:bearerd:problem:")

    def __repr__(self):
        return f"<Answer {self.status} {dict(self.headers)} {self.body[:400]!r}>"


class Connection(http.client.HTTPConnection):
    """One connection to the daemon, kept for request after request."""

    def __init__(self, path, timeout=PATIENCE):
        super().__init__("localhost", timeout=timeout)
        self.unix_path = str(path)

    def connect(self):
        self.sock = connect(self.unix_path, self.timeout)

    def call(self, method, target, body=None, headers=None):
        """One request and its answer."""
        self.request(method, target, body, headers or {})
        return Answer(self.getresponse())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect(path, timeout=PATIENCE):
    """A connected stream socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(str(path))
    except OSError:
        sock.close()
        raise
    return sock


def request_bytes(target, method="GET", headers=(), body=b"", version="HTTP/1.1"):
    """A request as it goes over the wire."""
    lines = [f"{method} {target} {version}", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def read_answer(sock, method="GET"):
    """The next answer on a socket, of which not one byte more is read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise ConnectionError(f"the connection ended within {head!r}")
        head += byte
    response = _parse(head, method)
    size = 0 if method == "HEAD" else int(response.headers.get("Content-Length", 0))
    body = b""
    while len(body) < size:
        part = sock.recv(size - len(body))
        if not part:
            raise ConnectionError("the connection ended within the body")
        body += part
    return Answer(response, body)


def parse_answer(data, method="GET"):
    """The first answer in raw bytes."""
    return Answer(_parse(data, method))


def _parse(data, method):
    response = http.client.HTTPResponse(_Replay(data), method=method)
    response.begin()
    return response


def read_to_end(sock):
    """All bytes until the other side closes (a reset is an end too)."""
    received = bytearray()
    try:
        while part := sock.recv(1 << 16):
            received += part
    except ConnectionResetError:
        pass
    return bytes(received)


class _Replay:
    """Bytes as the socket that HTTPResponse wants."""

    def __init__(self, data):
        self._data = data

    def makefile(self, *_):
        return io.BytesIO(self._data)


# --- Prometheus ------------------------------------------------------------------------------------------------------

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?|\+Inf|NaN)")
LABEL = re.compile(rf'({NAME})="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
SUFFIXES = ("_bucket", "_sum", "_count")


class Metrics:
    """A page of the text format 0.0.4, read strictly: help and type first, families whole, no sample twice."""

    def __init__(self, text):
        assert text.endswith("\n"), "the last line has no end"
        self.types = {}
        self.samples = {}
        self._family, self._helped = None, set()
        for line in text.splitlines():
            self._read(line)
        self._check_histograms()

    def _read(self, line):
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            assert name not in self._helped and words, line
            self._helped.add(name)
            self._family = name
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            assert name == self._family and name not in self.types, f"{line!r} is not behind its HELP"
            assert kind in ("counter", "gauge", "histogram", "summary", "untyped"), line
            self.types[name] = kind
        else:
            self._read_sample(line)

    def _read_sample(self, line):
        match = SAMPLE.fullmatch(line)
        assert match, f"not a sample: {line!r}"
        name, labels, value = match.groups()
        family = name
        if self.types.get(self._family) == "histogram":
            family = next((name.removesuffix(s) for s in SUFFIXES if name.endswith(s)), name)
        assert family == self._family, f"{line!r} is not among its family"
        assert family in self.types, f"{line!r} has no TYPE"
        assert self.types[family] != "counter" or name.endswith("_total"), line
        key = (name, tuple(sorted(self._labels(labels or "").items())))
        assert key not in self.samples, f"twice: {line!r}"
        self.samples[key] = float(value)

    @staticmethod
    def _labels(text):
        labels, at = {}, 0
        while at < len(text):
            match = LABEL.match(text, at)
            assert match, f"bad labels: {text!r}"
            assert match[1] not in labels
            labels[match[1]] = match[2]
            at = match.end()
        return labels

    def _check_histograms(self):
        for name in (n for n, kind in self.types.items() if kind == "histogram"):
            buckets = [(float(dict(key[1])["le"]), v) for key, v in self.samples.items() if key[0] == name + "_bucket"]
            assert buckets == sorted(buckets) and buckets[-1][0] == float("inf")
            assert [v for _, v in buckets] == sorted(v for _, v in buckets), "buckets are cumulative"
            assert buckets[-1][1] == self.value(name + "_count")

    def value(self, name, **labels):
        """The value of one sample, 0 when it is not there."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0)

    def labels(self, name):
        """The label sets of all samples of a name."""
        return [dict(key[1]) for key in self.samples if key[0] == name]

    def state(self, profile):
        """The one state of a profile that is 1."""
        states = [
            dict(labels)["state"]
            for (name, labels), value in self.samples.items()
            if name == "bearerd_profile_state" and dict(labels)["profile"] == profile and value == 1
        ]
        assert len(states) == 1, states
        return states[0]
