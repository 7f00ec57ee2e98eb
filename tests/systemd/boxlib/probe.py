# SPDX-License-Identifier: MIT
"""probe.c in a box: what can be done inside a sandbox."""

import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "probe.c"
PROGRAM = "/usr/local/libexec/bearerd-probe"
RESULT = "/run/bearerd-probe"

# The unit as it is, with another program. Without the socket, which is not its business.
IN_SANDBOX = f"""
[Service]
Type=oneshot
ExecStart=
ExecStart={PROGRAM}
ExecPaths={PROGRAM}
StandardOutput=append:{RESULT}
Restart=no
"""
# The same user without a sandbox, to see that the probe tells the difference.
IN_THE_OPEN = ("User=bearerd", "Group=bearerd")


def install_probe(box, folder):
    """Compiles it; its path in the box."""
    target = folder / "probe"
    command = ["cc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o", str(target), str(SOURCE)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    box.copy(target, PROGRAM)
    # What is there for everybody, and what a sandbox hides.
    for path in ("/tmp/of-others", "/var/tmp/of-others"):
        box.write(path, "")
    box.sh("mkdir", "-p", "/usr/lib/modules", "/usr/lib64", "/home")
    box.sh("mknod", "-m", "0666", "/dev/of-others", "c", "1", "5")
    return PROGRAM


def read_results(text):
    """{attempt: result}"""
    return dict(line.split("=", 1) for line in text.splitlines())


def probe_sandbox(service):
    """What can be done in the sandbox of bearerd.service."""
    service.box.sh("rm", "-f", RESULT)
    service.profile("none", "")
    service.drop_in("probe", IN_SANDBOX)
    service.start()
    return read_results(service.box.sh("cat", RESULT).stdout)


def probe_open(box):
    """What the same user can do without."""
    return read_results(box.run(PROGRAM, properties=IN_THE_OPEN).stdout)


