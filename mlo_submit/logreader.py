"""Reads the log of one pod with as many connections as it takes, and writes it where the user sees it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from subprocess import Popen
from typing import IO, BinaryIO, Final, TextIO

from mlo_submit import process
from mlo_submit.backends import Jobs
from mlo_submit.errors import note, warn
from mlo_submit.logstream import Lines, Splitter, Stamped, Stream, Tail, Unstamped
from mlo_submit.machine import Machine
from mlo_submit.terminal import Waiting
from mlo_submit.workload import ENDED, LogView, Pod, Workload

CHUNK: Final = 1 << 16  # bytes
PAUSES: Final = (0.2, 5.0)  # seconds before the next connection where the last brought nothing: the first, the longest
DRAIN: Final = 30.0  # seconds that a connection may stay open when the pod has ended
TRIES: Final = 3  # connections that may fail before a log is given up (of a pod that ended), or the user is told


class Screen:
    """Where logs go: whole lines, at once, and never into the line that says what is waited for.

    `broken` is why nothing can be written any more.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.broken: OSError | None = None
        self._waiting = Waiting()
        self._open_line = False
        # Past the buffers, which a thread that writes would still hold when the process ends.
        self._streams = {1: _raw(sys.stdout), 2: _raw(sys.stderr)}

    def write(self, stream: Stream, lines: list[bytes], label: bytes) -> None:
        """Show lines of a log. The caller holds the lock."""
        if not lines or self.broken:
            return
        self._waiting.clear()
        data = b"".join(label + line for line in lines)
        self._open_line = not data.endswith(b"\n")
        if self._open_line and label:
            data += b"\n"
            self._open_line = False
        try:
            while data:
                data = data[self._streams[stream].write(data) :]
        except OSError as error:
            self.broken = error

    def wait(self, text: str, live: str) -> None:
        """Say what is waited for; nothing, where there is no text."""
        with self.lock:
            if text:
                self._end_line()
                self._waiting.tell(text, live)
            else:
                self._waiting.clear()
                self._waiting = Waiting()  # tells the same again, when it is awaited again

    def say(self, text: str, tell: Callable[[str], None] = note) -> None:
        """Tell something beside the logs."""
        with self.lock:
            self._waiting.clear()
            self._end_line()
            tell(text)

    def _end_line(self) -> None:
        """Put the cursor of a terminal to the beginning of a line: a log need not end with a newline."""
        if self._open_line and sys.stdout.isatty():
            self._streams[1].write(b"\n")
        self._open_line = False


def _raw(stream: TextIO) -> BinaryIO:
    raw: BinaryIO = getattr(stream.buffer, "raw", stream.buffer)
    return raw


