# SPDX-License-Identifier: MIT
"""Drive the stand-in upstream from a test: start it, register clients, make it fail, wait for what arrives.

    with Standin() as upstream:
        shop = upstream.vipps_client()
        upstream.fault(client_id=shop["client_id"], status=503, times=2)
        ...
        upstream.wait(shop["client_id"], requests=3)

Standard library only. Each Standin is a process of its own with ports and a folder of its own: tests run in parallel.
"""

import base64
import http.client
import json
import os
import pathlib
import secrets
import select
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import uuid

PROGRAM = pathlib.Path(__file__).resolve().parent / "standin"
START_TIMEOUT = 30  # seconds; a loaded machine makes certificates slowly
STOP_TIMEOUT = 10


class ControlError(Exception):
    """The stand-in refused a control request: the test asked for nonsense."""

    def __init__(self, status, value):
        super().__init__(f"{status}: {value}")
        self.status = status
        self.value = value


class WaitTimeout(AssertionError):
    """What was waited for did not come; the message has the counters as they were."""


class Standin:
    """One running stand-in. `ready` is its ready.json; its members are attributes too: `upstream.http`."""

    def __init__(self, *arguments, folder=None, max_seconds=600):
        self._arguments = list(arguments)
        self._own_folder = folder is None
        self._folder = folder
        self._max_seconds = max_seconds
        self._process = None
        self.ready = {}

    def __getattr__(self, name):
        try:
            return self.__dict__["ready"][name]
        except KeyError:
            raise AttributeError(name) from None

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self):
        """Start the process and wait until every port is open; self."""
        if self._own_folder:
            self._folder = tempfile.mkdtemp(prefix="standin-")
        errors = pathlib.Path(self._folder) / "stderr"
        command = [str(PROGRAM), "--exit-with-stdin", "--max-seconds", str(self._max_seconds)]
        command += ["--state-dir", str(self._folder), *map(str, self._arguments)]
        with open(errors, "wb") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
            )
        try:
            self.ready = json.loads(self._first_line())
        except ValueError:
            text = errors.read_text(errors="replace")
            self.stop()
            raise RuntimeError(f"the stand-in did not start: {text}") from None
        return self

    def _first_line(self):
        """The line printed when ready, or what there is of it at the end of START_TIMEOUT."""
        line, deadline = b"", time.monotonic() + START_TIMEOUT
        while not line.endswith(b"\n"):
            left = max(0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                break
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                break
            line += data
        return line

    def stop(self):
        """End the process and remove its folder; may be called twice."""
        if self._process is not None:
            self._process.stdin.close()  # --exit-with-stdin
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._process = None
        if self._own_folder and self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def stderr(self):
        """What the stand-in itself complained about; empty when all is well."""
        return (pathlib.Path(self._folder) / "stderr").read_text(errors="replace")

    # --- control -------------------------------------------------------------------------------------------------

    def control_request(self, method, path, value=None, query=None, timeout=60):
        """One control request; (status, JSON value)."""
        address = urllib.parse.urlsplit(self.ready["control"])
        query = {name: v for name, v in (query or {}).items() if v is not None}
        target = path + ("?" + urllib.parse.urlencode(query) if query else "")
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)
        try:
            body = None if value is None else json.dumps(value).encode()
            connection.request(method, target, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def _do(self, method, path, value=None, query=None):
        status, answer = self.control_request(method, path, value, query)
        if status != 200:
            raise ControlError(status, answer)
        return answer

    @staticmethod
    def _client_path(client_id, rest=""):
        return "/clients/" + urllib.parse.quote(client_id, safe="") + rest

    def register(self, client=None, **members):
        """Register or replace one client (members, or a dict of them) or a list of dicts; what was registered."""
        value = client if client is not None else members
        self._do("POST", "/clients", value)
        return value

    def vipps_client(self, **members):
        """Register a Vipps key set with made-up keys of the usual form; its members as a dict."""
        made_up = {
            "kind": "vipps",
            "client_id": str(uuid.uuid4()),
            "client_secret": base64.b64encode(secrets.token_bytes(16)).decode(),
            "subscription_keys": [secrets.token_hex(16), secrets.token_hex(16)],
        }
        return self.register(made_up | members)

    def oauth_client(self, kind="basic", **members):
        """Register an RFC 6749 client ("basic", "post", "vipps-oauth"; with members also the others); its members."""
        made_up = {"kind": kind, "client_id": str(uuid.uuid4()), "client_secret": secrets.token_urlsafe(24)}
        return self.register(made_up | members)

    def change(self, client_id, **members):
        """Change some members of a client: new keys, another lifetime."""
        self._do("POST", self._client_path(client_id), members)

    def unregister(self, client_id=None):
        """Forget one client, or all."""
        self._do("DELETE", self._client_path(client_id) if client_id is not None else "/clients")

    def revoke(self, client_id, what="all", index=None):
        """Revoke "secret" or "subscription_key" (index 0, 1 or None: both), "all" keys, or "tokens" issued so far."""
        self._do("POST", self._client_path(client_id, "/revoke"), {"what": what, "index": index})

    def restore(self, client_id, what="all", index=None):
        """Undo revoke() of keys."""
        self._do("POST", self._client_path(client_id, "/restore"), {"what": what, "index": index})

    def fault(self, rule=None, **actions):
        """Add one fault rule (members, or a dict) or a list of dicts; the ids."""
        return self._do("POST", "/faults", rule if rule is not None else actions)["ids"]

    def faults(self):
        """All rules with their hits."""
        return self._do("GET", "/faults")["faults"]

    def clear(self, fault_id=None):
        """Remove all fault rules, or one; whoever they hold is released."""
        self._do("DELETE", "/faults" if fault_id is None else f"/faults/{fault_id}")

    def release(self, client_id=None):
        """Let held answers go on, of one client or all; how many were held."""
        return self._do("POST", "/release", {} if client_id is None else {"client_id": client_id})["released"]

    def stats(self, client_id=None):
        """Counters of one client; without, of all together, with "listeners" and "clients"."""
        return self._do("GET", "/stats", query={"client_id": client_id})

    def requests(self, client_id=None, since=None):
        """The log of requests, oldest first, of one client or all, after serial `since`."""
        return self._do("GET", "/requests", query={"client_id": client_id, "since": since})["requests"]

    def wait(self, client_id=None, timeout=20, **conditions):
        """Wait until every condition holds (requests=N, ok=N, in_flight=N, ...); the counters. Raises WaitTimeout."""
        query = {"client_id": client_id, "timeout": timeout, **conditions}
        status, answer = self.control_request("GET", "/wait", query=query, timeout=timeout + 30)
        if status == 504:
            raise WaitTimeout(f"{conditions} did not come within {timeout} s: {answer}")
        if status != 200:
            raise ControlError(status, answer)
        return answer

    def lifetime(self, seconds):
        """Default lifetime of tokens of clients that have none of their own; None: by kind."""
        self._do("POST", "/lifetime", {"seconds": seconds})

    def advance(self, seconds):
        """Move the upstream's clock: tokens issued earlier expire at its API without anybody waiting."""
        self._do("POST", "/clock", {"advance": seconds})

    def down(self, *listeners):
        """Refuse connections at these listeners (none named: all) and end the open ones."""
        self._do("POST", "/down", {"listener": list(listeners)} if listeners else {})

    def up(self, *listeners):
        """Undo down(); the ports are the same."""
        self._do("POST", "/up", {"listener": list(listeners)} if listeners else {})

    def close_connections(self, *listeners):
        """End every open connection, idle ones included, as an upstream's restart does; how many."""
        return self._do("POST", "/close-connections", {"listener": list(listeners)} if listeners else {})["closed"]

    def reset(self):
        """Back to the state at start."""
        self._do("POST", "/reset")

    # --- the upstream's API --------------------------------------------------------------------------------------

    def ping(self, headers):
        """Call the upstream's API with a header set as bearerd handed it out; (status, JSON value)."""
        address = urllib.parse.urlsplit(self.ready["http"])
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        try:
            connection.request("GET", "/api/ping", headers=dict(headers))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()
