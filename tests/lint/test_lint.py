# SPDX-License-Identifier: MIT
"""The linters go red on what they are for: each test plants one violation in a small tree of its own."""

import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
HEAD = "/* SPDX-License-Identifier: MIT */\n"

# A tree with nothing wrong: one file a layer, each using what it may.
CLEAN = {
    "daemon/base/list.h": "#pragma once\n#include <stddef.h>\n",
    "daemon/core/token.h": '#pragma once\n#include "base/list.h"\n',
    "daemon/wire/json.h": '#pragma once\n#include <json-c/json.h>\n#include "core/token.h"\n',
    "daemon/config/ini.h": '#pragma once\n#include "core/token.h"\n',
    "daemon/host/check.h": "#pragma once\n",
    "daemon/host/clock.c": '#include <time.h>\n#include "base/list.h"\nlong now(void)\n{\n    return time(NULL);\n}\n',
    "daemon/host/upstream.c": '#include <curl/curl.h>\n#include "wire/json.h"\n#include "config/ini.h"\n',
    "daemon/daemon.c": '#include "host/check.h"\n#include "wire/json.h"\n',
    "daemon/main.c": '#include "host/check.h"\n#include "bearerd-paths.h"\n',
    "client/bearer.h": "#pragma once\n",
    "client/bearer-http.c": '#include <curl/curl.h>\n#include "client/bearer.h"\n#include "base/list.h"\n',
    "client/verb-check.c": '#include "host/check.h"\n',
}


@pytest.fixture
def tree(tmp_path):
    """A folder that holds CLEAN; call it to put one more file there, or to append to one."""
    for name, text in CLEAN.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + text)

    def put(name, text, head=HEAD):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() else head
        path.write_text(before + text)

    put.root = tmp_path
    return put


def lint(program, tree):
    """(exit status, lines) of one linter over the tree."""
    run = subprocess.run([HERE / program, tree.root], capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    return run.returncode, run.stdout.splitlines()


def test_a_clean_tree_passes(tree):
    assert lint("layers", tree) == (0, [])
    assert lint("words", tree) == (0, [])


@pytest.mark.parametrize(
    "name, line",
    [
        ("daemon/base/list.h", '#include "core/token.h"'),
        ("daemon/core/token.h", '#include "wire/json.h"'),
        ("daemon/core/token.h", '#include "host/clock.h"'),
        ("daemon/wire/json.h", '#include "config/ini.h"'),
        ("daemon/config/ini.h", '#include "wire/json.h"'),
        ("daemon/config/ini.h", '  #  include "host/check.h"'),
        ("daemon/host/clock.c", '#include "daemon.h"'),
        ("client/bearer.h", '#include "core/token.h"'),
        ("client/bearer.h", '#include "host/clock.h"'),
        ("daemon/host/clock.c", '#include "clock.h"'),
        ("daemon/host/clock.c", '#include "../core/token.h"'),
        ("daemon/core/token.h", "#include <json-c/json.h>"),
        ("daemon/config/ini.h", "#include <curl/curl.h>"),
        ("daemon/wire/json.h", "#include <curl/curl.h>"),
        ("daemon/host/clock.c", "#include <microhttpd.h>"),
        ("daemon/host/clock.c", "#include <openssl/rand.h>"),
        ("daemon/wire/json.h", "#include <systemd/sd-event.h>"),
        ("daemon/wire/json.h", "#include <json.h>"),
        ("client/bearer.h", "#include <json-c/json.h>"),
        ("daemon/core/token.h", "static long f(void) { return time(NULL); }"),
        ("daemon/host/upstream.c", "static void f(void) { clock_gettime(CLOCK_BOOTTIME, &t); }"),
        ("daemon/wire/json.h", "static void f(void) { gettimeofday (&t, NULL); }"),
        ("daemon/core/token.h", "static int f(void) { return rand(); }"),
        ("daemon/core/token.h", "static void f(void) { getrandom(b, 8, 0); }"),
        ("daemon/config/ini.h", "static void f(void) { fopen(path, mode); }"),
        ("daemon/host/clock.c", "static void f(void) { sleep(1); }"),
        ("daemon/host/clock.c", "static void f(void) { pthread_create(&t, NULL, run, NULL); }"),
        ("daemon/util/more.c", "int x;"),
    ],
)
def test_layers_goes_red(tree, name, line):
    tree(name, line + "\n")
    status, lines = lint("layers", tree)
    assert status == 1
    assert any(text.startswith(name + ":") for text in lines)
    number = (tree.root / name).read_text().count("\n")
    assert lines[0].startswith(f"{name}:{number}: ") or name == "daemon/util/more.c"


@pytest.mark.parametrize(
    "line",
    [
        '/* #include "host/check.h" */',
        "/* like time() in\n   clock_gettime() */",
        'const char *text = "time(NULL)";',
        "long runtime(void);",
        "static long f(struct t *t) { return t->time(); }",
    ],
)
def test_layers_reads_code_and_not_prose(tree, line):
    tree("daemon/core/token.h", line + "\n")
    assert lint("layers", tree) == (0, [])


def test_layers_of_an_empty_tree_is_no_success(tmp_path):
    run = subprocess.run([HERE / "layers", tmp_path], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1


@pytest.mark.parametrize(
    "name, line",
    [
        ("daemon/core/token.c", "strcpy(a, b);"),
        ("daemon/core/token.c", "sprintf (a, b);"),
        ("client/text.c", "int n = atoi(s);"),
        ("client/text.c", "char *p = strtok(s, x);"),
        ("client/text.c", "goto out;"),
        ("daemon/core/token.h", "typedef struct token token_t;"),
        ("daemon/core/token.h", "typedef struct { int x; } token_t;"),
        ("daemon/core/token.h", "/* TODO: more */"),
        ("daemon/core/token.h", "/* see /home/somebody/x */"),
        ("daemon/core/token.h", "/* fixes #12 */"),
        ("daemon/core/token.h", "int x;  "),
        ("docs/guide.md", "<<<<<<< ours"),
    ],
)
def test_words_goes_red(tree, name, line):
    tree(name, line + "\n")
    status, lines = lint("words", tree)
    assert status == 1
    assert [text.split(":")[0] for text in lines] == [name]


def test_words_misses_the_licence(tree):
    tree("daemon/core/new.c", "int x;\n", head="")
    tree("tests/tool", "#!/bin/bash\necho\n", head="")
    status, lines = lint("words", tree)
    assert status == 1
    assert sorted(text.split(":")[0] for text in lines) == ["daemon/core/new.c", "tests/tool"]


def test_words_takes_the_licence_behind_a_shebang(tree):
    tree("tests/tool", "#!/bin/bash\n# SPDX-License-Identifier: MIT\necho\n", head="")
    assert lint("words", tree) == (0, [])


def test_words_counts_lines(tree):
    tree("daemon/core/long.c", "int x;\n" * 499)
    assert lint("words", tree) == (0, [])
    tree("daemon/core/long.c", "int x;\n")
    assert lint("words", tree)[0] == 1


def test_words_allows_function_types_and_prose(tree):
    tree("daemon/core/a.c", "typedef struct a *handler(struct b *b);\n/* not strcpy(), no goto out; */\n")
    assert lint("words", tree) == (0, [])


def test_a_file_that_is_not_text_is_let_be(tree):
    (tree.root / "tests").mkdir(exist_ok=True)
    (tree.root / "tests/blob").write_bytes(b"\0\xff")
    assert lint("words", tree) == (0, [])
