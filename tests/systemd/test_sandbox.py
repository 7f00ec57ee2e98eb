# SPDX-License-Identifier: MIT
"""The sandbox of bearerd.service by its effect: probe.c tries, in there and as the same user outside.

The second run shows that an attempt can succeed at all: a refusal that everybody gets proves nothing.
"""

import pytest

from boxlib.probe import probe_open, probe_sandbox
from boxlib.service import Service

# Attempt: what comes of it in the sandbox. Outside it is something else.
REFUSED = {
    "umask": "0077",
    "/etc is": "read-only",
    "/usr is": "read-only",
    "/usr/lib is": "read-only",
    "/usr/lib64 is": "read-only",
    "/usr/local/lib is": "read-only",
    "/var is": "read-only",
    "/run is": "read-only",
    "/proc/irq is": "read-only",
    "cgroups are": "read-only",
    "write keys": "EROFS",
    "write /dev/shm": "EACCES",
    "write /tmp": "EROFS",
    "see /tmp": "ENOENT",
    "see /var/tmp": "ENOENT",
    "list /home": "EACCES",
    "list /usr/lib/modules": "EACCES",
    "open a device": "ENOENT",
    "see process 1": "ENOENT",
    "set-user-id": "EPERM",
    "execute": "EACCES",
    "map a program": "EPERM",
    "writable code": "EPERM",
    "code that was data": "EPERM",
    "AF_NETLINK": "EAFNOSUPPORT",
    "AF_PACKET": "EAFNOSUPPORT",
    "personality": "EPERM",
    "setpriority": "EPERM",
    "sched_setscheduler": "EPERM",
    "ptrace": "EPERM",
    "adjtimex": "EPERM",
    "keyctl": "EPERM",
    "process_vm_readv": "EPERM",
    "lchown": "EPERM",
    "core limit": "0",
    "CapBnd": "0000000000000000",
    "NoNewPrivs": "1",
    "Seccomp": "2",
}
# The same, where a machine may refuse it to everybody.
REFUSED_ANYWAY = {
    "foreign system call": "SYS",
    "user namespace": "EPERM",
    "io_uring": "EPERM",
    "kernel log": "EPERM",
    "CapEff": "0000000000000000",
}
# What the daemon needs, or may use.
ALLOWED = [
    "open /dev/urandom", "list cgroups", "read loadavg", "read pid_max", "map a library", "AF_UNIX", "AF_INET", "AF_INET6",
    "mlock", "memfd_create", "setrlimit",
]  # fmt: skip
OWN_NAMESPACES = ["mnt", "ipc", "uts"]
SHARED_NAMESPACES = ["net", "user"]


@pytest.fixture(scope="module")
def inside(box, probe):
    service = Service(box)
    try:
        return probe_sandbox(service)
    finally:
        service.close()


@pytest.fixture(scope="module")
def outside(box, probe):
    return probe_open(box)


@pytest.mark.parametrize("attempt", REFUSED)
def test_is_refused(inside, outside, attempt):
    assert inside[attempt] == REFUSED[attempt]
    assert outside[attempt] != REFUSED[attempt], "nobody may do that here: the sandbox is not what refuses it"


@pytest.mark.parametrize("attempt", REFUSED_ANYWAY)
def test_is_refused_to_us_at_least(inside, attempt):
    assert inside[attempt] == REFUSED_ANYWAY[attempt]


@pytest.mark.parametrize("attempt", ALLOWED)
def test_is_allowed(inside, attempt):
    assert inside[attempt] == "ok"


def test_what_a_kernel_may_lack_is_not_refused_by_the_filter(inside, outside):
    assert inside["memfd_secret"] == outside["memfd_secret"]


def test_a_process_that_is_hidden_can_be_asked_about(inside, outside):
    """kill(pid, 0) tells whether an id is in use, on kernels that have no pidfd of a peer."""
    assert inside["signal process 1"] == outside["signal process 1"] == "EPERM"


def test_runs_as_its_own_user(box, inside):
    uid = box.sh("id", "-u", "bearerd").stdout.strip()
    assert set(inside["Uid"].split()) == {uid}


@pytest.mark.parametrize("name", OWN_NAMESPACES)
def test_has_a_namespace_of_its_own(inside, outside, name):
    assert inside[name] != outside[name]


@pytest.mark.parametrize("name", SHARED_NAMESPACES)
def test_shares_a_namespace(inside, outside, name):
    assert inside[name] == outside[name]


def test_libraries_are_found_where_other_distributions_have_them(shop):
    """Fedora's are all in /usr/lib64; a library that may not be mapped would end the start."""
    box = shop.box
    name = "libsystemd.so.0"
    box.sh("sh", "-c", f"mkdir -p /usr/lib64 && cp -L /usr/lib/*/{name} /usr/lib64/{name}")
    shop.drop_in("lib64", "[Service]\nEnvironment=LD_LIBRARY_PATH=/usr/lib64\n")
    try:
        shop.start()
        assert f"/usr/lib64/{name}" in box.sh("cat", f"/proc/{shop.pid}/maps").stdout
    finally:
        box.sh("rm", f"/usr/lib64/{name}")


def test_memory_is_never_swapped(service):
    """Where the machine gives boxes no memory controller, systemd can only be asked what it would set."""
    assert service.show("MemorySwapMax") == "0"


def test_all_key_memory_is_locked(shop):
    """As the daemon has it at work: nothing was left unlocked, and no limit was too low."""
    shop.start()
    assert not [e for e in shop.box.journal(shop.since, _SYSTEMD_UNIT="bearerd.service") if "could not be locked" in e["MESSAGE"]]
    status = shop.box.sh("cat", f"/proc/{shop.pid}/status").stdout
    locked = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmLck:"))
    assert locked > 0
    limits = shop.box.sh("cat", f"/proc/{shop.pid}/limits").stdout
    assert ["0", "0"] == next(line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size"))
