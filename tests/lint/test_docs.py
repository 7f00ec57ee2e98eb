# SPDX-License-Identifier: MIT
"""tests/lint/docs goes red when documentation and code disagree: each test changes one place in a copy of the tree."""

import pathlib
import re
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDERS = ("client", "daemon", "docs", "systemd")

DAEMON, CTL, CONF = "docs/bearerd.8", "docs/bearerctl.1", "docs/bearerd.conf.5"
API, SETTINGS, VERBS = "docs/api.md", "docs/settings.md", "docs/bearerctl.md"
TABLE = "daemon/config/profile_settings.c"


@pytest.fixture
def tree(tmp_path):
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def lint(root):
    run = subprocess.run([HERE / "docs", root], capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    assert run.returncode == (1 if run.stdout else 0)
    return run.stdout.splitlines()


def change(root, name, pattern, replacement):
    """Changes the first place that matches, which must be there."""
    path = root / name
    text, n = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE | re.DOTALL)
    assert n == 1, f"{name} has nothing like {pattern}"
    path.write_text(text)


def test_what_is_documented_is_what_there_is(tree):
    assert lint(tree) == []


@pytest.mark.parametrize(
    "name, pattern, replacement, said",
    [
        # The code has something new.
        (TABLE, r'"Preload",', '"Eager",', f"{CONF}: does not name the setting Eager"),
        (TABLE, r'"Preload",', '"Eager",', f"{SETTINGS}: names the setting Preload, which there is not"),
        (TABLE, r'"CAFile"', '"RootsFile"', f"{CONF}: does not name the setting RootsFile"),
        (TABLE, r'\.fallback = "15s"', '.fallback = "20s"', f'{CONF}: does not say of Timeout= "Default: 20s."'),
        (TABLE, r'\.fallback = "15s"', '.fallback = "20s"', f"{SETTINGS}: has not 20s as the default of Timeout="),
        ("client/options.c", r'\{"token",', '{"print",', f"{CTL}: does not name the verb print"),
        ("client/options.c", r'\{"token",', '{"print",', f"{VERBS}: names the verb token, which there is not"),
        ("client/options.c", r'\{"min-ttl",', '{"ttl",', f"{CTL}: does not name the option --ttl"),
        ("daemon/main.c", r'\{"check",', '{"test",', f"{DAEMON}: does not name the option --test"),
        ("daemon/main.c", r"EXIT_CONFIG = 78", "EXIT_CONFIG = 77", f"{DAEMON}: does not name the exit status 77"),
        ("client/output.h", r"EXIT_TIMED_OUT = 4", "EXIT_TIMED_OUT = 5", f"{CTL}: names the exit status 4, which there is not"),
        ("daemon/base/log.c", r'"stopping"', '"ending"', f"{DAEMON}: does not name the event ending"),
        ("daemon/base/log.c", r'"stopping"', '"ending"', f"{API}: does not name the event ending"),
        ("daemon/base/log.c", r'"e9d956', '"e9d957', f"{DAEMON}: does not give started its MESSAGE_ID e9d957a1e8cd4f3992d54494134c320b"),
        ("daemon/report.c", r'FIELD\("REASON"', 'FIELD("BECAUSE"', f"{DAEMON}: does not name the log field BECAUSE="),
        ("daemon/wire/metrics.c", r'"waiters"', '"queue"', f"{API}: names the metric bearerd_waiters, which there is not"),
        ("daemon/wire/metrics.c", r'"denied_total"', '"no_total"', f"{API}: does not name the metric bearerd_no_total"),
        ("daemon/wire/route.c", r'"/readyz"', '"/ready"', f"{DAEMON}: does not name the request /ready"),
        ("daemon/wire/route.c", r'"/v1/profiles/\*/token"', '"/v1/*/token"', f"{API}: does not name the request /v1/{{p}}/token"),
        ("daemon/wire/route.c", r'\{"pid",', '{"process",', f"{API}: does not name the parameter process="),
        ("daemon/wire/reply.c", r'\{413, "body', '{414, "body', f"{API}: does not name the error 414 body-too-large"),
        ("daemon/core/token.c", r'"wrong-url"', '"bad-url"', f"{API}: does not name the reason bad-url"),
        ("daemon/core/settings.c", r'\{"tls-key"', '{"key"', f"{SETTINGS}: does not name the credential NAME.key"),
        ("daemon/host/journal.c", r'getenv\("JOURNAL_STREAM', 'getenv("LOG_STREAM', f"{DAEMON}: does not name the environment variable LOG_STREAM"),
        ("client/output.c", r'getenv\("COLUMNS', 'getenv("WIDTH', f"{CTL}: does not name the environment variable WIDTH"),
        # The documentation lost something, or says what is not so.
        (CONF, r"^\.It Cm Audit=.*?(?=^\.El)", "", f"{CONF}: does not name the setting Audit"),
        (CONF, r"^Default: 4096\.", "Default: 1024.", f'{CONF}: does not say of MaxConnections= "Default: 4096."'),
        (SETTINGS, r"^\| `Audit=`[^\n]*\n", "", f"{SETTINGS}: does not name the setting Audit"),
        (SETTINGS, r"`Jitter=` \| `10%`", "`Jitter=` | `20%`", f"{SETTINGS}: has not 10% as the default of Jitter="),
        (CTL, r"^\.It Ic wait Ar", ".It Ic await Ar", f"{CTL}: names the verb await, which there is not"),
        (CTL, r"^\.It Fl Fl pid", ".It Fl Fl process", f"{CTL}: does not name the option --pid"),
        (VERBS, r"^\| `--pid[^\n]*\n", "", f"{VERBS}: does not name the option --pid"),
        (DAEMON, r"^\.br\nMESSAGE_ID=340b[^\n]*\n", "", f"{DAEMON}: does not give token-fetched its MESSAGE_ID 340b34b5a8c04222bde818d799f78b1c"),
        (DAEMON, r"MESSAGE_ID=197530", "MESSAGE_ID=197531", f"{DAEMON}: has the MESSAGE_ID 197531dcd2f84ce791f344d35a79ba2e, which no event has"),
        (API, r"`420a3b", "`420a3c", f"{API}: does not give reload-refused its MESSAGE_ID 420a3b51582d4c2eacc21045b835b6b9"),
        (DAEMON, r"\bsigning-key\b", "the like", f"{DAEMON}: does not name the kind of key signing-key"),
        (CTL, r"^\.Xr bearerd 8", ".Xr bearerd 7", f"{CTL}: refers to bearerd(7), which is not there"),
        ("docs/meson.build", r", 'bearerd.conf.5'", "", "docs/meson.build: does not install bearerd.conf.5"),
        ("systemd/bearerd.socket", r"^Documentation=[^\n]*\n", "", "systemd/bearerd.socket: has no Documentation=man:bearerd(8)"),
        ("systemd/bearerd.service", r"man:bearerd\(8\)", "man:bearer(8)", "systemd/bearerd.service: refers to bearer(8), which is not there"),
    ],
)  # fmt: skip
def test_each_difference_is_told(tree, name, pattern, replacement, said):
    change(tree, name, pattern, replacement)
    assert said in lint(tree)


@pytest.mark.parametrize("name", ["daemon/base/log.c", "client/options.c", TABLE, "daemon/wire/metrics.c"])
def test_a_table_that_cannot_be_read_is_no_success(tree, name):
    (tree / name).write_text("")
    assert any(line.startswith(f"{name}: has nothing like ") for line in lint(tree))


@pytest.mark.parametrize("name", [DAEMON, CTL, CONF, API, SETTINGS, VERBS])
def test_a_page_that_is_gone_is_missed(tree, name):
    (tree / name).unlink()
    assert f"{name}: is not there" in lint(tree)
