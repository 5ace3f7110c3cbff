"""A terminal of our own, and what a program shows on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 20


class Terminal:
    """Runs a program on a pseudoterminal, as its controlling one: keys that are typed become signals."""

    def __init__(
        self, argv: Sequence[str | Path], environ: Mapping[str, str], columns: int = 80, lines: int = 24
    ) -> None:
        self.keyboard, screen = pty.openpty()
        self.seen = ""
        self.resize(columns, lines)
        self.before = termios.tcgetattr(screen)
        self.screen = screen
        self.program = subprocess.Popen(
            argv,
            env=environ,
            stdin=screen,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.program.kill()
        self.program.wait()
        os.close(self.keyboard)
        os.close(self.screen)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.keyboard, keys.encode())

    @property
    def frame(self) -> list[str]:
        """The lines of what was drawn last, as they were before they were coloured."""
        drawn = self.seen.rpartition("\x1b[H")[2]
        return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in drawn.split("\r\n")]

    def wait_for(self, pattern: str) -> None:
        """Until the newest frame has it."""
        deadline = time.monotonic() + SECONDS
        while not re.search(pattern, "\n".join(self.frame)):
            waits = time.monotonic() < deadline and self.program.poll() is None
            assert waits, f"no {pattern!r} in {self.frame}"
            self.drain()

    def end(self) -> int:
        """Wait until the program has ended. Returns its exit code."""
        deadline = time.monotonic() + SECONDS
        while self.program.poll() is None:
            assert time.monotonic() < deadline, self.frame
            self.drain()
        self.drain()
        return self.program.returncode

    @property
    def restored(self) -> bool:
        """Whether it echoes and has a cursor and its own screen, as before."""
        own = self.seen.rfind("\x1b[?1049l") > self.seen.rfind("\x1b[?1049h")
        cursor = self.seen.rfind("\x1b[?25h") > self.seen.rfind("\x1b[?25l")
        return own and cursor and termios.tcgetattr(self.screen) == self.before

    def drain(self) -> None:
        while select.select([self.keyboard], [], [], 0.05)[0]:
            self.seen += os.read(self.keyboard, 1 << 16).decode(errors="replace")
