# SPDX-License-Identifier: MIT
"""What is installed beside the programs says what they do: settings, examples, manual pages."""

import re
import subprocess

import pytest
from deb import ROOT, run

SETTINGS = (ROOT / "docs/settings.md").read_text()
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.conf"))


@pytest.fixture(scope="module")
def programs(packages, tmp_path_factory):
    """bearerd and bearerctl, out of their packages."""
    folder = tmp_path_factory.mktemp("programs")
    for path in packages.path.values():
        run("dpkg-deb", "--extract", path, folder)
    return {"bearerd": folder / "usr/sbin/bearerd", "bearerctl": folder / "usr/bin/bearerctl"}


def keys_of(text, comment=""):
    return re.findall(rf"^{comment}([A-Z]\w+)=", text, re.MULTILINE)


def check(programs, tmp_path, settings, profile):
    """`bearerd --check` with these settings and this profile, whose keys are put where it can read them."""
    folder = tmp_path / "profiles.d"
    folder.mkdir()
    profile = profile.replace("/etc/bearerd/keys/", f"{tmp_path}/")
    (folder / "one.conf").write_text(profile)
    for path in re.findall(r"^\w+File=(.*)", profile, re.MULTILINE):
        (tmp_path / path).touch(0o600)
        (tmp_path / path).write_text("made-up-key")
    settings = re.sub("^ProfileDirectory=.*", f"ProfileDirectory={folder}", settings, flags=re.MULTILINE)
    (tmp_path / "bearerd.conf").write_text(settings)
    return subprocess.run(
        [programs["bearerd"], "--check", "--config", tmp_path / "bearerd.conf"],
        capture_output=True, text=True, check=False,
    )


def test_every_main_setting_is_there_commented_out():
    text = (ROOT / "docs/bearerd.conf").read_text()
    told = SETTINGS.split("\n## bearerd.conf", 1)[1].split("\n## ", 1)[0]
    assert keys_of(text, "#") == re.findall(r"^\| `(\w+)=`", told, re.MULTILINE)
    assert keys_of(text) == []


def test_the_values_shown_are_the_defaults():
    told = dict(re.findall(r"^\| `(\w+)=`[^|]*\| `?([^`|]*?)`? \|", SETTINGS, re.MULTILINE))
    for key, value in re.findall(r"^#(\w+)=(.*)", (ROOT / "docs/bearerd.conf").read_text(), re.MULTILINE):
        assert told[key] == value


def test_the_daemon_takes_each_main_setting(programs, tmp_path):
    text = re.sub(r"^#(?=[A-Z]\w+=)", "", (ROOT / "docs/bearerd.conf").read_text(), flags=re.MULTILINE)
    # Which groups there are is the machine's.
    text = text.replace("SocketGroup=bearerd", "SocketGroup=0")
    done = check(programs, tmp_path, text, EXAMPLES[0].read_text())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_daemon_takes_each_example(programs, tmp_path, example):
    """Also with all that is commented out."""
    text = re.sub(r"^#(?=[A-Z]\w+=)", "", example.read_text(), flags=re.MULTILINE)
    done = check(programs, tmp_path, "[Daemon]\nProfileDirectory=\n", text)
    assert done.returncode == 0, done.stdout + done.stderr


def shown(page):
    """A manual page as it is read."""
    done = subprocess.run(
        ["man", "--warnings", "--local-file", ROOT / "docs" / page],
        capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "200"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return re.sub("[\u2010-\u2012]", "-", done.stdout)


@pytest.mark.parametrize("page", ["bearerd.8", "bearerctl.1"])
def test_manual_pages_have_every_verb_and_option(programs, page):
    """And no other."""
    if subprocess.run(["man", "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no man")
    program = page.split(".", maxsplit=1)[0]
    text = shown(page)
    wanted = run(programs[program], "--help")
    head = re.compile(r"^ {2,9}(--[a-z-]+|[a-z]+(?= {2,}| [A-Z\[]))", re.MULTILINE)
    options = {word for word in head.findall(wanted) if word.startswith("--")}
    assert options == {word for word in head.findall(text) if word.startswith("--")}
    if program == "bearerctl":
        verbs = set(re.findall(r"^  ([a-z]+) ", wanted.split("Verbs:")[1].split("\n\n")[0], re.MULTILINE))
        told = text.split("\nVERBS\n")[1].split("\nOPTIONS\n")[0]
        assert verbs == set(re.findall(r"^ {5}([a-z]+)\b", told, re.MULTILINE))
