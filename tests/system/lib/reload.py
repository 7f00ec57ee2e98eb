# SPDX-License-Identifier: MIT
"""Settings that change while the daemon runs."""

import os
import time

from .settings import PATIENCE


def replace(path, text):
    """Puts another text in a file's place in one step, as editors and tools do: nobody ever reads half of it."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    os.replace(new, path)


def edit(path, old, new):
    """Replaces words of a settings file; asserts that they are there, once."""
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} in {text}"
    replace(path, text.replace(old, new))


def reload(daemon):
    """POST /v1/reload, which must be taken: its outcome."""
    answer = daemon.call("POST", "/v1/reload")
    assert answer.status == 200, answer
    outcome = answer.json
    assert outcome["outcome"] == "reloaded"
    assert set(outcome) == {"outcome", "added", "removed", "changed", "unchanged", "problems"}
    return outcome


def refused(daemon):
    """POST /v1/reload, which must be refused: its problems."""
    answer = daemon.call("POST", "/v1/reload")
    assert answer.status == 409, answer
    body = answer.json
    assert (body["type"], body["status"]) == ("urn:bearerd:problem:reload-refused", 409)
    assert any(problem["severity"] == "error" for problem in body["problems"])
    return body["problems"]


def changes(outcome):
    """{profile: (change, proof)} of an outcome."""
    return {change["profile"]: (change["change"], change["proof"]) for change in outcome["changed"]}


def wait_until(is_met, what):
    """Asks until something holds that sends no event."""
    deadline = time.monotonic() + PATIENCE
    while not is_met():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
