"""The examples on the pages that are run: shell blocks with a mark on the line before, `<!-- runs: docker cluster -->`.

The mark names who runs the block. In a `console` block a line `$ COMMAND` is followed by what COMMAND prints; one that
prints nothing there has to succeed. A `sh` block is a script that has to succeed. What is printed may differ in its
durations, times of the day, ports, versions and in the last part of a pod's name, in how far its columns are apart, and
where `…` stands: for any part of a line, or on a line of its own for any lines. What a container writes to stdout is
compared apart from what it writes to stderr.
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
    "lines": (r"^…\n", r"(?:.*\n)*?"),
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

STDERR = re.compile(r".*\[mlo\] |(?:.* │ )?(?:Using CPython|Creating virtual environment) ")
"""What PID 1 and uv write to a container's stderr."""


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

    Docker and containerd read a container's stdout and stderr one by one: each keeps its order, but not with the other.
    """
    (out, err), (printed_out, printed_err) = _streams(expected), _streams(printed)
    return all(re.fullmatch(_pattern(shown), real) for shown, real in ((out, printed_out), (err, printed_err)))


def _streams(text: str) -> tuple[str, str]:
    """The lines of stdout, and those of stderr; any lines (`…`) may be of both."""
    lines = text.splitlines(keepends=True)
    out = (line for line in lines if not STDERR.match(line))
    err = (line for line in lines if STDERR.match(line) or line == "…\n")
    return "".join(out), "".join(err)


def _pattern(shown: str) -> str:
    pattern, end = "", 0
    for found in VARIES.finditer(shown):
        assert found.lastgroup
        pattern += re.escape(shown[end : found.start()]) + ANY[found.lastgroup][1]
        end = found.end()
    return pattern + re.escape(shown[end:])
