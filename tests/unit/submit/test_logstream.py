"""Logs that are put together from connections that break off: each line once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from mlo_submit.logstream import KEPT, RECORD, Splitter, Stamped, Tail, Unstamped, joined
from mlo_submit.workload import LogView

BEGIN = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Line:
    """A line of a container's log. `at` is in nanoseconds since BEGIN."""

    at: int
    stream: int
    text: bytes

    @property
    def moment(self) -> datetime:
        return BEGIN + timedelta(microseconds=self.at // 1000)

    @property
    def stamped(self) -> bytes:
        return f"{self.moment:%Y-%m-%dT%H:%M:%S}.{self.at % 10**9:09}Z ".encode() + self.text


@st.composite
def logs(draw: st.DrawFn) -> list[Line]:
    """Lines in bursts and pauses, many alike or at the same moment, some a little older than the one before them."""
    texts = st.sampled_from([b"\n", b"step\n", b"\xff\rbar 50%\rbar 100%\n", b"  2026-11-24T12:00:00Z mine \n"])
    gaps = st.sampled_from([0, 0, 1, 10**6, 4 * 10**8, 10**9, 3 * 10**9])
    found, now = [], draw(st.integers(0, 10**9))
    for _ in range(draw(st.integers(1, 25))):
        now += draw(gaps)
        at = max(0, now - draw(st.sampled_from([0, 0, 0, 5 * 10**5, 9 * 10**8])))
        found.append(Line(at=at, stream=draw(st.sampled_from([1, 1, 2])), text=draw(texts)))
    return found


def connection(lines: Stamped | Unstamped, brought: Sequence[tuple[int, bytes]]) -> list[bytes]:
    """What is shown of what a connection brings: pieces of two streams."""
    splitters = {1: Splitter(), 2: Splitter()}
    return [
        shown
        for stream, chunk in brought
        for line in splitters[stream].feed(chunk)
        for shown in lines.new(stream, line)
    ]


@given(log=logs(), cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), max_size=5), timestamps=st.booleans())
def test_connections_that_break_anywhere_give_the_log_once(
    log: list[Line], cuts: list[tuple[float, int]], timestamps: bool
) -> None:
    """Each has what was printed by then, from the second that it was asked for, and breaks within any line."""
    lines = Stamped(LogView(), timestamps=timestamps)
    shown = []
    for share, offset in [*sorted(cuts), (1, 0)]:
        view = lines.resume()
        printed = round(share * len(log))
        pieces = [(line.stream, line.stamped) for line in log[:printed] if not view.since or line.moment >= view.since]
        if printed < len(log):  # and a part of the next line
            pieces.append((log[printed].stream, log[printed].stamped[:offset].rstrip(b"\n")))
        shown += connection(lines, pieces)
    assert shown == [line.stamped if timestamps else line.text for line in log]


@given(log=logs(), tail=st.integers(1, 10), cut=st.integers(1, 25))
def test_what_tail_left_out_does_not_come_with_a_later_connection(log: list[Line], tail: int, cut: int) -> None:
    """Where no two lines are of the same microsecond, by which the first one is known."""
    ordered = sorted(log, key=lambda line: line.at)
    log = [Line(at=line.at + 1000 * number, stream=1, text=line.text) for number, line in enumerate(ordered)]
    lines = Stamped(LogView(tail=tail), timestamps=True)
    assert lines.resume().tail == tail
    wanted = log[:cut][-tail:]
    shown = connection(lines, [(1, line.stamped) for line in wanted])
    since = lines.resume().since
    assert since
    shown += connection(lines, [(1, line.stamped) for line in log if line.moment >= since])
    assert shown == [line.stamped for line in [*wanted, *log[cut:]]]


@given(st.binary(max_size=20), st.lists(st.integers(0, 3 * RECORD), max_size=4))
def test_a_long_line_of_dockers_is_whole(noise: bytes, sizes: list[int]) -> None:
    stamp = b"2026-11-24T12:00:00.123456789Z "
    for size in sizes:
        text = (noise + b"x" * size).replace(b"\n", b"") + b"\n"
        pieces = [text[start : start + RECORD] for start in range(0, len(text), RECORD)]
        assert joined(stamp.join(pieces), stamp) == text


@given(st.lists(st.integers(0, 400), max_size=4), st.integers(1, 400))
def test_a_log_without_times_is_put_together_by_its_overlap(cuts: list[int], total: int) -> None:
    log = [b"line %d\n" % number for number in range(total)]
    lines = Unstamped(LogView())
    shown: list[bytes] = []
    for printed in [*sorted(cuts), total]:
        tail = lines.resume().tail
        # A connection can bring back as many lines as are remembered: no more may have been printed since the last.
        printed = min(printed, total, len(shown) + KEPT) if shown else min(printed, total)
        shown += connection(lines, [(1, line) for line in (log[:printed][-tail:] if tail else log[:printed])])
    assert shown == log[: len(shown)]
    assert len(shown) == printed


def test_what_is_no_log_is_a_message() -> None:
    """Neither a tool's own words are shown, nor the end of a line that began before a connection did."""
    lines = Stamped(LogView(), timestamps=False)
    lines.resume()
    assert connection(lines, [(1, b"the end of a line\n"), (2, b"error: unexpected EOF\n")]) == []
    assert connection(lines, [(2, b"2026-11-31T12:00:00Z of no such day\n")]) == []
    assert lines.message == "2026-11-31T12:00:00Z of no such day"
    lines.resume()
    assert lines.message == ""


def test_a_node_in_another_time_zone() -> None:
    lines = Stamped(LogView(), timestamps=False)
    assert connection(lines, [(1, b"2026-11-24T13:00:05.5+01:00 a\n")]) == [b"a\n"]
    assert lines.resume().since == BEGIN + timedelta(seconds=4)


def test_nothing_older_than_since_is_asked_for_again() -> None:
    since = BEGIN + timedelta(seconds=5)
    lines = Stamped(LogView(since=since), timestamps=False)
    connection(lines, [(1, Line(at=5 * 10**9, stream=1, text=b"a\n").stamped)])
    assert lines.resume().since == since


@given(st.lists(st.sampled_from([1, 2]), max_size=60), st.integers(0, 5), st.booleans())
def test_the_last_lines_of_both_streams(streams: list[int], count: int, errors_first: bool) -> None:
    """By their time, whichever stream is read first."""
    lines = [(stream, b"2026-11-24T12:00:%02d.0Z %d\n" % (at, at)) for at, stream in enumerate(streams)]
    tail = Tail(count)
    for stream, line in sorted(lines, key=lambda each: each[0], reverse=errors_first):
        tail.add(stream, line, line[23:])
    wanted = lines[max(len(lines) - count, 0) :]
    assert [(stream, shown) for _, stream, shown in tail.lines] == [(stream, line[23:]) for stream, line in wanted]
