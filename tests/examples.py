"""The examples on the pages that are run: shell blocks with a mark, `<!-- runs: docker -->`, on the line before.

In a `console` block a line `$ COMMAND` is followed by what COMMAND prints on a terminal; one that prints nothing there
has to succeed. A `sh` block is a script that has to succeed. What is printed may differ in its durations and in how far
its columns are apart, and where `…` stands: for any part of a line, or on a line of its own for any lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNNERS = ("docker",)  # each has a test that runs what `marked` gives for it

BLOCK = re.compile(r"^<!-- runs: (\S+) -->\n```(console|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIES = re.compile(
    r"(?P<lines>^…\n)|(?P<part>…)|(?P<duration>\b\d+(?:\.\d+)?(?: ?ms| ?s|m|h)\b)|(?P<gap> +)", re.MULTILINE
)
ANY = {"lines": r"(?:.*\n)*?", "part": ".*?", "duration": r"\d[\d.]*(?: ?ms| ?s|m|h)(?:\d+[ms])?", "gap": " +"}


@dataclass(frozen=True)
class Step:
    """A command, and what it prints; without that it has to succeed."""

    command: str
    output: str = ""


@dataclass(frozen=True)
class Example:
    """A marked block: who runs it, the line where it begins, and its steps."""

    runner: str
    line: int
    steps: tuple[Step, ...]


def pages() -> list[Path]:
    """All that people read."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def marked(text: str) -> list[Example]:
    """The marked blocks of a page."""
    return [
        Example(found[1], text.count("\n", 0, found.start()) + 2, tuple(steps(found[2], found[3])))
        for found in BLOCK.finditer(text)
    ]


def steps(language: str, block: str) -> Iterator[Step]:
    """What a block runs, in its order."""
    if language == "sh":
        yield Step(block)
        return
    before, *commands = re.split(r"^\$ ", block, flags=re.MULTILINE)
    if before or not commands:
        raise ValueError(f"a console block begins with `$ COMMAND`, not with {before!r}")
    for command in commands:
        lines = command.splitlines(keepends=True)
        length = next(number for number, line in enumerate(lines, 1) if not line.endswith("\\\n"))
        yield Step("".join(lines[:length]), "".join(lines[length:]))


def matches(expected: str, printed: str) -> bool:
    """Whether a page may show `expected` where `printed` was printed."""
    pattern, end = "", 0
    for found in VARIES.finditer(expected):
        assert found.lastgroup
        pattern += re.escape(expected[end : found.start()]) + ANY[found.lastgroup]
        end = found.end()
    pattern += re.escape(expected[end:])
    return re.fullmatch(pattern, printed) is not None
