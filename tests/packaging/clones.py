# SPDX-License-Identifier: MIT
"""Clones of the tree: of its files as they are, and of the commit before."""

import os
import pathlib
import re
import subprocess

import pytest
from deb import BUILD_PATIENCE, ROOT, run, source

NOBODY = 65534
README = (ROOT / "README.md").read_text()
IDENTITY = ("-c", "user.name=nobody", "-c", "user.email=nobody@invalid")


def readme_commands(heading):
    """The lines of the first block of commands below a heading of README.md, as written."""
    below = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.search(r"^```sh\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)[1].splitlines()


def git(folder, *arguments):
    return run("git", "-C", folder, *arguments).strip()


def fresh_clone(folder, version):
    """The tree as somebody cloned it, with all files as they are now committed; of a release, with its tag."""
    clone = folder / "bearerd"
    source("source_copy", clone)
    git(clone, "init", "--quiet")
    git(clone, "add", "--all")
    git(clone, *IDENTITY, "commit", "--quiet", "--message", "all of it")
    if "~" not in version:
        git(clone, "tag", f"v{version}")
    return clone


def build_as_anybody(clone):
    """Runs the first command of the README there: as no special user, in a folder that is this user's alone. Afterwards it
    is ours again.
    """
    # What an earlier build left, with another version.
    (clone / "build-deb").mkdir()
    (clone / "build-deb/bearerd_0.0.1_amd64.deb").touch()
    made_of = {"SOURCE_DATE_EPOCH": source("source_epoch")}
    quick = {"DEB_BUILD_OPTIONS": "nocheck", "DEB_BUILD_PROFILES": "nocheck"}
    as_nobody = []
    is_root = os.geteuid() == 0
    if is_root:
        run("chown", "-R", f"{NOBODY}:{NOBODY}", clone.parent)
        as_nobody = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    clone.parent.chmod(0o700)
    command = readme_commands("Use it")[0]
    done = subprocess.run(
        [*as_nobody, "bash", "-c", command], cwd=clone, env={"PATH": os.environ["PATH"], **made_of, **quick},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=BUILD_PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if is_root:
        run("chown", "-R", "root:", clone.parent)


def commit_before(folder):
    """A clone at the parent of the commit that this tree is; at that commit itself, where something is in none yet."""
    has = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, check=False)
    if not (ROOT / ".git").exists() or has.returncode != 0:
        pytest.skip("this tree is no clone that git reads: there is no commit before")
    commit = "HEAD" if git(ROOT, "status", "--porcelain") else "HEAD^"
    there = subprocess.run(
        ["git", "-C", ROOT, "cat-file", "-e", f"{commit}:packaging/build-deb"], capture_output=True, check=False
    )
    if there.returncode != 0:
        pytest.skip(f"{commit} does not exist, or makes no packages")
    run("git", "clone", "--quiet", "--no-checkout", ROOT, folder)
    git(folder, "checkout", "--quiet", "--detach", git(ROOT, "rev-parse", commit))
    return pathlib.Path(folder)
