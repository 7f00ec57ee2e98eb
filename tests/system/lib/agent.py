# SPDX-License-Identifier: MIT
"""A process that does as it is told: connects, asks, hands its connection to another one, executes itself, ends.

What it is told comes over a socket pair, and so do connections (SCM_RIGHTS).
"""

import json
import os
import pathlib
import socket
import subprocess
import sys

from .settings import PATIENCE

# Each command is a JSON list, each answer a JSON value.
SOURCE = r"""
import array, ctypes, json, os, socket, sys, threading

control = socket.socket(fileno=int(sys.argv[1]))
held = [socket.socket(fileno=int(n)) for n in sys.argv[2:]]

def connect(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(TIMEOUT)
    sock.connect(path)
    held.append(sock)

def ask(target, number=-1):
    sock = held[number]
    sock.settimeout(TIMEOUT)
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            return 0
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    size = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:"))
    while len(body) < size:
        body += sock.recv(65536)
    return int(head.split(b" ")[1])

def hand_over():
    sock = held.pop()
    socket.send_fds(control, [b"fd"], [sock.fileno()])
    sock.close()

def take():
    held.append(socket.socket(fileno=socket.recv_fds(control, 16, 1)[1][0]))

def execute():
    for sock in (control, *held):
        sock.set_inheritable(True)
    numbers = [str(sock.fileno()) for sock in (control, *held)]
    os.execv(sys.executable, [*sys.orig_argv[:4], *numbers])

def fork():
    pid = os.fork()
    if pid:
        os._exit(0)

def leave_to_thread():
    "The main thread ends, and another one goes on."
    threading.Thread(target=lambda: (ready.wait(), serve())).start()
    control.send(b"null")
    ready.set()
    ctypes.CDLL(None).syscall(SYS_EXIT, 0)

ready = threading.Event()
SYS_EXIT = {"x86_64": 60, "aarch64": 93}[os.uname().machine]
commands = {f.__name__: f for f in (connect, ask, hand_over, take, execute, fork, leave_to_thread, os.getpid)}

def serve():
    while line := control.recv(4096):
        name, *arguments = json.loads(line)
        if name == "execute":
            control.send(b"null")
        control.send(json.dumps(commands[name](*arguments)).encode())
    os._exit(0)

serve()
"""


def only_child(pid):
    """The process id of the one child of a process, as we see it."""
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text())


class Agent:
    """One such process, in a cgroup of `units` (names as for Slice.unit); a context manager.

    A `prefix` that forks, to put it into a namespace, is to be told of with `is_inner`.
    """

    def __init__(self, units=None, names=(), prefix=(), is_inner=False, uid=0):
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(PATIENCE)
        code = SOURCE.replace("TIMEOUT", repr(PATIENCE))
        number = theirs.fileno()
        become = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups") if uid else ()
        self._process = subprocess.Popen(
            [*prefix, *become, sys.executable, "-I", "-c", code, str(number)], pass_fds=[number], cwd="/"
        )
        theirs.close()
        self.tell("getpid")  # it runs
        self.pid = only_child(self._process.pid) if is_inner else self._process.pid
        if units is not None:
            units.put(self.pid, *names)

    def tell(self, *command):
        """One command; its answer."""
        self._control.send(json.dumps(command).encode())
        answer = self._control.recv(4096)
        assert answer, "the agent is gone"
        return json.loads(answer)

    def connect(self, daemon):
        self.tell("connect", str(daemon.socket))
        return self

    def token(self, profile="shop"):
        """The status of a request on the connection that was made or taken last; 0 when it was closed."""
        return self.tell("ask", f"/v1/profiles/{profile}/token")

    def hand_to(self, other):
        """Gives its last connection to another agent."""
        self._control.send(json.dumps(["hand_over"]).encode())
        _, fds, _, _ = socket.recv_fds(self._control, 16, 1)
        assert self._control.recv(4096) == b"null"
        other._control.send(json.dumps(["take"]).encode())
        socket.send_fds(other._control, [b"fd"], fds)
        assert other._control.recv(4096) == b"null"
        os.close(fds[0])

    def end(self, reap=True):
        """Ends the process; without `reap` it stays as a zombie until close()."""
        self._control.close()
        if reap:
            self._process.wait(PATIENCE)
        else:
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

    def close(self):
        self._control.close()
        self._process.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
