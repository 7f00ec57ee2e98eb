# SPDX-License-Identifier: MIT
"""One bearerd: its folder, its settings, its process, and everything a test may ask of it.

    with Daemon() as daemon:
        vipps(daemon, "shop", upstream, upstream.vipps_client())     # lib/profiles.py
        daemon.start()                                               # and waits for READY=1
        answer = daemon.get("/v1/profiles/shop/token")

Every daemon has a folder of its own under /tmp (the path of a socket is short) and is ended by its own process id.
The end is part of every test: exit status 0, the socket gone, no word of a sanitizer.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from .http import Connection, Metrics, connect
from .settings import BEARERD, PATIENCE, WRAPPER
from .watch import Log, Manager


def settings_text(sections):
    """{"Daemon": {"Key": value or [values]}} as a settings file."""
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        for key, value in keys.items():
            lines += [f"{key}={one}" for one in (value if isinstance(value, list) else [value])]
        lines.append("")
    return "\n".join(lines)


class Daemon:
    """See above. `log` and `manager` exist while the process does."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bd-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.config = self.folder / "bearerd.conf"
        self.profile_folder = self.folder / "profiles.d"
        self.key_folder = self.folder / "keys"
        self.run_folder = self.folder / "run"
        self.socket = self.run_folder / "s"
        self.profile_folder.mkdir()
        self.key_folder.mkdir(mode=0o700)
        self.run_folder.mkdir(mode=0o755)
        self.process = None
        self.log = None
        self.manager = None
        self.environment = {}
        self.main()

    # --- settings ----------------------------------------------------------------------------------------------------

    def main(self, access=None, **daemon):
        """Write bearerd.conf: what every test needs, changed by `daemon` (None leaves a key out)."""
        keys = {"Socket": self.socket, "SocketMode": "0660", "SocketGroup": os.getegid()}
        keys |= {"ProfileDirectory": self.profile_folder, **daemon}
        keys = {name: value for name, value in keys.items() if value is not None}
        self.config.write_text(settings_text({"Daemon": keys, "Access": access or {"Admin": f"user:{os.geteuid()}"}}))

    def profile(self, name, sections):
        """Write profiles.d/NAME.conf from a dict of sections or a text."""
        text = sections if isinstance(sections, str) else settings_text(sections)
        path = self.profile_folder / f"{name}.conf"
        path.write_text(text)
        return path

    def key(self, name, value, mode=0o600):
        """Write a key file; its path."""
        path = self.key_folder / name
        path.write_bytes(value if isinstance(value, bytes) else value.encode())
        path.chmod(mode)
        return path

    # --- life --------------------------------------------------------------------------------------------------------

    def command(self, *arguments):
        """The command line of the daemon."""
        return [*WRAPPER, str(BEARERD), *map(str, arguments)]

    def own_environment(self):
        """Nothing of the caller's but what must be; reports of sanitizers go into the folder."""
        reports = f"log_path={self.folder}/sanitizer"
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "ASAN_OPTIONS": f"{reports}:detect_leaks=1:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": f"{reports}:print_stacktrace=1",
            **self.environment,
        }

    def start(self, *arguments, wait=True, prefix=(), **popen):
        """Start the process; with `wait`, until READY=1. `prefix` is a command to run it under."""
        assert self.process is None, "it runs already"
        self._close_manager()
        self.manager = Manager(self._fresh_notify_folder())
        self.process = subprocess.Popen(
            [*prefix, *self.command("--config", self.config, *arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.own_environment() | {"NOTIFY_SOCKET": self.manager.path},
            cwd="/",
            **popen,
        )
        self.log = Log(self.process.stderr)
        if wait:
            self.wait_ready()
        return self

    def _fresh_notify_folder(self):
        folder = tempfile.mkdtemp(prefix="n", dir=self.folder)
        os.chmod(folder, 0o755)
        return folder

    def _close_manager(self):
        if self.manager:
            self.manager.close()
            self.manager = None

    def wait_ready(self, timeout=PATIENCE):
        """Until READY=1; fails at once when the daemon ends instead."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.manager.wait_for(READY="1", timeout=0.25)
            except AssertionError:
                if self.process.poll() is not None:
                    self.log.join()
                    raise AssertionError(f"ended with {self.process.returncode}: {self.log.text}") from None
                if time.monotonic() > deadline:
                    raise AssertionError(f"no READY=1; the log: {self.log.text}") from None

    def wait_socket(self):
        """Until the daemon serves, ready or not."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                connect(self.socket).close()
                return
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.process.poll() is None, f"ended with {self.process.returncode}"
                assert time.monotonic() < deadline, "no socket"
                time.sleep(0.005)

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=PATIENCE):
        """Wait for the end; the exit status."""
        status = self.process.wait(timeout)
        self.manager.drain()
        self.log.join()
        self._check_reports()
        self.process = None
        return status

    def stop(self, status=0):
        """SIGTERM, and everything that an orderly end means."""
        if self.process is None:
            return
        try:
            self.signal(signal.SIGTERM)
            assert self.wait_exit() == status, f"exit status; the log: {self.log.text}"
            assert not self.socket.exists(), "the socket was left behind"
        finally:
            self.kill()

    def kill(self):
        """The last resort, and the end of what is stopped."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.log.join()
            self.process = None

    def restart(self, *arguments, **keywords):
        """stop() and start()."""
        self.stop()
        return self.start(*arguments, **keywords)

    def run(self, *arguments, config=True, timeout=PATIENCE, **keywords):
        """Run the binary to its end (--check, --version, settings that are refused): subprocess' result, as text."""
        command = self.command(*(["--config", self.config] if config else []), *arguments)
        result = subprocess.run(
            command, capture_output=True, text=True, env=self.own_environment(), timeout=timeout, cwd="/", **keywords
        )
        self._check_reports()
        return result

    def _check_reports(self):
        reports = [path.read_text(errors="replace") for path in self.folder.glob("sanitizer.*")]
        assert not reports, "\n".join(reports)
        strange = [line.raw for line in self.log.items if line.raw.startswith("==")] if self.log else []
        assert not strange, "\n".join(strange)  # valgrind's words

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
            elif self.log:
                print(f"--- log of the daemon in {self.folder}\n{self.log.text}")
        finally:
            self.kill()
            self._close_manager()
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- asking ------------------------------------------------------------------------------------------------------

    def call(self, method, target, body=None, headers=None, timeout=PATIENCE):
        """One request on a connection of its own; an Answer."""
        with Connection(self.socket, timeout) as connection:
            return connection.call(method, target, body, headers)

    def get(self, target, **keywords):
        return self.call("GET", target, **keywords)

    def connection(self):
        """A kept connection."""
        return Connection(self.socket)

    def connect(self, timeout=PATIENCE):
        """A naked socket."""
        return connect(self.socket, timeout)

    def token(self, profile, query=""):
        """The body of /token; asserts 200."""
        answer = self.get(f"/v1/profiles/{profile}/token{query}")
        assert answer.status == 200, answer
        return answer.json

    def headers(self, profile, query=""):
        """The header set; asserts 200."""
        answer = self.get(f"/v1/profiles/{profile}/headers{query}")
        assert answer.status == 200, answer
        return answer.json

    def status(self, profile):
        """The status of a profile; asserts 200."""
        answer = self.get(f"/v1/profiles/{profile}")
        assert answer.status == 200, answer
        return answer.json

    def metrics(self):
        """All metrics that this caller may see."""
        answer = self.get("/metrics")
        assert answer.status == 200, answer
        return Metrics(answer.text)

    def wait_status(self, profile, is_met=None, timeout=PATIENCE, **members):
        """Ask until the status has these members (and is_met() holds); the status. For what sends no event."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.status(profile)
            if all(status[name] == value for name, value in members.items()) and (not is_met or is_met(status)):
                return status
            assert time.monotonic() < deadline, f"{members} did not come: {status}"
            time.sleep(0.01)

    def wait_metric(self, name, value, timeout=PATIENCE, **labels):
        """Ask until a metric has this value; a refusal for want of room is no answer yet."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                answer = self.get("/metrics")
                seen = Metrics(answer.text).value(name, **labels) if answer.status == 200 else answer
            except BrokenPipeError as error:
                seen = error  # refused before the request was sent
            if seen == value:
                return
            assert time.monotonic() < deadline, f"{name}{labels} is {seen}, not {value}"
            time.sleep(0.01)
