"""A terminal whose whole screen a program draws again and again."""

from __future__ import annotations

import re
import time

from tests.terminal import SECONDS, Terminal


class Screen(Terminal):
    """Looks at what is drawn, instead of at what is said."""

    def __enter__(self) -> Screen:
        return self

    @property
    def frame(self) -> list[str]:
        """The lines of what was drawn last, without their colours."""
        drawn = self.seen.decode(errors="replace").rpartition("\x1b[H")[2]
        return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in drawn.split("\r\n")]

    def wait_for(self, pattern: str) -> None:
        """Until the newest frame has it."""
        deadline = time.monotonic() + SECONDS
        while not re.search(pattern, "\n".join(self.frame)):
            assert self._read(deadline - time.monotonic()), f"no {pattern!r} in {self.frame}"

    def drain(self) -> None:
        """Read what a program that has stopped left to be read."""
        while self._read(0):
            pass

    def restored(self) -> bool:
        """Whether it also shows its own screen, and a cursor."""
        own = self.seen.rfind(b"\x1b[?1049l") > self.seen.rfind(b"\x1b[?1049h")
        cursor = self.seen.rfind(b"\x1b[?25h") > self.seen.rfind(b"\x1b[?25l")
        return own and cursor and super().restored()
