"""Draws docs/assets/flow.svg: `python -m docs.tools.flow`. A test compares it with what is committed.

It is 720 wide with large letters, so that it can be read on a phone, at half its size. It has a ground of its own, and
follows the colours of whoever looks at it.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

PICTURE = Path(__file__).parents[1] / "assets/flow.svg"
WIDTH, HEIGHT = 720, 852


class Box(NamedTuple):
    """`kind` is its class in STYLE; the title, then lines beneath it."""

    kind: str
    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...] = ()
    middle: bool = False


class Arrow(NamedTuple):
    """Straight from one point to another; the words are right of its middle."""

    kind: str
    start: tuple[int, int]
    end: tuple[int, int]
    words: tuple[str, ...] = ()


BOXES = (
    Box("place", 24, 24, 672, 150, "Your laptop"),
    Box("thing", 48, 88, 136, 62, ".env", middle=True),
    Box("ours", 204, 88, 468, 62, "mlo-submit run -- python train.py", middle=True),
    Box("place", 24, 262, 148, 62, "run:ai", middle=True),
    Box("place", 184, 262, 186, 62, "Kubernetes", middle=True),
    Box("place", 382, 262, 138, 62, "Docker", middle=True),
    Box("place", 24, 396, 672, 432, "The pod"),
    Box(
        "ours",
        48,
        460,
        624,
        128,
        "mlo_entry",
        ("PID 1, as root, in milliseconds:", "your account, home on scratch, shell, keys"),
    ),
    Box("thing", 48, 638, 624, 66, "python train.py", middle=True),
    Box("scratch", 48, 744, 624, 60, "WORKING_DIR, on scratch: this stays", middle=True),
)
ARROWS = (
    Arrow("there", (110, 174), (110, 262), ("a Secret and a job",)),
    Arrow("there", (110, 324), (110, 396)),
    Arrow("back", (584, 396), (584, 174), ("logs", "shell", "ports")),
    Arrow("there", (110, 588), (110, 638), ("sudo: from here on it is you",)),
    Arrow("there", (110, 704), (110, 744)),
)
STYLE = """
  svg { --ground: #f6f8f9; --card: #fff; --edge: #b9c6cc; --ink: #17262d; --soft: #4b5f69; --line: #1f6480;
        --ours: #1f4e5f; --back: #a3570f; --scratch: #fdf0d6; --sand: #d9a441; }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #12191d; --card: #1b252b; --edge: #41525b; --ink: #eaf1f4; --soft: #a9bac3; --line: #7cc4dc;
          --ours: #235a6e; --back: #f2b134; --scratch: #3a2f16; --sand: #b98a2e; } }
  text { font: 23px system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; fill: var(--soft); }
  .title { fill: var(--ink); font-weight: 600; font-size: 25px; }
  .ours .title, .thing .title { font-family: ui-monospace, "SF Mono", "DejaVu Sans Mono", monospace; font-size: 21px; }
  .ours text { fill: #dbe9ef; } .ours .title { fill: #fff; }
  rect { stroke-width: 2; stroke: var(--edge); fill: var(--card); }
  .ground { fill: var(--ground); stroke: none; } .thing rect { fill: var(--ground); }
  .ours rect { fill: var(--ours); stroke: var(--ours); } .scratch rect { fill: var(--scratch); stroke: var(--sand); }
  line { stroke-width: 3.5; stroke-linecap: round; }
  .there line { stroke: var(--line); } .there path { fill: var(--line); }
  .back line { stroke: var(--back); } .back path { fill: var(--back); } .back text { fill: var(--back); }
"""
TOLD = (
    "From .env, mlo-submit makes a Secret and a job, through run:ai, Kubernetes or Docker. In the pod mlo_entry makes "
    "your account, home, shell and keys as root, and then runs your command as you, in WORKING_DIR on scratch. Logs, "
    "shell and ports come back to the laptop."
)
"""For those who do not see it; in the README, too."""


def _text(x: int, y: int, words: str, *, title: bool = False, middle: bool = False) -> str:
    attributes = ' class="title"' * title + ' text-anchor="middle"' * middle
    return f'<text x="{x}" y="{y}"{attributes}>{escape(words)}</text>'


def _box(it: Box) -> str:
    if it.middle:
        inside = [_text(it.x + it.width // 2, it.y + it.height // 2 + 8, it.title, title=True, middle=True)]
    else:
        inside = [_text(it.x + 24, it.y + 40, it.title, title=True)]
        inside += [_text(it.x + 24, it.y + 74 + 32 * number, line) for number, line in enumerate(it.lines)]
    frame = f'<rect x="{it.x}" y="{it.y}" width="{it.width}" height="{it.height}" rx="12"/>'
    return f'<g class="{it.kind}">{frame}{"".join(inside)}</g>'


def _arrow(it: Arrow) -> str:
    """It keeps 6 of distance from what it joins."""
    (x, start), (_, end) = it.start, it.end
    way = 1 if end > start else -1
    tip = end - 6 * way
    line = f'<line x1="{x}" y1="{start + 8 * way}" x2="{x}" y2="{tip - 14 * way}"/>'
    head = f'<path d="M{x} {tip}l-10 {-17 * way}h20z"/>'
    top = (start + end) // 2 + 8 - 16 * (len(it.words) - 1)
    words = "".join(_text(x + 22, top + 32 * number, line) for number, line in enumerate(it.words))
    return f'<g class="{it.kind}">{line}{head}{words}</g>'


def picture() -> str:
    """The SVG, whole."""
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>From a laptop to a pod, and back</title><desc>{TOLD}</desc>",
            f"<style>{STYLE}</style>",
            f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="18"/>',
            *map(_box, BOXES),
            *map(_arrow, ARROWS),
            "</svg>\n",
        )
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
