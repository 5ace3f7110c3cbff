"""What moves on a terminal, and what stands still where there is none."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from mlo_submit.workload import State

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PERIOD = 0.1  # seconds
ERASE = "\r\x1b[K"

COLOURS: Final[Mapping[State, str]] = {
    "Pending": "yellow",
    "Starting": "cyan",
    "Running": "green",
    "Preempted": "yellow",
    "Stopping": "magenta",
    "Stopped": "blue",
    "Failed": "red",
}


def colours(environ: Mapping[str, str]) -> bool | None:
    """For click's `Context.color`: never with NO_COLOR (https://no-color.org); else as the stream is a terminal."""
    return False if environ.get("NO_COLOR") else None


def paint(state: State, text: str) -> str:
    """Text in the colour of a job's state, which `click.echo` takes away where it does not belong."""
    return click.style(text, fg=COLOURS[state]) if state in COLOURS else text


class Waiting:
    """Says on stderr what is waited for: a spinner on a terminal, else one line whenever the text changes.

    with Waiting() as waiting:
        while not ready():
            waiting.tell("train waits for a node: …")
    """

    def __init__(self) -> None:
        self._text = ""
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Waiting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def tell(self, text: str, live: str = "") -> None:
        """Show what is waited for now; `live` is what a terminal shows instead, which may count the seconds."""
        moving = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        text = " ".join(((live if moving else "") or text).split())
        if text == self._text:
            return
        self._text = text
        if not moving:
            if text:
                click.echo(text, err=True)
        elif not self._thread:
            self._end.clear()
            self._thread = threading.Thread(target=self._spin, daemon=True)
            self._thread.start()

    def clear(self) -> None:
        """Take the line away, before anything else is printed. What stands still is not told again after that."""
        if self._thread:
            self._text = ""
            self._end.set()
            self._thread.join()
            self._thread = None

    def _spin(self) -> None:
        frame = 0
        while True:
            width = shutil.get_terminal_size().columns
            sys.stderr.write(f"{ERASE}{FRAMES[frame % len(FRAMES)]} {self._text[: max(width - 3, 0)]}")
            sys.stderr.flush()
            frame += 1
            if self._end.wait(PERIOD):
                sys.stderr.write(ERASE)
                sys.stderr.flush()
                return
