# SPDX-License-Identifier: MIT
"""Looking for bytes in the memory of another process. Needs root: the daemon lets nobody else trace it."""

import dataclasses
import re

HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)")


@dataclasses.dataclass
class Mapping:
    """One line of /proc/PID/smaps, and its VmFlags."""

    start: int
    end: int
    access: str
    name: str
    is_locked: bool = False


def mappings(pid):
    """All mappings of a process."""
    found = []
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            head = HEAD.match(line)
            if head:
                found.append(Mapping(int(head[1], 16), int(head[2], 16), head[3], head[4]))
            elif line.startswith("VmFlags:"):
                found[-1].is_locked = "lo" in line.split()
    return found


def contents(pid):
    """(mapping, its bytes) for everything that can be read."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for mapping in mappings(pid):
            if not mapping.access.startswith("r") or mapping.name in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            try:
                memory.seek(mapping.start)
                yield mapping, memory.read(mapping.end - mapping.start)
            except OSError:
                continue  # unmapped meanwhile, or a device


def search(pid, needles):
    """{name: [mappings that hold it]} for {name: bytes}."""
    hits = {name: [] for name in needles}
    for mapping, data in contents(pid):
        for name, needle in needles.items():
            if needle in data:
                hits[name].append(mapping)
    return hits
