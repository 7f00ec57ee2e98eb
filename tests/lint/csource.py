# SPDX-License-Identifier: MIT
"""What the linters see of the tree: its files, its C sources, and C text without comments and literals."""

import pathlib
import re

# Built, fetched or made by running something; never part of the tree.
NOT_OURS = re.compile(r"^(build[^/]*|\.git|\.pytest_cache|__pycache__)$")

_TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def all_files(root):
    """Every file of the tree, as paths relative to it, sorted."""
    root = pathlib.Path(root)
    pending, found = [root], []
    while pending:
        for entry in pending.pop().iterdir():
            if NOT_OURS.match(entry.name) and (entry.is_dir() or entry.name == ".git"):
                continue
            if entry.is_dir() and not entry.is_symlink():
                pending.append(entry)
            elif entry.is_file():
                found.append(entry.relative_to(root))
    return sorted(found)


def c_files(root):
    """The C sources and headers among them."""
    return [path for path in all_files(root) if path.suffix in (".c", ".h")]


def code_only(text):
    """C text with comments and the inside of literals blanked; every line keeps its number."""

    def blank(match):
        token = match.group()
        if token[0] in "\"'":
            return token[0] + token[0]
        return " " + "\n" * token.count("\n")

    return _TOKENS.sub(blank, text)


def without_comments(text):
    """C text with comments blanked and literals kept."""

    def blank(match):
        token = match.group()
        return token if token[0] in "\"'" else " " + "\n" * token.count("\n")

    return _TOKENS.sub(blank, text)


def includes(text):
    """(line, is_local, name) of each #include."""
    plain = without_comments(text)
    for match in _INCLUDE.finditer(plain):
        yield plain.count("\n", 0, match.start(1)) + 1, match[1] == '"', match[2]


def calls(text, names):
    """(line, name) wherever one of these functions is called or taken the address of."""
    plain = code_only(text)
    for match in re.finditer(r"(?<![\w.>])(" + "|".join(map(re.escape, names)) + r")\s*\(", plain):
        yield plain.count("\n", 0, match.start()) + 1, match[1]
