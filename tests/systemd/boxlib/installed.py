# SPDX-License-Identifier: MIT
"""The project in a box: installed as `meson install` does it, with what a package's scripts do afterwards."""

import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]


def install(box, build=None):
    """Installs the build folder (default: $BEARERD_BUILD, else build), makes the user and the folders."""
    build = pathlib.Path(build or os.environ.get("BEARERD_BUILD", ROOT / "build"))
    with tempfile.TemporaryDirectory(prefix="bd-installed-") as folder:
        os.chmod(folder, 0o755)  # it becomes the box's /
        command = ["/usr/bin/meson", "install", "-C", str(build), "--no-rebuild", "--quiet", "--destdir", folder]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        box.copy(folder)
    box.sh("systemd-sysusers")
    box.sh("systemd-tmpfiles", "--create", "--prefix=/etc/bearerd", "--prefix=/run/bearerd")
    box.ctl("daemon-reload")
