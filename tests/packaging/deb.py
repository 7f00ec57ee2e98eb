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


def build(folder, *options, tree=ROOT):
    """Runs packaging/build-deb; the folder. It says what it made."""
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    said = run(tree / "packaging/build-deb", "--no-tests", *options, folder, timeout=BUILD_PATIENCE, env=environment)
    paths = [pathlib.Path(line) for line in said.splitlines()]
    assert [path.name.split("_")[0] for path in paths] == list(NAMES)
    assert all(path.is_file() for path in paths)
    return folder


def fields(text):
    """Control data, RFC 822 without its folding: a dict."""
    return dict(re.findall(r"^([A-Za-z-]+): ?(.*(?:\n[ \t].*)*)", text, re.MULTILINE))


class Packages:
    """The packages in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.path = {name: next(folder.glob(f"{name}_*.deb")) for name in NAMES}
        self.changes = next(folder.glob("*.changes"))
        self.source = next(folder.glob("*.tar.xz"))
        self.version = self.field("bearerd", "Version")

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

    def put_into(self, box):
        """Copies them to /debs."""
        for name, path in self.path.items():
            box.copy(path, f"/debs/{name}.deb")
        # Services may start: the machine below may be one where they must not.
        box.sh("rm", "-f", "/usr/sbin/policy-rc.d")


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
