# SPDX-License-Identifier: MIT
"""The descriptions of packages for other distributions: as far as Debian's copies of their tools can tell."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest
from deb import ROOT, run, source

VERSION = re.search(r"^  version: '(.*)',$", (ROOT / "meson.build").read_text(), re.MULTILINE)[1]
FOLDER = f"bearerd-{VERSION}"
NOBODY = 65534  # makepkg does not run as root
BUILD_PATIENCE = 800
DOCUMENTS = {"README.md", "SECURITY.md", "CHANGELOG.md", "api.md", "settings.md", "examples/shop.conf", "examples/issuer.conf"}


@pytest.fixture(scope="module")
def tarball(tmp_path_factory):
    """The tree as a release has it."""
    folder = tmp_path_factory.mktemp("tarball")
    source("source_copy", folder / FOLDER)
    run("tar", "-C", folder, "-czf", folder / f"{FOLDER}.tar.gz", FOLDER)
    return folder / f"{FOLDER}.tar.gz"


@pytest.fixture(scope="module")
def rpms(tarball, tmp_path_factory):
    """The binary packages, by name."""
    if not shutil.which("rpmbuild"):
        pytest.skip("no rpmbuild")
    top = tmp_path_factory.mktemp("rpm")
    (top / "SOURCES").mkdir()
    shutil.copy(tarball, top / "SOURCES")
    run(
        "rpmbuild", "-ba", "--nodeps", "--without", "check", f"--load={ROOT}/tests/packaging/rpm-macros",
        "--define", f"_topdir {top}", ROOT / "packaging/rpm/bearerd.spec", timeout=BUILD_PATIENCE,
    )
    assert len(list((top / "SRPMS").glob("bearerd-*.src.rpm"))) == 1
    paths = (top / "RPMS").glob("*/*.rpm")
    return {run("rpm", "-qp", "--qf", "%{NAME}", path): path for path in paths}


def rpm_files(path):
    lines = run("rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\\n]", path)
    return {line.split()[2].removesuffix(".gz"): tuple(line.split()[:2]) for line in lines.splitlines()}


def test_rpm_contents(rpms):
    assert {"bearerd", "bearerctl"} <= set(rpms)
    found = rpm_files(rpms["bearerd"])
    assert {owner for _, owner in found.values()} == {"root:root"}
    doc = "/usr/share/doc/bearerd"
    assert {path for path, (mode, _) in found.items() if mode[0] == "-" and "/.build-id/" not in path} == {
        "/etc/bearerd/bearerd.conf", "/usr/lib/systemd/system/bearerd.service", "/usr/lib/systemd/system/bearerd.socket",
        "/usr/lib/systemd/system/bearerd-credentials.service", "/usr/lib/sysusers.d/bearerd.conf",
        "/usr/lib/tmpfiles.d/bearerd.conf", "/usr/libexec/bearerd-credentials", "/usr/sbin/bearerd",
        "/usr/share/man/man5/bearerd.conf.5", "/usr/share/man/man8/bearerd.8", "/usr/share/licenses/bearerd/LICENSE",
        *(f"{doc}/{name}" for name in DOCUMENTS),
    }
    assert found["/usr/sbin/bearerd"][0] == "-rwxr-xr-x"
    assert run("rpm", "-qp", "--configfiles", rpms["bearerd"]).split() == ["/etc/bearerd/bearerd.conf"]
    assert {"/usr/bin/bearerctl", "/usr/share/man/man1/bearerctl.1"} <= set(rpm_files(rpms["bearerctl"]))


def test_rpm_scripts(rpms):
    """Every macro is known, and what comes of them is shell; the socket is never restarted."""
    text = run("rpm", "-qp", "--scripts", rpms["bearerd"])
    assert "%" not in text
    assert "systemctl try-restart bearerd.service ||" in text
    assert "disable --now bearerd.socket bearerd.service" in text
    scripts = re.split(r"^\w+ scriptlet \(using \S+\):$", text, flags=re.MULTILINE)[1:]
    assert len(scripts) == 3
    for script in scripts:
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert run("rpm", "-qp", "--scripts", rpms["bearerctl"]) == ""


@pytest.fixture(scope="module")
def arch_package(tarball):
    """What makepkg makes; it does so as any user but root, in a folder that this user can reach."""
    if not shutil.which("makepkg") or not shutil.which("bsdtar"):
        pytest.skip("no makepkg, or no bsdtar")
    with tempfile.TemporaryDirectory(prefix="bd-arch-") as name:
        folder = pathlib.Path(name)
        for path in (ROOT / "packaging/arch/PKGBUILD", ROOT / "packaging/arch/bearerd.install", tarball):
            shutil.copy(path, folder)
        as_nobody = []
        if os.geteuid() == 0:
            run("chown", "-R", str(NOBODY), folder)
            as_nobody = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
        # What is here is Debian's: there is no pacman to ask.
        settings = {"PKGEXT": ".pkg.tar.gz", "PACMAN": "true", "HOME": name}
        run(
            *as_nobody, "makepkg", "--nodeps", "--nocheck", cwd=folder, timeout=BUILD_PATIENCE,
            env={**os.environ, **settings},
        )
        yield next(folder.glob("bearerd-*-1-*.pkg.tar.gz"))


def test_arch_contents(arch_package):
    lines = run("tar", "-tvf", arch_package).splitlines()
    found = {line.split(None, 5)[5]: line.split()[0] for line in lines}
    doc = "usr/share/doc/bearerd"
    assert {path.removesuffix(".gz") for path in found if not path.endswith("/")} == {
        ".BUILDINFO", ".INSTALL", ".MTREE", ".PKGINFO", "etc/bearerd/bearerd.conf", "usr/bin/bearerctl", "usr/bin/bearerd",
        "usr/lib/bearerd/bearerd-credentials", "usr/lib/systemd/system/bearerd.service",
        "usr/lib/systemd/system/bearerd.socket", "usr/lib/systemd/system/bearerd-credentials.service",
        "usr/lib/sysusers.d/bearerd.conf", "usr/lib/tmpfiles.d/bearerd.conf", "usr/share/licenses/bearerd/LICENSE",
        "usr/share/man/man1/bearerctl.1", "usr/share/man/man5/bearerd.conf.5", "usr/share/man/man8/bearerd.8",
        *(f"{doc}/{name}" for name in DOCUMENTS),
    }
    assert found["usr/bin/bearerd"] == "-rwxr-xr-x"
    info = run("tar", "-xOf", arch_package, ".PKGINFO")
    assert "backup = etc/bearerd/bearerd.conf" in info
    service = run("tar", "-xOf", arch_package, "usr/lib/systemd/system/bearerd.service")
    assert "ExecStart=/usr/bin/bearerd" in service


def test_arch_scripts_are_shell():
    for name in ("PKGBUILD", "bearerd.install"):
        run("bash", "-n", ROOT / "packaging/arch" / name)
