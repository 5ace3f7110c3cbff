"""Changes to jobs that take a while: begun for all of them at once, waited for, and never left half begun.

The backend carries a change on once it has begun: a Ctrl-C, or the end of this machine, only ends the wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from mlo_submit import process, submission
from mlo_submit.backends import Jobs
from mlo_submit.errors import INTERRUPTED, MloError, RefusedError, note
from mlo_submit.terminal import Waiting
from mlo_submit.workload import State, Workload

PATIENCE = 120.0  # seconds that a job may take beyond its grace period
LOOK = 0.3  # seconds between two looks

Line = Callable[..., str]
"""`common.line` of the command that is running: words to a command that the user can type."""

BUSY: frozenset[State] = frozenset({"Starting", "Running", "Stopping"})


@dataclass(frozen=True, kw_only=True)
class Change:
    """Something that is done to jobs. `noun` names it; `patient`: it waits for the jobs' grace periods."""

    noun: str
    begin: Callable[[Workload], None]
    over: Callable[[Workload | None], bool]
    """Whether it is over, by the job as it is now; None: there is no such job any more."""
    patient: bool = True


def deletion(jobs: Jobs, *, now: bool) -> Change:
    """Jobs end, with their grace period unless `now`, and go."""
    return Change(
        noun="deletion", begin=lambda job: jobs.delete(job, now=now), over=lambda job: job is None, patient=not now
    )


def stop(jobs: Jobs) -> Change:
    """Jobs are set aside."""
    return Change(noun="stop", begin=jobs.stop, over=_stopped)


def _stopped(job: Workload | None) -> bool:
    if job is None or job.ended:
        return True
    return job.state == "Stopped" and BUSY.isdisjoint(pod.state for pod in job.pods)


def resumption(jobs: Jobs) -> Change:
    """Stopped jobs go on, as soon as there is a place for them."""
    return Change(
        noun="resumption", begin=jobs.resume, over=lambda job: job is None or job.state != "Stopped", patient=False
    )


def carry_out(change: Change, jobs: Jobs, chosen: Sequence[Workload], line: Line) -> dict[str, MloError]:
    """Change my jobs, all of them at once, and wait until that is over.

    Returns:
        What went wrong, by the names of jobs; the other jobs are changed.
    """
    failures: dict[str, MloError] = {}
    try:
        with process.uninterrupted():
            failures = _begin(change, chosen)
        begun = [job for job in chosen if job.name not in failures]
        for job in _wait(change, jobs, begun):
            text = f"its {change.noun} is not over yet: `{line('describe', job.name)}` may tell why."
            failures[job.name] = RefusedError(text)
    except KeyboardInterrupt:
        note(f"\nThe {change.noun} goes on: `{line('list')}` shows it.")
        for name, error in failures.items():
            note(f"{name}: {error.format_message()}")
        raise click.exceptions.Exit(INTERRUPTED) from None
    return failures


def _begin(change: Change, chosen: Sequence[Workload]) -> dict[str, MloError]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        begun = {job.name: pool.submit(change.begin, job) for job in chosen}
    failures = {}
    for name, future in begun.items():
        try:
            future.result()
        except MloError as error:
            failures[name] = error
    return failures


def _wait(change: Change, jobs: Jobs, begun: Sequence[Workload]) -> list[Workload]:
    """Wait until the change is over. Returns the jobs for which it is not in due time."""
    grace = max((grace_of(job) for job in begun), default=0) if change.patient else 0
    start = time.monotonic()
    with Waiting() as waiting:
        while left := _left(change, jobs, begun):
            seconds = time.monotonic() - start
            if seconds > grace + PATIENCE:
                break
            waiting.tell(*words(change, left, seconds))
            time.sleep(LOOK)
    return left


def _left(change: Change, jobs: Jobs, begun: Sequence[Workload]) -> list[Workload]:
    if not begun:
        return []
    current = {(job.name, job.created): job for job in jobs.all()}  # a new job of that name is another one
    return [job for job in begun if not change.over(current.get((job.name, job.created)))]


def grace_of(job: Workload) -> int:
    """Seconds that a job may take to end; 0 where nothing of it runs."""
    return submission.grace(job.submission) if job.state in BUSY else 0


def words(change: Change, left: Sequence[Workload], seconds: float) -> tuple[str, str]:
    """What is waited for: as a sentence that stays as it is, and as one that counts the seconds. Pure."""
    grace = max(map(grace_of, left)) if change.patient else 0
    if not grace:
        text = f"waiting for the {change.noun} of {names(left)}"
        return text, text
    who = [job for job in left if grace_of(job)]
    be, they = ("is", "it") if len(who) == 1 else ("are", "they")
    text = f"{names(who)} {be} stopping"
    if seconds < grace:
        live = f"{text}: {seconds:.0f} of {grace} s, {they} may write a checkpoint"
    else:
        live = f"{text}: the {grace} s are over, and {they} {be} killed"
    return f"{text}, which may take {grace} s: {they} may write a checkpoint", live


def names(jobs: Sequence[Workload]) -> str:
    """The names of jobs as part of a sentence."""
    *others, last = [job.name for job in jobs]
    if len(others) > 3:
        return f"{len(jobs)} jobs ({', '.join(others[:2])}, …)"
    return f"{', '.join(others)} and {last}" if others else last
