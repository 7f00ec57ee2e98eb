# SPDX-License-Identifier: MIT
"""The project in a box: from the Debian packages in $BEARERD_DEBS; without, installed as `meson install` does it."""

import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEBS = os.environ.get("BEARERD_DEBS")
PROGRAM = "/usr/sbin/bearerd" if DEBS else "/usr/local/sbin/bearerd"
UNITS = "/lib/systemd/system" if DEBS else "/usr/local/lib/systemd/system"
PACKAGES = ("bearerctl", "bearerd")


def install(box, build=None):
    """From a build folder, where one is named. Nothing of it is enabled or runs afterwards: that is for the tests."""
    if DEBS and not build:
        install_packages(box, pathlib.Path(DEBS))
    else:
        install_build(box, pathlib.Path(build or os.environ.get("BEARERD_BUILD", ROOT / "build")))
    box.ctl("daemon-reload")


def install_packages(box, folder):
    for name in PACKAGES:
        (package,) = folder.glob(f"{name}_*.deb")
        box.copy(package, f"/debs/{name}.deb")
    # The machine below may be one where no service must start; the index of its manual pages takes longest of all.
    box.sh("rm", "-f", "/usr/sbin/policy-rc.d", "/var/lib/man-db/auto-update")
    box.sh("dpkg", "--install", *(f"/debs/{name}.deb" for name in PACKAGES), timeout=120)
    box.ctl("disable", "--now", "bearerd.service", "bearerd.socket")


def install_build(box, build):
    """With what a package's scripts do afterwards."""
    with tempfile.TemporaryDirectory(prefix="bd-installed-") as folder:
        os.chmod(folder, 0o755)  # it becomes the box's /
        command = ["/usr/bin/meson", "install", "-C", str(build), "--no-rebuild", "--quiet", "--destdir", folder]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        box.copy(folder)
    box.sh("systemd-sysusers")
    box.sh("systemd-tmpfiles", "--create", "--prefix=/etc/bearerd", "--prefix=/run/bearerd")
