# SPDX-License-Identifier: MIT
"""The two that are compared: bearerd with made-up profiles, and nginx that returns as many bytes from memory."""

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

START_TIMEOUT = 120  # seconds; thousands of settings files take a while


class Server:
    """A process with a folder of its own and a Unix socket; ended and removed by its `with`."""

    name = ""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bearerd-bench-"))
        self.socket = self.folder / "s"
        self.process = None

    def spawn(self, command, **keywords):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **keywords)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._accepts():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {self.log()}")
            time.sleep(0.01)

    def _accepts(self):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True

    def log(self):
        """What it said, the end of it."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def get(self, target):
        """The body of an answer that must be 200."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{self.name}: {data[:2000]!r}; {self.log()}")
        return body

    def workers(self):
        """The processes that serve."""
        return [self.process.pid]

    def close(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Manager:
    """The service manager's end of sd_notify: reads all the time, as sd_notify() blocks otherwise; counts the pings."""

    def __init__(self, path):
        self.path = path
        self.n_pings = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while message := self._socket.recv(65536):
            self.n_pings += b"WATCHDOG=1" in message.split(b"\n")

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()
        self.path.unlink()


class Bearerd(Server):
    """bearerd with `clients` of the stand-in as profiles p0, p1, ... that anybody may use.

    `ca_file` None: the system's certificates, with `extra_ca` among them, in a mount namespace of its own (root only).
    """

    name = "bearerd"

    def __init__(self, program, upstream, clients, ca_file, extra_ca=None):
        super().__init__()
        self.program = program
        self.n = len(clients)
        self._ca_file = ca_file
        self._extra_ca = extra_ca
        self.manager = None
        for name in ("profiles.d", "keys"):
            (self.folder / name).mkdir(mode=0o700)
        (self.folder / "bearerd.conf").write_text(
            f"[Daemon]\nSocket={self.socket}\nSocketGroup={os.getegid()}\nProfileDirectory={self.folder}/profiles.d\n"
        )
        for i, client in enumerate(clients):
            self._write_profile(i, client, upstream)

    def _write_key(self, name, value):
        path = self.folder / "keys" / name
        path.touch(mode=0o600)
        path.write_text(value)
        return path

    def _write_profile(self, i, client, upstream):
        secret = self._write_key(f"{i}.secret", client["client_secret"])
        key = self._write_key(f"{i}.key", client["subscription_keys"][0])
        ca = f"CAFile={self._ca_file}\n" if self._ca_file else ""
        (self.folder / "profiles.d" / f"p{i}.conf").write_text(
            f"[Profile]\nProvider=vipps\nBaseURL={upstream.https}\n{ca}"
            f"[Keys]\nClientID={client['client_id']}\nClientSecretFile={secret}\nSubscriptionKeyFile={key}\n"
            f"[Access]\nAllow=any\n"
        )

    def start(self, watchdog=None):
        """Start, and wait until every profile has a token. `watchdog` in seconds, as systemd would say it."""
        environment = {"PATH": "/usr/bin:/bin"}
        if watchdog:
            self.manager = Manager(self.folder / "notify")
            environment |= {"NOTIFY_SOCKET": str(self.manager.path), "WATCHDOG_USEC": str(int(watchdog * 1_000_000))}
        command = [str(self.program), "--config", str(self.folder / "bearerd.conf")]
        self.spawn([*self._namespace(), *command], env=environment)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self.get("/readyz")
                return self
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _namespace(self):
        """The command that puts our CA among the system's, for the command behind it alone."""
        if self._ca_file:
            return []
        certs = self.folder / "certs"
        shutil.copytree("/etc/ssl/certs", certs, symlinks=True)
        shutil.copy(self._extra_ca, certs / "stand-in.pem")
        with open(certs / "ca-certificates.crt", "a") as bundle:
            bundle.write(pathlib.Path(self._extra_ca).read_text())
        subprocess.run(["openssl", "rehash", str(certs)], check=True, capture_output=True)
        script = 'mount --bind "$0" /etc/ssl/certs && exec "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(certs)]

    def stop(self):
        """End the process; the settings stay."""
        self.process.terminate()
        self.process.wait(60)
        if self.manager:
            self.manager.close()
            self.manager = None

    def close(self):
        if self.manager:
            self.manager.close()
            self.manager = None
        super().close()


class Nginx(Server):
    """nginx, one worker, `return 200` with `body`."""

    name = "nginx"

    def __init__(self, body, content_type):
        super().__init__()
        text = body.decode()
        assert not set(text) & set("'\\$"), "the body would need quoting in nginx's settings"
        user = "user root;" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(
            f"""{user} daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/errors;
            events {{ worker_connections 4096; }}
            http {{
                access_log off; default_type {content_type}; keepalive_requests 1000000000; keepalive_timeout 600s;
                client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/fastcgi; uwsgi_temp_path {self.folder}/uwsgi;
                scgi_temp_path {self.folder}/scgi;
                server {{
                    listen unix:{self.socket};
                    add_header Cache-Control no-store; add_header ETag '"g1"';
                    location / {{ return 200 '{text}'; }}
                }}
            }}
            """
        )

    def start(self):
        self.spawn(["nginx", "-e", f"{self.folder}/errors", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")])
        return self

    def workers(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]
