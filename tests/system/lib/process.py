# SPDX-License-Identifier: MIT
"""What the kernel says of a process."""

import os


def cpu_time(pid):
    """Seconds of processor time used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
