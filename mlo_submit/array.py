"""The indices of a job array as people write them: `0-99`, `1,3,7`, `0-10:2`; `%8` behind them is at most 8 at a time.

Pure. Every function raises ValueError with a message that completes "VALUE …".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_TASKS: Final = 10_000
MAX_INDEX: Final = 10**9 - 1

_ITEM: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?", re.ASCII)
_AT_ONCE: Final = re.compile(r"[1-9]\d{0,4}", re.ASCII)


@dataclass(frozen=True)
class Array:
    """The tasks of an array, by ascending index; `at_once` bounds how many run at a time. As text: `0-2,7`."""

    indices: tuple[int, ...]
    at_once: int | None = None

    def __str__(self) -> str:
        return compress(self.indices)


def parse(text: str) -> Array:
    """The array that a command line asks for: each index once, at most MAX_TASKS of them."""
    items, percent, at_once = text.partition("%")
    if percent and not _AT_ONCE.fullmatch(at_once):
        raise ValueError("must name a number behind '%', such as 0-99%8: at most 8 tasks at a time")
    return Array(expand(items), int(at_once) if percent else None)


def expand(text: str) -> tuple[int, ...]:
    """The indices of `1,3,7-9` or `0-10:2`, ascending, each once."""
    found: set[int] = set()
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if not match:
            raise ValueError("is no list of indices: write 0-99, 1,3,7 or 0-10:2")
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or not step:
            raise ValueError(f"has no index in {item}: write the lower one first, and a step of at least 1")
        indices = range(first, last + 1, step)
        if len(indices) <= MAX_TASKS:  # else it would take all memory
            found.update(indices)
        if len(found) > MAX_TASKS or len(indices) > MAX_TASKS:
            raise ValueError(f"has more than {MAX_TASKS} tasks: launch several arrays")
    return tuple(sorted(found))


def compress(indices: Iterable[int], separator: str = ",") -> str:
    """Ascending indices as text that `expand` reads: `1,3,7-9`."""
    spans: list[list[int]] = []
    for index in indices:
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return separator.join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
