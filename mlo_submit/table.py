"""Jobs as a table, and times as people read them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from mlo_submit.workload import State, Workload

GAP: Final = "  "
NONE: Final = "-"
INDENT: Final = "    "
BESIDE: Final = 24  # columns without which a reason stands beneath its job, not beside it

NUMBERS: Final = frozenset({"EXIT", "RESTARTS", "AGE", "TIME", "GPUS"})
RAN: Final[frozenset[State]] = frozenset({"Running", "Stopping", "Succeeded", "Failed"})


def render(
    jobs: Sequence[Workload],
    now: datetime,
    *,
    width: int | None = None,
    users: bool = False,
    paint: Callable[[State, str], str] = lambda _, text: text,
) -> list[str]:
    """A line of titles, and one line a job. Columns in which no job has anything are left out.

    Args:
        width: of the terminal, which no line passes: the reasons give way first. None: nothing is cut.
        users: whether to tell whose each job is.
        paint: colours a job's state.
    """
    columns: dict[str, list[str]] = {
        "NAME": [job.name for job in jobs],
        "USER": [job.user if users else "" for job in jobs],
        "KIND": [str(job.kind) for job in jobs],
        "STATE": [str(job.state) for job in jobs],
        "TASKS": [job.tasks.text if job.tasks else "" for job in jobs],
        "EXIT": ["" if job.exit_code is None else str(job.exit_code) for job in jobs],
        "RESTARTS": [str(job.restarts or "") for job in jobs],
        "AGE": [span((now - job.created).total_seconds()) for job in jobs],
        "TIME": [run_time(job, now) for job in jobs],
        "GPUS": [_gpus(job) for job in jobs],
        "NODE": [_nodes(job.nodes) for job in jobs],
    }
    lines = grid(columns)
    reasons = ["REASON", *(printable(job.reason) for job in jobs)]
    room = None if width is None else width - len(lines[0]) - len(GAP)
    beside = any(reasons[1:]) and (room is None or room >= min(BESIDE, max(map(len, reasons))))
    start = lines[0].index("STATE")
    found = []
    for line, reason, job in zip(lines, reasons, [None, *jobs], strict=True):
        text = cut((line + GAP + reason if beside else line).rstrip(), width)
        if job:
            end = start + len(job.state)
            text = text[:start] + paint(job.state, text[start:end]) + text[end:]
        found.append(text)
        if job and reason and not beside:
            found.append(cut(INDENT + reason, width))
    return found


def grid(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Columns beside each other under their titles, without those that are empty."""
    padded = [_pad(title, cells) for title, cells in columns.items() if any(cells)]
    return [GAP.join(row) for row in zip(*padded, strict=True)]


def _pad(title: str, cells: Sequence[str]) -> list[str]:
    width = max(len(title), *map(len, cells))
    pad = str.rjust if title in NUMBERS else str.ljust
    return [pad(cell or NONE, width) for cell in (title, *cells)]


def _gpus(job: Workload) -> str:
    return (f"{len(job.pods)}x{job.gpus}" if len(job.pods) > 1 else str(job.gpus)) if job.gpus else ""


def _nodes(nodes: Sequence[str]) -> str:
    return f"{nodes[0]},+{len(nodes) - 1}" if len(nodes) > 2 else ",".join(nodes)


def run_time(job: Workload, now: datetime) -> str:
    """How long a job has run, or ran; empty where it does not."""
    if not job.started or job.state not in RAN:
        return ""
    return span(((job.finished or now) - job.started).total_seconds())


def span(seconds: float) -> str:
    """A time as people read it: 40s, 3m, 2h05m, 1d06h, 4d. What a clock that is ahead makes negative is 0s."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h" if days < 3 else f"{days}d"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m" if minutes else f"{rest}s"


def cut(text: str, width: int | None) -> str:
    """Text that is not wider than that; `…` stands for what is left out."""
    return text if width is None or len(text) <= width else text[: max(0, width - 1)] + "…"


def printable(text: str) -> str:
    """Text of somebody else's as one line that no terminal takes for a command."""
    return text if text.isprintable() else " ".join("".join(c if c.isprintable() else " " for c in text).split())
