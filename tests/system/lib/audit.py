# SPDX-License-Identifier: MIT
"""What the log says of tokens handed out and requests denied, read from its lines."""

import collections
import re

WHO = r"(?:uid (?P<uid>\d+)(?:, pid (?P<pid>\d+))?(?: of (?P<unit>\S+))?(?: \((?P<exe>[^)]*\)?)\))?|other callers)"
FORMS = {
    "token-handout": rf"(?P<profile>\S+): generation (?P<generation>\d+) \((?P<fingerprint>[0-9a-f]{{16}})\) handed to "
    rf"{WHO}, from the (?P<how>cache|upstream)",
    "token-handouts": rf"(?:(?P<profile>\S+): )?(?P<count>\d+) more tokens? handed to {WHO} within (?P<span>.+): "
    r"(?P<cache>\d+) from the cache, (?P<waited>\d+) after waiting",
    "access-denied": rf"(?P<profile>\S+): {WHO} (?P<why>is not admitted by any Allow= rule.*"
    r"|asked for a profile that is not there)",
    "access-denials": rf"(?:(?P<profile>\S+): )?(?P<count>\d+) more requests? of {WHO} denied within (?P<span>.+)",
}
NUMBERS = ("uid", "pid", "generation", "count", "cache", "waited")


def read(line):
    """The parts of a line as a dict: numbers as such, None for what it does not say."""
    match = re.fullmatch(FORMS[line.event], line.message)
    assert match, f"not the form of {line.event}: {line.message}"
    parts = match.groupdict()
    return {name: int(v) if name in NUMBERS and v is not None else v for name, v in parts.items()}


def lines(daemon, event):
    """All lines of this event, read."""
    return [read(line) for line in daemon.log.find(event)]


def totals(daemon, single, summary):
    """{(uid, profile): how many}, those that were told one by one and those of the summaries together."""
    counts = collections.Counter((one["uid"], one["profile"]) for one in lines(daemon, single))
    for one in lines(daemon, summary):
        counts[one["uid"], one["profile"]] += one["count"]
    return counts
