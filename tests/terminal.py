"""A program on a terminal of its own, as a person at a keyboard meets it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping
from pathlib import Path

SECONDS = 60  # nothing here takes half of it

# For `python3 -c`: tells of each new size, until a Ctrl-C. Signals are waited for: a handler that prints may itself be
# interrupted by the next one, which is an error.
RESIZED = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
print("wait", "ing", sep="", flush=True)
while signal.sigwaitinfo({signal.SIGWINCH}):
    print("resized to %d x %d" % os.get_terminal_size(), flush=True)
"""


class Terminal:
    """The program runs from the start; `rows` and `columns` are the terminal's size."""

    def __init__(
        self, argv: list[str], *, env: Mapping[str, str], cwd: Path, rows: int = 24, columns: int = 80
    ) -> None:
        self.seen = b""
        self.pid, self._fd = pty.fork()
        if not self.pid:
            try:
                self._set_size(0, rows, columns)
                os.chdir(cwd)
                os.execvpe(argv[0], argv, env)  # noqa: S606  # no shell is meant
            finally:
                os._exit(127)
        self.modes = termios.tcgetattr(self._fd)

    def resize(self, rows: int, columns: int) -> None:
        self._set_size(self._fd, rows, columns)

    def _set_size(self, fd: int, rows: int, columns: int) -> None:
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def expect(self, text: str) -> str:
        """Wait until this is shown; returns what came before it, and forgets both."""
        deadline = time.monotonic() + SECONDS
        while text.encode() not in self.seen:
            assert self._read(deadline - time.monotonic()), f"{text!r} was not shown: {self.seen[-2000:].decode()}"
        before, _, self.seen = self.seen.partition(text.encode())
        return before.decode(errors="replace")

    def _read(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], max(seconds, 0))[0]:
            return False
        try:
            read = os.read(self._fd, 65536)
        except OSError:  # the last program that had it open has ended
            return False
        self.seen += read
        return bool(read)

    def restored(self) -> bool:
        """Whether the terminal is as it was before the program."""
        return termios.tcgetattr(self._fd) == self.modes

    def wait(self) -> int:
        """Wait for the end of the program; returns its exit code, -n when signal n ended it."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline - time.monotonic()):
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return code

    def interrupt(self) -> int:
        """Press Ctrl-C until the program ends, since one just before a read may not end it; returns its exit code."""
        ended = os.pidfd_open(self.pid)
        try:
            self.type("\x03")
            while not select.select([ended], [], [], 2)[0]:
                self.type("\x03")
        finally:
            os.close(ended)
        return self.wait()

    def close(self) -> None:
        """End what still runs."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
