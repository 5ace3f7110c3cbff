"""What a job's state means, and what to do next. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mlo_submit import table
from mlo_submit.workload import State, Tasks, Workload

MEANING: Final[Mapping[State, str]] = {
    "Pending": "it waits for a place",
    "Starting": "its image and its volumes are on their way",
    "Running": "it runs",
    "Preempted": "it gave way to another job, and waits for a new place",
    "Stopping": "it was asked to end, and has its grace period for that",
    "Stopped": "it was set aside",
    "Succeeded": "it ended as it should",
    "Failed": "it ended with an error",
}

ONE_TASK: Final = {"logs": "--index", "shell": "--index", "rerun": "--array"}
"""The option by which a command takes one task of an array, which others do not."""

# Of those of the state, the first whose pattern the reason has. JOB is the job's name; `…` is a command of ours.
HINTS: Final[Mapping[State, Sequence[tuple[str, str]]]] = {
    "Pending": (
        ("pvc .* not exist", "Launch it again with a claim that exists: `rerun JOB --pvc CLAIM`."),
        (
            "in the queue .* in all",
            "It asks for more than there is. `queue` shows how much; less: `rerun JOB --gpus NUMBER`.",
        ),
        ("WorkloadPriorityClass", "Launch it again with one that exists: `rerun JOB --priority CLASS`."),
        ("in the queue .* before it", "It starts by itself: `queue` shows the quota, and how much of it is used."),
        (
            "gpu",
            "It starts when GPUs are free: `list --all-users` shows who has them. Fewer may be free sooner, or those "
            "of another type: `rerun JOB --gpus NUMBER --node-type TYPE`.",
        ),
        ("memory|cpu", "No node has that much free. Less is free sooner: `rerun JOB --memory AMOUNT --cpus NUMBER`."),
        ("queue|quota", "It starts when its queue has room: `list --all-users` shows who is there."),
        ("tried again", "`logs JOB` shows why the last try failed."),
        ("", "It starts by itself: `list --watch` shows when."),
    ),
    "Starting": (
        (
            "pull|image",
            "Is the image's name right, and may it be pulled there (a login to its registry)? Launch it again with "
            "one that can: `rerun JOB --image IMAGE`.",
        ),
        ("secret", "Mirror .env into its Secret: `sync-secret`."),
        ("", "`logs -f JOB` shows what it prints, once it runs."),
    ),
    "Running": (("", "`shell JOB` opens a shell in it; `logs -f JOB` follows what it prints."),),
    "Preempted": (("", "It starts again by itself, and goes on from its checkpoint if it writes one."),),
    "Stopping": (("", "It has until the end of its grace period to write a checkpoint. `list --watch` shows when."),),
    "Stopped": (("", "`resume JOB` lets it go on."),),
    "Succeeded": (
        ("nobody used", "Launch it again when you need it: `rerun JOB`."),
        ("", "`logs JOB` shows what it printed."),
    ),
    "Failed": (
        (
            "nobody used",
            "Launch it again: `rerun JOB`. `rerun JOB --stop-when-idle DURATION` lets it wait longer for you.",
        ),
        ("shared memory", "Launch it again with more: `rerun JOB --shm-size AMOUNT`."),
        (r"\boom\b|out of memory", "Launch it again with more memory: `rerun JOB --memory AMOUNT`."),
        (
            "time limit",
            "Launch it again with more time: `rerun JOB --time DURATION`. It goes on from its checkpoint if it "
            "writes one.",
        ),
        (
            r"signal 9\b",
            "Something outside killed it: its grace period was over, or its node had no memory left. `logs JOB` shows "
            "how far it came, and `rerun JOB --memory AMOUNT` gets memory of its own.",
        ),
        ("pull|image", "Is the image's name right? Launch it again: `rerun JOB --image IMAGE`."),
        (r"exit code 127\b", "The pod has no such command: `logs JOB` shows which. Correct it in `rerun JOB`."),
        (
            r"exit code (64|71|73)\b",
            "If `logs JOB` has a line of [mlo] ERROR, its boot refused, and the line says what to correct; else the "
            "code is the command's own. `rerun JOB` launches it again.",
        ),
        ("", "`logs JOB` shows its last words, and `rerun JOB` launches it again."),
    ),
}


def why(job: Workload) -> str:
    """The reason of a job's state, else what the state means: one line."""
    return table.printable(job.reason) or MEANING[job.state]


def hint(job: Workload, say: Callable[..., str]) -> str:
    """What to do next. `say` makes words a command of ours that can be typed: `common.line`."""
    if job.tasks and (found := _of_array(job, job.tasks)):
        return _said(found, job, say)
    text = next(text for pattern, text in HINTS[job.state] if re.search(pattern, job.reason, re.IGNORECASE))
    return _said(text, job, say)


def _of_array(job: Workload, tasks: Tasks) -> str:
    """What to do next with an array; empty where it is what any job would do."""
    if tasks.failed:
        again = "`rerun JOB --failed` launches those that failed again" + ("." if job.ended else ", also now.")
        return f"`logs JOB --index {tasks.failed[0]}` shows the last words of one that failed; {again}"
    if job.state == "Running":
        return f"`logs JOB --index {(tasks.unfinished or tasks.array.indices)[0]}` shows what one prints."
    return f"`logs JOB --index {tasks.array.indices[0]}` shows what one printed." if job.state == "Succeeded" else ""


def _said(text: str, job: Workload, say: Callable[..., str]) -> str:
    def line(words: re.Match[str]) -> str:
        verb, *rest = words[1].replace("JOB", job.name).split()
        own = [ONE_TASK[verb], str(job.index)] if job.index is not None and verb in ONE_TASK else []
        return f"`{say(verb, *own, *rest)}`"

    return re.sub("`(.*?)`", line, text)
