# SPDX-License-Identifier: MIT
"""The unit files: that systemd has nothing to say against them, that they say why, and what an installation leaves."""

import json
import re

import pytest

from boxlib.installed import UNITS

EXPOSURE_MAX = 14  # tenths, of 100
SERVICE = f"{UNITS}/bearerd.service"


@pytest.mark.parametrize("unit", ["bearerd.service", "bearerd.socket", "bearerd-credentials.service"])
def test_systemd_understands_every_line(box, unit):
    assert box.sh("systemd-analyze", "verify", "--man=no", unit).stderr == ""


def test_hardly_anything_is_exposed(box):
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE_MAX}", SERVICE]
    done = box.sh(*command, check=False)
    assert done.returncode == 0, done.stdout
    report = json.loads(box.sh(*command[:4], "--json=short", SERVICE).stdout)
    exposed = {line["name"] for line in report if line["exposure"] and float(line["exposure"]) >= 0.1}
    # What the unit file says is left out, what it needs, and what LoadCredentialEncrypted= adds (the TPM).
    assert exposed == {
        "PrivateNetwork=", "PrivateUsers=", "IPAddressDeny=", "RootDirectory=/RootImage=", "ProcSubset=", "DeviceAllow=",
        "RestrictAddressFamilies=~AF_UNIX", "RestrictAddressFamilies=~AF_(INET|INET6)",
    }  # fmt: skip
    # Each with its reason.
    words = "\n".join(line for line in box.path(SERVICE).read_text().splitlines() if line.startswith("#"))
    named = {re.match(r"\w+=", name)[0] for name in exposed}
    assert not [name for name in named if name not in words and name != "RestrictAddressFamilies="]


def test_each_line_of_the_sandbox_has_its_reason(box):
    """A comment above it, or above those that it stands with."""
    lines = box.path(SERVICE).read_text().splitlines()
    sandbox = lines[lines.index("# --- who it is ---") : lines.index("# Left out, and why:")]
    bare = [line for before, line in zip(sandbox, sandbox[1:])
            if re.match(r"\w+=", line) and (not before or before.startswith("# ---"))]  # fmt: skip
    assert sum("=" in line and not line.startswith("#") for line in sandbox) > 40 and not bare


def test_the_installation_makes_user_and_folders(box):
    assert box.sh("getent", "passwd", "bearerd").stdout.strip().endswith("/usr/sbin/nologin")
    assert box.sh("id", "-nG", "bearerd").stdout == "bearerd\n"
    names = ["/etc/bearerd", *(f"/etc/bearerd/{name}" for name in ("profiles.d", "keys", "credentials"))]
    modes = box.sh("stat", "-c", "%a %U:%G", *names).stdout.splitlines()
    assert modes == ["755 root:root", "755 root:root", "700 bearerd:bearerd", "700 root:root"]
