"""A screen that is drawn again in place, until somebody has seen enough."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from mlo_submit.errors import MloError

PERIOD: Final = 2.0  # seconds between questions
POLITE: Final = 4.0  # times as long as an answer took is waited before the next question
PATIENCE: Final = 30.0  # seconds between questions, at most
LOOK: Final = 0.1  # seconds between looks at the keyboard and at the size of the terminal

ENTER = "\x1b[?1049h\x1b[?25l"  # the other screen, no cursor
LEAVE = "\x1b[?25h\x1b[?1049l"

T = TypeVar("T")


class Asking(threading.Thread, Generic[T]):
    """Asks again and again, beside the screen, which must never wait. `trouble` is why there is no newer answer."""

    def __init__(self, ask: Callable[[], T], first: T) -> None:
        super().__init__(daemon=True)
        self.answer = first
        self.trouble = ""
        self.bug: BaseException | None = None
        self._ask = ask

    def run(self) -> None:
        """Ask until the process ends: less often where answers take long or fail."""
        pause = PERIOD
        while not self.bug:
            time.sleep(pause)
            began = time.monotonic()
            try:
                self.answer = self._ask()
                self.trouble = ""
                pause = PERIOD
            except MloError as error:
                self.trouble = error.format_message()
                pause *= 2
            except BaseException as error:  # the screen raises it
                self.bug = error
            pause = min(max(pause, POLITE * (time.monotonic() - began)), PATIENCE)


def show(ask: Callable[[], T], first: T, draw: Callable[[T, str, int, int], list[str]]) -> None:
    """Show what `draw(answer, trouble, columns, lines)` makes of the newest answer, until q is pressed.

    stdout is a terminal. It is as before when this ends, by whatever.
    """
    asking = Asking(ask, first)
    asking.start()
    with _screen() as drawn:
        while not asking.bug:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
            text = draw(asking.answer, asking.trouble, columns or 80, lines or 24)
            if drawn != [columns, lines, *text]:
                drawn[:] = [columns, lines, *text]
                # Each line is erased before it is written: after it, the cursor may still stand on its last character.
                _write("\x1b[H" + "\n".join(f"\x1b[2K{line}" for line in text) + _below(len(text), lines))
            if _key() in ("q", "Q", ""):
                return
    raise asking.bug


def _below(used: int, lines: int) -> str:
    """Erases what an earlier frame left under this one."""
    return "\n\x1b[J" if used < lines else ""


def _key() -> str | None:
    """The key that was pressed within LOOK; None for none, empty when the keyboard is gone."""
    keyboard = sys.stdin.fileno()
    if not os.isatty(keyboard):
        time.sleep(LOOK)
        return None
    ready, _, _ = select.select([keyboard], [], [], LOOK)
    return os.read(keyboard, 1).decode(errors="replace") if ready else None


@contextlib.contextmanager
def _screen() -> Iterator[list[object]]:
    """Take the terminal over, and give it back: also at a stop, a suspension, a hang-up.

    Yields the frame that is on the screen, which is forgotten when somebody else has used the screen.
    """
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard) if os.isatty(keyboard) else None
    drawn: list[object] = []

    def enter() -> None:
        if before:
            tty.setcbreak(keyboard)
        _write(ENTER)
        drawn.clear()

    def leave() -> None:
        with contextlib.suppress(OSError):  # of a terminal that hung up
            _write(LEAVE)
            if before:
                termios.tcsetattr(keyboard, termios.TCSADRAIN, before)

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    def suspend(*_: object) -> None:
        leave()
        signal.raise_signal(signal.SIGSTOP)
        enter()

    handlers: dict[int, Callable[[int, object], None]]
    handlers = {signal.SIGTERM: end, signal.SIGHUP: end, signal.SIGTSTP: suspend}
    earlier = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        enter()
        yield drawn
    finally:
        leave()
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _write(text: str) -> None:
    """Past the buffer of sys.stdout, which a signal handler could find in use."""
    data = text.encode()
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]
