# SPDX-License-Identifier: MIT
"""tests/tally counts what was tested, and takes silence for a failure."""

import json
import pathlib
import subprocess

TALLY = pathlib.Path(__file__).resolve().parent.parent / "tally"


def tally(*arguments):
    run = subprocess.run([TALLY, *arguments], capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    return run.returncode, run.stdout.splitlines()


def meson_log(path, *programs):
    path.write_text("".join(json.dumps({"returncode": 0, **program}) + "\n" for program in programs))
    return f"unit:meson:{path}"


def test_cmocka_tests_are_counted_one_by_one(tmp_path):
    said = "[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\nskipped: no root\n[  SKIPPED ] b\n[==========] 3 test(s) run.\n"
    summary = "[  PASSED  ] 1 test(s).\n[  SKIPPED ] 1 test(s), listed below:\n[  SKIPPED ] b\n"
    log = meson_log(tmp_path / "log", {"name": "s / one", "result": "OK", "stdout": said, "stderr": summary})
    assert tally(log) == (0, ["skipped: unit: one: b (no root)", "1 passed, 0 failed, 1 skipped"])


def test_a_failed_test_is_counted_once(tmp_path):
    said = "[ RUN      ] a\n[  ERROR   ] --- 1 != 2\n[   LINE   ] --- x.c:1: error: Failure!\n[  FAILED  ] a\n"
    summary = "[  FAILED  ] 1 test(s), listed below:\n[  FAILED  ] a\n"
    log = meson_log(tmp_path / "log", {"name": "one", "result": "FAIL", "stdout": said, "stderr": summary})
    status, lines = tally(log)
    assert status == 1
    assert lines[-1] == "0 passed, 1 failed, 0 skipped"


def test_a_program_that_fails_after_its_tests_is_a_failure(tmp_path):
    program = {"name": "one", "result": "FAIL", "returncode": 99, "stdout": "[       OK ] a\n"}
    status, lines = tally(meson_log(tmp_path / "log", program))
    assert status == 1
    assert lines == ["failed: unit: one: the program (FAIL, status 99)", "1 passed, 1 failed, 0 skipped"]


def test_other_programs_count_as_one(tmp_path):
    log = meson_log(tmp_path / "log", {"name": "sim", "result": "OK"}, {"name": "slow", "result": "TIMEOUT"})
    status, lines = tally(log)
    assert status == 1
    assert lines[-1] == "1 passed, 1 failed, 0 skipped"


def test_junit_and_tap(tmp_path):
    (tmp_path / "xml").write_text(
        "<testsuites><testsuite><testcase classname='t' name='a'/>"
        "<testcase classname='t' name='b'><skipped message='no root'/></testcase>"
        "<testcase classname='t' name='c'><failure message='x&#10;y'/></testcase></testsuite></testsuites>"
    )
    (tmp_path / "tap").write_text("ok 1 - one\nnot ok 2 - two\n  why\nok 3 - three # SKIP not here\n1..3\n")
    status, lines = tally(f"s:pytest:{tmp_path}/xml", f"l:tap:{tmp_path}/tap")
    assert status == 1
    assert lines == [
        "skipped: s: t: b (no root)",
        "skipped: l: three (not here)",
        "failed: s: t: c (x)",
        "failed: l: two (why)",
        "2 passed, 2 failed, 2 skipped",
    ]


def test_no_results_are_no_success(tmp_path):
    (tmp_path / "empty").write_text("")
    (tmp_path / "broken").write_text("<testsuites>")
    for argument in ("meson:/nowhere", f"tap:{tmp_path}/empty", f"pytest:{tmp_path}/broken", f"meson:{tmp_path}/empty"):
        status, lines = tally(f"s:{argument}")
        assert status == 1
        assert lines[-1] == "0 passed, 1 failed, 0 skipped"
    assert tally()[0] == 1
