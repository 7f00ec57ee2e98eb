# SPDX-License-Identifier: MIT
"""A program at a terminal of its own, as a person meets it: what it shows, what is typed, what the terminal is left as."""

import contextlib
import os
import select
import subprocess
import termios
import time

from .settings import PATIENCE


class Terminal:
    """Runs a command with a pseudo terminal as its controlling one, and its standard input, output and error.

    `ahead` is typed before anybody asks.
    """

    def __init__(self, command, env, ahead=""):
        self.master, self.slave = os.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.shown = ""
        self.type(ahead)
        self.process = subprocess.Popen(["setsid", "--ctty", *command], stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, env=env)

    def expect(self, *words):
        """Reads on until each of the words, in this order, was shown; what came until the last of them."""
        deadline = time.monotonic() + PATIENCE
        text = ""
        for word in words:
            while word not in self.shown:
                assert select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0], (word, self.shown)
                self.shown += os.read(self.master, 4096).decode(errors="replace")
            end = self.shown.index(word) + len(word)
            text, self.shown = text + self.shown[:end], self.shown[end:]
        return text

    def type(self, text):
        os.write(self.master, text.encode(errors="surrogateescape"))

    def answer(self, prompt, text):
        """Waits for the prompt, and for the echo to be off, and types."""
        shown = self.expect(prompt)
        self.wait(lambda: not self.has_echo())
        self.type(text)
        return shown

    def wait(self, is_so):
        """Until that is so; the program goes on meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline and self.process.poll() is None, self.shown
            time.sleep(0.001)

    def is_canonical(self):
        """Whether it gathers whole lines, as it does for those that do not read each key themselves."""
        return bool(termios.tcgetattr(self.slave)[3] & termios.ICANON)

    def has_echo(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def restore(self):
        """Sets it as it was before, whatever the program wants."""
        termios.tcsetattr(self.slave, termios.TCSANOW, self.before)

    def end(self):
        """Waits for the end of the program; its status, and all that was shown and not yet expected."""
        status = self.process.wait(PATIENCE)
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 4096).decode(errors="replace")
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is not as it was"
        return status, self.shown

    def close(self):
        self.process.kill()
        self.process.wait()
        for fd in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(fd)
