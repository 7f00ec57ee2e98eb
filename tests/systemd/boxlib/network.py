# SPDX-License-Identifier: MIT
"""What the tests run in the network of a box: the stand-in upstream, and a name server.

Both are processes and threads of this side: their files are ours, their sockets are the box's.
"""

import contextlib
import ctypes
import os
import socket
import struct
import threading

from client import Standin

CLONE_NEWNET = 0x40000000
NAME_SERVER = "127.0.0.53"
ANSWER = "127.0.0.1"
TYPE_A = 1


@contextlib.contextmanager
def _entered(leader):
    """This thread is in the network of that process until the end of the block."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as own, open(f"/proc/{leader}/ns/net") as other:
        for one in (other, own):
            if libc.setns(one.fileno(), CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            if one is other:
                yield


def in_network(box, function, *arguments, **keywords):
    """Calls a function in a thread that is in the network of the box: sockets and processes that it makes belong there."""
    result = {}

    def run():
        try:
            with _entered(box.leader):
                result["value"] = function(*arguments, **keywords)
        except BaseException as error:  # handed to the caller, whose thread it is
            result["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    return result["value"]


class BoxStandin(Standin):
    """The stand-in upstream on the loopback device of a box."""

    def __init__(self, box, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self._box = box

    def start(self):
        return in_network(self._box, super().start)

    def control_request(self, *arguments, **keywords):
        return in_network(self._box, super().control_request, *arguments, **keywords)


class NameServer:
    """Knows one name, and counts who asks for it; a context manager. The box's resolv.conf has to name NAME_SERVER."""

    def __init__(self, box, name):
        self._name = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
        self.n_asked = 0
        self._socket = in_network(box, socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((NAME_SERVER, 53))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while (question := self._socket.recvfrom(512)) and question[0]:
            data, sender = question
            self._socket.sendto(self._answer(data), sender)

    def _answer(self, data):
        """RFC 1035, 4.1: the header, the question again, and an address where it was asked for one of our name."""
        end = data.index(b"\0", 12) + 5
        name, (kind,) = data[12 : end - 4], struct.unpack("!H", data[end - 4 : end - 2])
        is_ours = name.lower() == self._name
        self.n_asked += is_ours
        records = b""
        if is_ours and kind == TYPE_A:
            records = b"\xc0\x0c" + struct.pack("!HHIH", TYPE_A, 1, 0, 4) + socket.inet_aton(ANSWER)
        flags = 0x8580 if is_ours else 0x8583
        return data[:2] + struct.pack("!HHHHH", flags, 1, bool(records), 0, 0) + data[12:end] + records

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.sendto(b"", (NAME_SERVER, 53))
        self._thread.join()
        self._socket.close()
