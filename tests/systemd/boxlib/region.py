# SPDX-License-Identifier: MIT
"""The memory that systemd holds for the daemon, and how to damage it: programs that run in a box, as root.

The layout is in daemon/wire/state.h.
"""

HEADER_SIZE = 4096
VERSION_AT = 16

# Opens the running daemon's region as `region`: memory of memfd_secret(2) can be had by another process no other way.
OPEN = """
import ctypes, mmap, os, sys
PIDFD_OPEN, PIDFD_GETFD = 434, 438
call = ctypes.CDLL(None, use_errno=True).syscall
pid = int(sys.argv[1])
folder = f"/proc/{pid}/fd"
links = {int(name): os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
(number,) = [number for number, link in links.items() if "secretmem" in link or "bearerd-state" in link]
fd = call(PIDFD_GETFD, call(PIDFD_OPEN, pid, 0), number, 0)
assert fd >= 0, os.strerror(ctypes.get_errno())
region = mmap.mmap(fd, os.fstat(fd).st_size)
"""

# Each leaves the region otherwise as it was.
ONE_RECORD = "one bit of one record"
DAMAGE = {
    "nothing but zeros": "region[:] = bytes(len(region))",
    "noise": "region[:] = os.urandom(len(region))",
    "another magic": "region[0] ^= 1",
    "another version": f"region[{VERSION_AT}] += 1",
    "another boot": f"region[{VERSION_AT + 32}] ^= 1",
    "one bit of the header": f"region[{VERSION_AT + 16}] ^= 1",
    "one bit of each record": f"for at in range({HEADER_SIZE} + 100, len(region), 4096): region[at] ^= 1",
    # Of a slot in use: its sequence number is not 0.
    ONE_RECORD: f"at = next(at for at in range({HEADER_SIZE}, len(region), 4096) if any(region[at:at + 8])); region[at + 100] ^= 1",
    "records of noise": f"region[{HEADER_SIZE}:] = os.urandom(len(region) - {HEADER_SIZE})",
    "the largest sizes": f"for at in range({HEADER_SIZE} + 8, len(region), 4096): region[at:at + 8] = bytes([255] * 8)",
}

# Hands a descriptor to systemd under a name, from ExecStartPre=. Returns when systemd has it (BARRIER=1, sd_notify(3)).
STORE = """
import os, socket, sys
name, what = sys.argv[1:]
made = {
    "empty memory": lambda: os.memfd_create("x"),
    "noise": lambda: memory(os.urandom(20000)),
    "one byte": lambda: memory(b"x"),
    "a huge hole": lambda: hole(1 << 45),
    "a file that can only be read": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "a folder": lambda: os.open("/", os.O_RDONLY),
    "a device": lambda: os.open("/dev/zero", os.O_RDWR),
}
def memory(data):
    fd = os.memfd_create("x")
    os.write(fd, data)
    return fd
def hole(size):
    fd = os.memfd_create("x")
    os.ftruncate(fd, size)
    return fd
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1))
ours, theirs = os.pipe()
socket.send_fds(manager, [f"FDSTORE=1\\nFDNAME={name}".encode()], [made[what]()])
socket.send_fds(manager, [b"BARRIER=1"], [theirs])
os.close(theirs)
os.read(ours, 1)
"""
STORED = ["empty memory", "noise", "one byte", "a huge hole", "a file that can only be read", "a folder", "a device"]
PROGRAM = "/usr/local/libexec/bearerd-store"


def damage(service, how):
    """Damages the region of the running daemon."""
    service.box.sh("/usr/bin/python3", "-I", "-c", OPEN + DAMAGE[how], str(service.pid))


def region_size(service):
    """In bytes."""
    return int(service.box.sh("/usr/bin/python3", "-I", "-c", OPEN + "print(len(region))", str(service.pid)).stdout)


def store(service, name, what):
    """From now on systemd is handed this, under this name, before each start."""
    service.box.write(PROGRAM, STORE)
    line = f"+/usr/bin/python3 -I {PROGRAM} {name} '{what}'"
    service.drop_in("store", f"[Service]\nNotifyAccess=all\nExecStartPre={line}\n")
