"""What is marked to be run is run, and compared as tests/examples.py says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.examples import ROOT, RUNNERS, Step, marked, matches, of, pages

PAGE = """\
<!-- runs: docker -->
```console
$ first \\
    --long
one
$ second
```

```console
$ not marked
```

<!-- runs: docker cluster -->
```sh
third
fourth
```
"""


def test_marked_blocks_are_collected_with_their_commands_and_output() -> None:
    first, second = marked(PAGE)
    assert first.steps == (Step("first \\\n    --long\n", "one\n"), Step("second\n"))
    assert second.steps == (Step("third\nfourth\n"),)
    assert (first.line, second.line) == (2, 14)
    assert (first.runners, second.runners) == (("docker",), ("docker", "cluster"))


def test_a_console_block_without_a_command_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with"):
        marked("<!-- runs: docker -->\n```console\nmlo-submit list\n```\n")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_mark_is_run_by_a_runner(page: Path) -> None:
    """All comments but that of a page which is made are marks, well written, on the line before their block."""
    text = page.read_text()
    meant = re.findall(r"^\s*<!--(?! Made by ).*", text, re.MULTILINE)
    examples = marked(text)
    assert len(examples) == len(meant), meant
    assert {runner for example in examples for runner in example.runners} <= set(RUNNERS)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_runner_is_a_test_that_asks_for_its_examples(runner: str) -> None:
    assert of(runner)
    assert f'of("{runner}")' in (ROOT / "tests" / RUNNERS[runner]).read_text()


@pytest.mark.parametrize(("runner", "blocks", "on_pages"), [("docker", 15, 7), ("cluster", 25, 8), ("try", 2, 1)])
def test_so_many_blocks_are_run(runner: str, blocks: int, on_pages: int) -> None:
    """A page that is rewritten keeps its marks, or others gain some."""
    examples = of(runner)
    assert sum(map(len, examples.values())) >= blocks
    assert len(examples) >= on_pages


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("one\n", "one\n", True),
        ("one\n", "one\ntwo\n", False),
        ("one\n", "", False),
        ("a.c\n", "abc\n", False),
        ("one\n…\n", "one\n", True),
        ("…\nthree\n", "one\ntwo\nthree\n", True),
        ("…\nthree\n", "one\ntwo three\n", False),
        ("pod x-…-1 is\n", "pod x-7f\n-1 is\n", False),
        ("pod x-… is\n", "pod x-7f is\n", True),
        ("ready in 9 ms\n", "ready in 181 ms\n", True),
        ("succeeded after 3s.\n", "succeeded after 1m30s.\n", True),
        ("after 1m30s.\n", "after 9s.\n", True),
        ("exit code 3\n", "exit code 4\n", False),
        ("pod big-0-7sqns\n", "pod big-0-x2b4k\n", True),
        ("pod big-0-7sqns\n", "pod big-1-x2b4k\n", False),
        ("127.0.0.1:42535 (v1.34.4)\n", "127.0.0.1:8888 (v1.35.0)\n", True),
        ("2026-11-24 17:52:57\n", "2026-11-25 00:10:02\n", True),
        ("17:52:57\n", "7:52\n", False),
        ("128Mi\n", "256Mi\n", False),
        ("NAME  KIND\n", "NAME     KIND\n", True),
        ("one\ntwo\n", "two\none\n", False),
        ("[mlo] boots\none\n[mlo] ended\n", "one\n[mlo] boots\n[mlo] ended\n", True),
        ("[mlo] boots\none\n[mlo] ended\n", "[mlo] ended\none\n[mlo] boots\n", False),
        ("one\n[mlo] ended\n", "one\n", False),
        ("one\n", "one\n[mlo] ended\n", False),
        ("…\nthree\n", "[mlo] boots\none\nthree\n", True),
        ("Creating virtual environment at: .venv\none\n", "one\nCreating virtual environment at: .venv\n", True),
    ],
)
def test_output_is_compared(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same
