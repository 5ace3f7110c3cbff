"""The examples on the pages that are run: shell blocks with a mark on the line before, `<!-- runs: docker cluster -->`.

The mark names who runs the block. In a `console` block a line `$ COMMAND` is followed by what COMMAND prints; one that
prints nothing there has to succeed. A `sh` block is a script that has to succeed. What is printed may differ in its
durations, times of the day, ports, versions and in the last part of a pod's name, in how far its columns are apart, and
where `…` stands: for any part of a line, or on a line of its own for any lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNNERS = {
    "docker": "engine/test_examples.py",
    "cluster": "cluster/test_examples.py",
    "kueue": "cluster/test_kueue.py",
    "try": "engine/test_try.py",
}
"""Who runs examples, and the test that does; it asks for them by `of`."""

BLOCK = re.compile(r"^<!-- runs: (\S+(?: \S+)*) -->\n```(console|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY = {
    "part": ("…", ".*?"),
    "moment": (r"\b(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\b", r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d"),
    "duration": (r"\b\d+(?:\.\d+)?(?: ?ms| ?s|m|h)(?:\d+[ms])?\b", r"\d[\d.]*(?: ?ms| ?s|m|h)(?:\d+[ms])?"),
    "pod": (r"(?<=-\d-)[a-z0-9]{5}\b", "[a-z0-9]{5}"),
    "port": (r"(?<=127\.0\.0\.1:)\d{5}\b", r"\d{4,5}"),
    "version": (r"\bv\d+\.\d+\.\d+\b", r"v\d+\.\d+\.\d+"),
    "gap": (" +", " +"),
}
"""What varies: what stands for it on a page, and what may be printed there."""
VARIES = re.compile("|".join(f"(?P<{name}>{shown})" for name, (shown, _) in ANY.items()), re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A command, and what it prints; without that it has to succeed."""

    command: str
    output: str = ""


@dataclass(frozen=True)
class Example:
    """A marked block: who run it, the line where it begins, and its steps."""

    runners: tuple[str, ...]
    line: int
    steps: tuple[Step, ...]


def pages() -> list[Path]:
    """All that people read."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def marked(text: str) -> list[Example]:
    """The marked blocks of a page."""
    return [
        Example(tuple(found[1].split()), text.count("\n", 0, found.start()) + 2, tuple(steps(found[2], found[3])))
        for found in BLOCK.finditer(text)
    ]


def of(runner: str) -> dict[Path, list[Example]]:
    """The examples that one runner runs: those of each page, in their order."""
    found = {page: [each for each in marked(page.read_text()) if runner in each.runners] for page in pages()}
    return {page: examples for page, examples in found.items() if examples}


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
    """Whether a page may show `expected` where `printed` was printed.

    In any order of the lines: Docker reads a container's two streams one by one.
    """
    wanted, shown = expected.splitlines(), printed.splitlines()
    whole = "…" not in wanted
    return (not whole or len(wanted) == len(shown)) and all(
        any(re.fullmatch(_pattern(line), each) for each in shown) for line in wanted if line != "…"
    )


def _pattern(line: str) -> str:
    pattern, end = "", 0
    for found in VARIES.finditer(line):
        assert found.lastgroup
        pattern += re.escape(line[end : found.start()]) + ANY[found.lastgroup][1]
        end = found.end()
    return pattern + re.escape(line[end:])
