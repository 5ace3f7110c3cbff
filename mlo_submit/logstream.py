"""The log of a pod, put together from connections that break off: each line once, in its order. Pure.

A connection can only begin at a whole second, and repeats what was shown since: that is remembered, counted, dropped.
It begins a second earlier than it had to: the two streams of a container are stamped before they are put in order, so
that a line may be a little older than the one before it. A line that broke off is not shown: the next connection has
all of it.

Nobody can have these lines again:

* what a node moved to another file of the log (at `containerLogMaxSize`, 10 MiB) while no connection was open: the
  Kubernetes API serves the newest file alone. Some more, when much is printed: what the runtime still writes to the old
  file after it has made the new one, and all of a file that came and went while the terminal stood still;
* what a pod printed after a connection broke, if the pod is deleted before the next one;
* all but the last run of a container that restarts more than once, and all of a pod that comes and goes, while no
  connection is open;
* what follows a step back of the node's clock by more than a second, if a connection breaks before it has caught up.

Docker keeps text: of bytes that are no UTF-8 it has made U+FFFD before anybody can read them.
"""

from __future__ import annotations

import re
from bisect import insort
from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from operator import itemgetter
from typing import Final, Protocol

from mlo_submit.workload import LogView, parse_time

STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ")
MARGIN: Final = timedelta(seconds=1)
RECORD: Final = 16 * 1024  # bytes of a longer line that Docker keeps in one piece
KEPT: Final = 200  # lines by which a log without stamps is put together

Stream = int
"""1 or 2: the standard stream on which a line came, and on which it goes."""


class Lines(Protocol):
    """What of a connection's lines is new. `message` is the last line that was none of the log, but the tool's own."""

    message: str

    def resume(self) -> LogView:
        """Begin a connection. Returns the part of the log that it must have."""

    def new(self, stream: Stream, line: bytes) -> list[bytes]:
        """What there is to show, now that the connection has brought this line."""


class Stamped:
    """Lines that start with their time, which is shown only if it was asked for."""

    def __init__(self, asked: LogView, *, timestamps: bool) -> None:
        self.message = ""
        self._asked = asked
        self._timestamps = timestamps
        self._first: datetime | None = None
        self._newest: datetime | None = None  # second
        self._shown: dict[datetime, Counter[tuple[Stream, bytes]]] = {}  # by second, as far back as is asked for again
        self._again: Counter[tuple[Stream, bytes]] = Counter()  # what of it the connection has yet to repeat

    def resume(self) -> LogView:
        """Begin where nothing is missed."""
        self.message = ""
        self._again = sum(self._shown.values(), Counter())
        if not self._newest:
            return self._asked
        since = self._newest - MARGIN
        return LogView(since=max(since, self._asked.since) if self._asked.since else since)

    def new(self, stream: Stream, line: bytes) -> list[bytes]:
        """The line, unless it was shown, or is older than the first that `tail` let through."""
        match = STAMP.match(line)
        at = _time(match) if match else None
        if not match or not at:
            self.message = line.decode(errors="replace").strip() or self.message
            return []
        key = (stream, line)
        if key in self._again:
            self._again[key] -= 1
            if not self._again[key]:
                del self._again[key]
            return []
        if self._again and self._first and at < self._first:
            return []
        self._remember(at, key)
        text = joined(line[match.end() :], match[0])
        return [match[0] + text if self._timestamps else text]

    def _remember(self, at: datetime, key: tuple[Stream, bytes]) -> None:
        self._first = self._first or at
        second = at.replace(microsecond=0)
        if not self._newest or second > self._newest:
            self._newest = second
            self._shown = {old: lines for old, lines in self._shown.items() if old >= second - MARGIN}
        self._shown.setdefault(second, Counter())[key] += 1


def _time(stamp: re.Match[bytes]) -> datetime | None:
    try:
        found = parse_time(stamp[1].decode())
    except ValueError:  # such as the 31st of February
        return None
    return found.astimezone(timezone.utc) if found else None


def joined(text: bytes, stamp: bytes) -> bytes:
    """A long line without the stamp that Docker repeats before each further piece of it."""
    pieces, start = [], 0
    while text.startswith(stamp, start + RECORD):
        pieces.append(text[start : start + RECORD])
        start += RECORD + len(stamp)
    return b"".join([*pieces, text[start:]])


class Unstamped:
    """Lines without a time: a connection repeats some, and the longest overlap with what was shown is dropped."""

    def __init__(self, asked: LogView) -> None:
        self.message = ""
        self._asked = asked
        self._shown: deque[bytes] = deque(maxlen=KEPT)
        self._again: list[bytes] | None = None  # what the connection brought while that is not clear yet

    def resume(self) -> LogView:
        """Begin as many lines back as are remembered."""
        self.message = ""
        if not self._shown:
            return self._asked
        self._again = []
        return LogView(tail=KEPT)

    def new(self, stream: Stream, line: bytes) -> list[bytes]:
        """The line, and those before it that are new; what comes as an error is none of the log."""
        if stream == 2:
            self.message = line.decode(errors="replace").strip() or self.message
            return []
        lines = [line]
        if self._again is not None:
            self._again.append(line)
            repeated = overlap(list(self._shown), self._again)
            if repeated is None:
                return []
            lines, self._again = self._again[repeated:], None
        self._shown.extend(lines)
        return lines


def overlap(shown: Sequence[bytes], again: Sequence[bytes]) -> int | None:
    """How many lines at the start of `again` are the last of `shown`; None while only more of them can tell."""
    for start, line in enumerate(shown):
        repeated = shown[start:] if line == again[0] else []
        if repeated and repeated[: len(again)] == again[: len(repeated)]:
            return len(repeated) if len(again) >= len(repeated) else None
    return 0


class Tail:
    """The last lines of both streams together, by their stamps: for a tool that cannot choose them itself."""

    def __init__(self, count: int) -> None:
        self.lines: list[tuple[bytes, Stream, bytes]] = []
        """The stamp of each, its stream, and what is to be shown of it."""
        self._count = count

    def add(self, stream: Stream, line: bytes, shown: bytes) -> None:
        """The line as it came, and what is to be shown of it."""
        insort(self.lines, (line.partition(b" ")[0], stream, shown), key=itemgetter(0))
        if len(self.lines) > self._count:
            del self.lines[0]


class Splitter:
    """Bytes into lines, each with its newline."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this completes."""
        *lines, rest = chunk.split(b"\n")
        self._rest += lines[0] if lines else rest
        if not lines:
            return []
        lines[0], self._rest = bytes(self._rest), bytearray(rest)
        return [line + b"\n" for line in lines]

    def end(self) -> list[bytes]:
        """The line that has no newline, if there is one."""
        return [bytes(self._rest)] if self._rest else []
