"""The way into a job: the pod that runs, once it does."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from mlo_submit import tasks
from mlo_submit.array import MAX_INDEX
from mlo_submit.backends import Jobs
from mlo_submit.errors import RefusedError
from mlo_submit.terminal import Waiting
from mlo_submit.workload import ENDED, Pod, Workload

PERIOD = 0.5  # seconds

Line = Callable[..., str]
"""`common.line` of the command that is running: words to a command that the user can type."""


index_option = click.option(
    "--index", metavar="NUMBER", type=click.IntRange(0, MAX_INDEX), help="The task of an array."
)


def arrive(jobs: Jobs, name: str, rank: int, line: Line, index: int | None = None) -> tuple[Workload, Pod]:
    """A job, or a task of an array, and its pod of that rank, once the pod runs. Says what it waits for.

    Raises:
        RefusedError: it will not run; or `jobs` cannot tell.
    """
    with Waiting() as waiting:
        while True:
            job = jobs.find(name, index)
            found = look(job, rank, line)
            if isinstance(found, Pod):
                return job, found
            waiting.tell(found)
            time.sleep(PERIOD)


def look(job: Workload, rank: int, line: Line) -> Pod | str:
    """The pod of that rank if it runs, or what it waits for.

    Raises:
        RefusedError: it will not run.
    """
    why = f" ({job.reason})" if job.reason else ""
    if job.ended:
        index = [] if job.index is None else ["--array", str(job.index)]
        raise RefusedError(
            f"{job.title} has ended{why}, and nothing runs in it any more: launch it again with "
            f"`{line('rerun', job.name, *index)}`."
        )
    if refusal := tasks.choose(job):
        raise refusal
    if job.state == "Stopped":
        raise RefusedError(f"{job.title} is stopped: let it go on with `{line('resume', job.name)}`.")
    pod = next((pod for pod in job.pods if pod.rank == rank), None)
    if pod and pod.state == "Running":
        return pod
    if job.state == "Running" and (pod is None or pod.state in ENDED):
        there = ", ".join(str(pod.rank) for pod in job.pods if pod.state == "Running")
        raise RefusedError(f"{job.name} has no worker {rank} that runs. Those that do: {there}.")
    state, reason = (pod.state, pod.reason) if pod and pod.reason else (job.state, job.reason)
    return f"{job.title} is {state}" + (f": {reason}" if reason else "")
