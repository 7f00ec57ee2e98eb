# SPDX-License-Identifier: MIT
"""What is in the Debian packages, to the file; what they ask for; that they can be built again."""

import hashlib
import re
import shutil
import subprocess

import pytest
from clones import git
from deb import NAMES, ROOT, Packages, run

FILE, PROGRAM, FOLDER = "-rw-r--r--", "-rwxr-xr-x", "drwxr-xr-x"
# Folders above are in them, too: all root's, and as on every Debian.
CONTENTS = {
    "bearerd": {
        "/etc/bearerd/bearerd.conf": FILE,
        "/lib/systemd/system/bearerd-credentials.service": FILE,
        "/lib/systemd/system/bearerd.service": FILE,
        "/lib/systemd/system/bearerd.socket": FILE,
        "/usr/lib/sysusers.d/bearerd.conf": FILE,
        "/usr/lib/tmpfiles.d/bearerd.conf": FILE,
        "/usr/libexec/bearerd/bearerd-credentials": PROGRAM,
        "/usr/sbin/bearerd": PROGRAM,
        "/usr/share/doc/bearerd/README.Debian": FILE,
        "/usr/share/doc/bearerd/README.md": FILE,
        "/usr/share/doc/bearerd/SECURITY.md": FILE,
        "/usr/share/doc/bearerd/api.md": FILE,
        "/usr/share/doc/bearerd/changelog": FILE,
        "/usr/share/doc/bearerd/copyright": FILE,
        "/usr/share/doc/bearerd/examples/issuer.conf": FILE,
        "/usr/share/doc/bearerd/examples/shop.conf": FILE,
        "/usr/share/doc/bearerd/settings.md": FILE,
        "/usr/share/man/man5/bearerd.conf.5": FILE,
        "/usr/share/man/man8/bearerd.8": FILE,
    },
    "bearerctl": {
        "/usr/bin/bearerctl": PROGRAM,
        "/usr/share/doc/bearerctl/api.md": FILE,
        "/usr/share/doc/bearerctl/changelog": FILE,
        "/usr/share/doc/bearerctl/copyright": FILE,
        "/usr/share/man/man1/bearerctl.1": FILE,
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_contents_to_the_file(packages, name):
    found = {}
    for line in packages.contents(name):
        mode, owner, path = line.split(" ", 2)
        assert owner == "root/root", line
        if mode[0] == "d":
            assert mode == FOLDER, line
        else:
            # What debhelper finds long enough to compress is its own affair.
            found[path.removesuffix(".gz")] = mode
    assert found == CONTENTS[name]


def test_the_settings_are_a_conffile_and_nothing_else_is(packages):
    assert packages.control_file("bearerd", "conffiles").split() == ["/etc/bearerd/bearerd.conf"]
    assert packages.control_file("bearerctl", "conffiles") == ""


def test_the_client_stands_alone(packages):
    """In a container there is no daemon, no systemd and no script to run."""
    depends = packages.field("bearerctl", "Depends")
    assert not re.search(r"systemd|microhttpd|bearerd", depends), depends
    for script in ("preinst", "postinst", "prerm", "postrm"):
        assert packages.control_file("bearerctl", script) == ""


def test_the_daemon_comes_with_its_client(packages):
    depends = packages.field("bearerd", "Depends").split(", ")
    assert f"bearerctl (= {packages.version})" in depends
    assert "ca-certificates" in depends
    assert packages.field("bearerctl", "Version") == packages.version


def test_the_versions_agree():
    """Of meson.build, of the changelog for people, and of each distribution."""
    version = re.search(r"^  version: '(.*)',$", (ROOT / "meson.build").read_text(), re.MULTILINE)[1]
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version
    changelog = (ROOT / "packaging/debian/changelog").read_text()
    assert re.match(r"bearerd \((.*)\) ", changelog)[1] == version
    spec = (ROOT / "packaging/rpm/bearerd.spec").read_text()
    assert re.search(r"^Version: +(\S+)$", spec, re.MULTILINE)[1] == version
    assert re.search(r"^pkgver=(\S+)$", (ROOT / "packaging/arch/PKGBUILD").read_text(), re.MULTILINE)[1] == version


def test_lintian_finds_nothing(packages):
    """No error, no warning, and no override that hides one."""
    if not shutil.which("lintian"):
        pytest.skip("no lintian")
    done = subprocess.run(
        ["lintian", "--allow-root", "--show-overrides", "--fail-on=error,warning,override", packages.changes],
        capture_output=True, text=True, check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_programs_are_hardened(packages, tmp_path):
    for name, program in (("bearerd", "usr/sbin/bearerd"), ("bearerctl", "usr/bin/bearerctl")):
        run("dpkg-deb", "--extract", packages.path[name], tmp_path)
        told = run("readelf", "--wide", "--file-header", "--program-headers", "--dynamic", tmp_path / program)
        assert re.search(r"Type: +DYN \(Position-Independent Executable file\)", told)
        assert "GNU_RELRO" in told
        assert "BIND_NOW" in told
        assert re.search(r"GNU_STACK .* RW +0x", told)
        assert not re.search(r"RPATH|RUNPATH", told)
        symbols = run("readelf", "--wide", "--dyn-syms", tmp_path / program)
        assert "__stack_chk_fail" in symbols
        assert re.search(r"__\w+_chk", symbols)


def test_the_source_package_is_the_tree(packages):
    """With debian/ at its top, the tests and the stand-in in it, and nothing that was built."""
    paths = [line.split("/", 1)[1] for line in run("tar", "-tf", packages.source).splitlines() if "/" in line]
    assert {"debian/control", "debian/tests/token", "meson.build", "tests/standin/standin"} <= set(paths)
    assert not [path for path in paths if re.match(r"build|packaging/debian|\.git/|.*__pycache__", path)]


def test_the_same_files_make_the_same_packages(packages, clone):
    """At another time, in another folder, by another user."""
    again = Packages(clone / "build-deb")
    for name, path in packages.path.items():
        one, other = (hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, again.path[name]))
        assert one == other, f"{path.name} differs"


def test_a_build_leaves_the_tree_as_it_was(clone):
    """All that it makes lies in one folder, which git ignores."""
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "status", "--porcelain", "--ignored") == "!! build-deb/"


def test_a_folder_that_would_be_in_the_source_is_refused(tmp_path):
    done = subprocess.run(
        [ROOT / "packaging/build-deb", ROOT / "docs/packages"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "is in the tree" in done.stderr
    assert not (ROOT / "docs/packages").exists()


def test_what_is_needed_to_build_is_installed_for_it():
    """build-deb has a list of its own, which must have all that Debian's machines would install."""
    control = (ROOT / "packaging/debian/control").read_text()
    wanted = re.search(r"^Build-Depends: (.*?)^\S", control, re.MULTILINE | re.DOTALL)[1]
    names = set(re.findall(r"^ *([a-z][a-z0-9.+-]+)", wanted.replace(",", "\n"), re.MULTILINE))
    lists = ". packaging/lib/packages.sh; printf '%s\\n' \"${DEB_PACKAGES[@]}\""
    listed = set(run("bash", "-c", lists, cwd=ROOT).split())
    # Both are other names of debhelper.
    assert names - listed == {"debhelper-compat", "dh-sequence-installsysusers"}
