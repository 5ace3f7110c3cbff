"""The way into a job: the pod that runs, once it does."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlo_submit.backends import Jobs
from mlo_submit.errors import RefusedError
from mlo_submit.terminal import Waiting
from mlo_submit.workload import ENDED, Pod, Workload

PERIOD = 0.5  # seconds

Line = Callable[..., str]
"""`common.line` of the command that is running: words to a command that the user can type."""


def arrive(jobs: Jobs, name: str, rank: int, line: Line) -> tuple[Workload, Pod]:
    """A job and its pod of that rank, once the pod runs. Says what it waits for.

    Raises:
        RefusedError: it will not run; or `jobs` cannot tell.
    """
    with Waiting() as waiting:
        while True:
            job = jobs.find(name)
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
        raise RefusedError(
            f"{job.name} has ended{why}, and nothing runs in it any more: launch it again with "
            f"`{line('rerun', job.name)}`."
        )
    if job.state == "Stopped":
        raise RefusedError(f"{job.name} is stopped: let it go on with `{line('resume', job.name)}`.")
    pod = next((pod for pod in job.pods if pod.rank == rank), None)
    if pod and pod.state == "Running":
        return pod
    if job.state == "Running" and (pod is None or pod.state in ENDED):
        there = ", ".join(str(pod.rank) for pod in job.pods if pod.state == "Running")
        raise RefusedError(f"{job.name} has no worker {rank} that runs. Those that do: {there}.")
    state, reason = (pod.state, pod.reason) if pod and pod.reason else (job.state, job.reason)
    return f"{job.name} is {state}" + (f": {reason}" if reason else "")
