# SPDX-License-Identifier: MIT
"""Debian packages, looked at from outside, and put into a box."""

import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ("bearerctl", "bearerd")  # in the order of installation
BUILD_PATIENCE = 800  # seconds


def run(*command, **rest):
    """What a command says; it must succeed."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **rest
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def build(folder, tree=ROOT):
    """Runs packaging/build-deb of a tree, which says what it made; the folder."""
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    said = run(tree / "packaging/build-deb", "--no-tests", folder, timeout=BUILD_PATIENCE, env=environment)
    paths = [pathlib.Path(line) for line in said.splitlines()]
    assert [path.name.split("_")[0] for path in paths] == list(NAMES)
    assert all(path.is_file() for path in paths)
    return folder


def source(function, *arguments):
    """What a function of packaging/lib/source.sh says of this tree."""
    script = f'root="{ROOT}"; . packaging/lib/source.sh; "$@"'
    return run("bash", "-euo", "pipefail", "-c", script, "bash", function, *arguments, cwd=ROOT).strip()


def fields(text):
    """Control data, RFC 822 without its folding: a dict."""
    return dict(re.findall(r"^([A-Za-z-]+): ?(.*(?:\n[ \t].*)*)", text, re.MULTILINE))


class Packages:
    """The packages in a folder: one of each name."""

    def __init__(self, folder):
        self.folder = folder
        self.path = {}
        for name in NAMES:
            (self.path[name],) = folder.glob(f"{name}_*.deb")
        self.version = self.field("bearerd", "Version")

    @property
    def changes(self):
        return next(self.folder.glob("all/*.changes"))

    @property
    def source(self):
        return next(self.folder.glob("all/*.tar.xz"))

    def field(self, name, which):
        return fields(run("dpkg-deb", "--field", self.path[name])).get(which)

    def control_file(self, name, which):
        """conffiles, postinst, ...; empty when there is none."""
        done = subprocess.run(
            ["dpkg-deb", "--info", self.path[name], which], capture_output=True, text=True, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    def contents(self, name):
        """Each file and folder: "MODE OWNER/GROUP PATH"; a symbolic link with what it leads to."""
        lines = run("dpkg-deb", "--contents", self.path[name]).splitlines()
        return [re.sub(r"^(\S+) (\S+) +\S+ \S+ \S+ \./", r"\1 \2 /", line) for line in lines]

    def put_into(self, box, folder="/debs"):
        """Copies them there."""
        for name, path in self.path.items():
            box.copy(path, f"{folder}/{name}.deb")


def let_install(box):
    """Makes a box a machine where packages are installed, and start services, without what only takes time."""
    # The machine below may be one where no service must start; the index of its manual pages takes longest of all.
    box.sh("rm", "-f", "/usr/sbin/policy-rc.d", "/var/lib/man-db/auto-update")


def make_newer(box):
    """The packages in /debs once more, in /debs/newer, with "+1" behind their version."""
    box.sh("mkdir", "-p", "/debs/newer")
    for name in NAMES:
        box.sh("dpkg-deb", "--raw-extract", f"/debs/{name}.deb", f"/debs/{name}")
        control = box.path(f"/debs/{name}/DEBIAN/control")
        # Also where the daemon asks for its client.
        text = re.sub(r"^(Version: .*|Depends: bearerctl \(= [^)]*)", r"\1+1", control.read_text(), flags=re.MULTILINE)
        control.write_text(text)
        box.sh("dpkg-deb", "-Znone", "--root-owner-group", "--build", f"/debs/{name}", f"/debs/newer/{name}.deb")


def install(box, folder="/debs"):
    """dpkg, without a question."""
    files = [f"{folder}/{name}.deb" for name in NAMES]
    return box.sh("dpkg", "--force-confdef", "--force-confold", "--install", *files, timeout=120)


def status(box, name):
    """installed, config-files, not-installed, ..."""
    done = box.sh("dpkg-query", "--show", "--showformat=${db:Status-Status}", name, check=False)
    return done.stdout if done.returncode == 0 else "not-installed"


def version(box, name):
    """The installed one."""
    return box.sh("dpkg-query", "--show", "--showformat=${Version}", name).stdout


def run_postinst(box, *arguments):
    """What dpkg calls at the end of an installation; it must succeed."""
    return box.sh("/var/lib/dpkg/info/bearerd.postinst", *arguments, timeout=120)