class Reader:
    """The log of one pod. `complete`: all of it was shown. `trouble`: why it cannot be had at the moment. `brought`:
    whether the last connection had something to show.
    """

    def __init__(
        self, machine: Machine, screen: Screen, pod: Pod, asked: LogView, *, timestamps: bool, wake: threading.Event
    ) -> None:
        self.pod = pod
        self.label = b""
        self.complete = False
        self.trouble = ""
        self.brought = False
        self._machine = machine
        self._screen = screen
        self._asked = asked
        self._timestamps = timestamps
        self._wake = wake
        self._lines: Lines | None = None
        self._restarts = pod.restarts
        self._program: Popen[bytes] | None = None
        self._pumps: list[threading.Thread] = []
        self._running: set[Stream] = set()
        self._splitters: dict[Stream, Splitter] = {}
        self._last = False
        self._tail: Tail | None = None  # what is kept until the connection has ended, where all else is too much
        self._failures = 0
        self._pause = 0.0
        self._due = 0.0
        self._over_since: float | None = None

    @property
    def open(self) -> bool:
        """Whether a connection brings what the pod prints."""
        return bool(self._running)

    @property
    def rest(self) -> float:
        """Seconds until it may need to be tended, unless its connection ends."""
        return float("inf") if self.open or self.complete else self._due - time.monotonic()

    @property
    def message(self) -> str:
        """What the tool of the last connection said, beside the log."""
        return self._lines.message if self._lines else ""

    def tend(self, jobs: Jobs, job: Workload, pod: Pod | None) -> None:
        """Go on reading; to be called again and again. `pod` is None once another has taken its place.

        A log is complete when a connection has ended well that began after the pod had ended: one that ends earlier may
        as well have been cut off.
        """
        over = pod is None or pod.finished is not None or pod.state in (*ENDED, "Stopped")
        self.pod = pod or self.pod
        self._over_since = (self._over_since or time.monotonic()) if over else None
        if self.open:
            if self._over_since and time.monotonic() > self._over_since + DRAIN:
                self.close()
            return
        if self._program:
            self._left(gone=pod is None)
        self.complete = self.complete and over
        if not self.complete and time.monotonic() >= self._due:
            self._connect(jobs, job, last=over)

    def read(self, jobs: Jobs, job: Workload) -> int:
        """Show what there is. Returns the tool's exit code."""
        self._connect(jobs, job, last=True)
        assert self._program  # noqa: S101  # for the type checker
        for pump in self._pumps:
            pump.join()
        code = self._program.wait()
        self._left(gone=False)
        return code

    def close(self) -> None:
        """End the connection."""
        if self._program:
            self._program.terminate()
            for pump in self._pumps:
                pump.join(1)

    def _connect(self, jobs: Jobs, job: Workload, *, last: bool) -> None:
        restarted = self.pod.restarts > self._restarts
        view = self._lines.resume() if self._lines else self._asked
        # What a container printed before it restarted is a log of its own.
        view = LogView(
            follow=not (last or restarted),
            since=view.since,
            tail=view.tail,
            previous=self._asked.previous or restarted,
        )
        command = jobs.log(job, self.pod, view)
        if not self._lines:
            stamped = Stamped(self._asked, timestamps=self._timestamps)
            self._lines = stamped if command.stamped else Unstamped(self._asked)
        self._restarts = self.pod.restarts
        self._last = last and not restarted
        self.brought = False
        self._tail = None if command.tail is None else Tail(command.tail)
        self._program = process.pipes(self._machine, command.argv)
        self._running = {1, 2}
        self._splitters = {1: Splitter(), 2: Splitter()}
        self._pumps = []
        for stream, pipe in ((1, self._program.stdout), (2, self._program.stderr)):
            assert pipe  # noqa: S101  # for the type checker
            pump = threading.Thread(target=self._pump, args=(stream, pipe, self._lines), daemon=True)
            self._pumps.append(pump)
            pump.start()

    def _pump(self, stream: Stream, pipe: IO[bytes], lines: Lines) -> None:
        splitter = self._splitters[stream]
        with pipe:
            while chunk := pipe.read1(CHUNK):  # type: ignore[attr-defined]
                with self._screen.lock:
                    self._show(stream, splitter.feed(chunk), lines)
                if self._screen.broken:
                    break
        self._running.discard(stream)
        self._wake.set()

    def _show(self, stream: Stream, lines: list[bytes], of: Lines) -> None:
        new = [(line, shown) for line in lines for shown in of.new(stream, line)]
        self.brought = self.brought or bool(new)
        if self._tail:
            for line, shown in new:
                self._tail.add(stream, line, shown)
        else:
            self._screen.write(stream, [shown for _, shown in new], self.label)

    def _left(self, *, gone: bool) -> None:
        """The connection has ended: is the log complete, and if not, when to begin the next one?"""
        assert self._program and self._lines  # noqa: S101, PT018  # for the type checker
        failed = self._program.wait() != 0
        self._program = None
        for stream, splitter in self._splitters.items():
            if self._last and not failed:
                with self._screen.lock:
                    self._show(stream, splitter.end(), self._lines)
        if self._tail:
            with self._screen.lock:
                for _, stream, shown in self._tail.lines:
                    self._screen.write(stream, [shown], self.label)
        self._failures = self._failures + 1 if failed and not self.brought else 0
        self.trouble = (self.message or "no reason given") if self._failures >= TRIES else ""
        self.complete = self._last and (not failed or gone or self._failures >= TRIES)
        if self.complete and self.trouble:
            self._screen.say(f"the log of {self.pod.name} may lack its end: {self.trouble}", warn)
            self.trouble = ""
        self._pause = min(max(2 * self._pause, PAUSES[0]), PAUSES[1])
        if self.brought:
            self._pause = 0 if failed else PAUSES[0]
        self._due = time.monotonic() + self._pause
