"""`mlo-submit delete`, `stop`, `resume`, `cleanup`: end jobs, or set them aside for a while."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import partial

import click

from mlo_submit import ending, table
from mlo_submit.backends import Jobs
from mlo_submit.commands import common, values
from mlo_submit.commands.manual import Page
from mlo_submit.errors import LoginError, MloError, RefusedError, UnavailableError, note
from mlo_submit.workload import Leftover, Workload

NAMES = click.argument("names", metavar="JOB...", type=values.JOB, nargs=-1, required=True)
YES = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.command(
    cls=Page,
    short_help="End jobs, and delete them.",
    examples={
        "Two jobs, after a question": "mlo-submit delete train train-2",
        "In a script, without grace": "mlo-submit delete --yes --now sandbox",
    },
    see_also=(
        "stop",
        "cleanup",
        "docs/managing_workflows.md",
    ),
)
@common.shared_options
@NAMES
@YES
@click.option("--now", is_flag=True, help="Kill them at once, without their grace period.")
@click.pass_obj
def delete(shared: common.Shared, names: tuple[str, ...], yes: bool, now: bool) -> None:
    """End jobs of yours, and delete them with all that is their own.

    A job that runs is asked to end, and has its grace period to write a checkpoint.
    """
    jobs = common.reach(shared).jobs
    chosen = mine(jobs, names, "deleted")
    if not yes:
        ask(chosen)
    failures = ending.carry_out(ending.deletion(jobs, now=now), jobs, chosen, partial(common.line, shared))
    report("deleted", chosen, failures)


@click.command(
    cls=Page,
    short_help="Set a job aside.",
    examples={
        "Give the GPUs back for a while": "mlo-submit stop train",
    },
    see_also=(
        "resume",
        "delete",
        "docs/managing_workflows.md",
    ),
)
@common.shared_options
@NAMES
@click.pass_obj
def stop(shared: common.Shared, names: tuple[str, ...]) -> None:
    """Set jobs of yours aside: they end, with their grace period, and keep no place until `resume`."""

    def check(job: Workload) -> str:
        if job.ended:
            delete = common.line(shared, "delete", job.name)
            return f"{job.name} has ended ({job.state}), and there is nothing to stop: `{delete}` deletes it."
        return f"{job.name} is stopped already." if job.state == "Stopped" else ""

    jobs = common.reach(shared).jobs
    chosen = mine(jobs, names, "stopped", check)
    failures = ending.carry_out(ending.stop(jobs), jobs, chosen, partial(common.line, shared))
    report("stopped", chosen, failures, lambda name: common.line(shared, "resume", name))


@click.command(
    cls=Page,
    short_help="Let a stopped job go on.",
    examples={
        "Take the GPUs again": "mlo-submit resume train",
    },
    see_also=(
        "stop",
        "rerun",
        "docs/managing_workflows.md",
    ),
)
@common.shared_options
@NAMES
@click.pass_obj
def resume(shared: common.Shared, names: tuple[str, ...]) -> None:
    """Let stopped jobs of yours go on: each starts its command again, as soon as there is a place for it."""

    def check(job: Workload) -> str:
        if job.ended:
            rerun = common.line(shared, "rerun", job.name)
            return f"{job.name} has ended ({job.state}): `{rerun}` launches it again."
        return "" if job.state == "Stopped" else f"{job.name} is not stopped, but {job.state}."

    jobs = common.reach(shared).jobs
    chosen = mine(jobs, names, "resumed", check)
    failures = ending.carry_out(ending.resumption(jobs), jobs, chosen, partial(common.line, shared))
    report("resumed", chosen, failures, lambda name: common.line(shared, "logs", "-f", name))


@click.command(
    cls=Page,
    short_help="Delete finished jobs, and what no job uses any more.",
    examples={
        "See what would go": "mlo-submit cleanup --dry-run",
        "What ended two days ago or earlier, failed or not": "mlo-submit cleanup --failed --older-than 2d --yes",
    },
    see_also=(
        "delete",
        "list",
        "docs/managing_workflows.md",
    ),
)
@common.shared_options
@click.option("--failed", is_flag=True, help="Delete jobs that failed, too.")
@click.option(
    "--older-than", metavar="DURATION", type=values.DURATION, help="Leave jobs that ended later than so long ago: 2d."
)
@click.option("--dry-run", "--dry", "dry_run", is_flag=True, help="Print what would go, and delete nothing.")
@YES
@click.pass_obj
def cleanup(shared: common.Shared, failed: bool, older_than: int | None, dry_run: bool, yes: bool) -> None:
    """Delete your jobs that succeeded, and what your jobs left behind: Secrets, Services, files with secrets.

    What a job still uses stays, and so does everything of other users.
    """
    jobs = common.reach(shared).jobs
    now = datetime.now(timezone.utc)
    chosen = finished(jobs.all(), now - timedelta(seconds=older_than or 0), failed=failed)
    spare = jobs.leftovers([job.name for job in chosen])
    if not chosen and not spare:
        note("There is nothing to clean up." + ("" if failed else " --failed deletes jobs that failed, too."))
        return
    if dry_run:
        click.echo("\n".join(shown(chosen, spare, now)))
        return
    if not yes:
        ask(chosen, spare)
    failures = ending.carry_out(ending.deletion(jobs, now=False), jobs, chosen, partial(common.line, shared))
    # Asked again: a job that was launched since, or that did not go, keeps what it uses.
    spare = [item for item in jobs.leftovers([]) if item in spare]
    report("deleted", [*chosen, *spare], failures | remove(jobs, spare))


def finished(jobs: Sequence[Workload], before: datetime, *, failed: bool) -> list[Workload]:
    """The jobs that had succeeded by then, or, with `failed`, ended. Pure."""
    states = {"Succeeded", "Failed"} if failed else {"Succeeded"}
    return [job for job in jobs if job.state in states and (job.finished or job.created) <= before]


def remove(jobs: Jobs, leftovers: Sequence[Leftover]) -> dict[str, MloError]:
    """Remove what was left behind. Returns what went wrong, by names."""
    failures = {}
    for item in leftovers:
        try:
            jobs.remove(item)
        except MloError as error:
            failures[label(item)] = error
    return failures


def mine(
    jobs: Jobs, names: Sequence[str], done: str, check: Callable[[Workload], str] = lambda job: ""
) -> list[Workload]:
    """My jobs of these names, each once.

    Args:
        done: what is to be done to them: `deleted`.
        check: says why that cannot be done to a job; empty if it can.

    Raises:
        RefusedError: everything that is wrong with any of them.
    """
    found, problems = [], []
    for name in dict.fromkeys(names):
        try:
            job = jobs.find(name)
        except RefusedError as error:
            problems.append(error.format_message())
            continue
        found.append(job)
        if job.user != jobs.user:
            owner = f"is a job of {job.user}" if job.user else "was not made by mlo-submit"
            problems.append(f"{name} {owner}, and is left alone.")
        elif problem := check(job):
            problems.append(problem)
    if problems:
        raise RefusedError(f"nothing is {done}{together(problems)}")
    return found


def ask(jobs: Sequence[Workload], leftovers: Sequence[Leftover] = ()) -> None:
    """Show what is to be deleted, and end the command unless the user agrees.

    Raises:
        click.UsageError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal on which to ask whether to delete: give --yes.")
    width = shutil.get_terminal_size().columns
    for line in shown(jobs, leftovers, datetime.now(timezone.utc), width):
        note(line)
    if busy := [job for job in jobs if job.state in ending.BUSY]:
        note(f"{ending.names(busy)} {'is' if len(busy) == 1 else 'are'} running.")
    if not click.confirm("Delete this?", err=True):
        note("Nothing is deleted.")
        raise click.exceptions.Exit(1)


def shown(
    jobs: Sequence[Workload], leftovers: Sequence[Leftover], now: datetime, width: int | None = None
) -> list[str]:
    """What is to be deleted: the table of jobs, and a line for all else. Pure."""
    lines = table.render(jobs, now, width=width) if jobs else []
    return lines + [f"{label(item)}, which no job uses any more" for item in leftovers]


def label(item: Workload | Leftover) -> str:
    """What a message calls it."""
    return item.name if isinstance(item, Workload) else f"{item.kind} {item.name}"


def report(
    done: str,
    chosen: Sequence[Workload | Leftover],
    failures: Mapping[str, MloError],
    following: Callable[[str], str] | None = None,
) -> None:
    """Say what was done, and what `following(NAME)` does next; then raise what was not, as one error."""
    for name in map(label, chosen):
        if name not in failures:
            note(f"{name} is {done}." + (f" Next: {following(name)}" if following else ""))
    if failures:
        problems = [f"{name}: {error.format_message()}" for name, error in failures.items()]
        first = next(iter(failures.values()))
        kind = next((kind for kind in (UnavailableError, LoginError) if isinstance(first, kind)), RefusedError)
        raise kind(f"not {done}{together(problems)}")


def together(problems: Sequence[str]) -> str:
    """Problems as the end of one message."""
    return f": {problems[0]}" if len(problems) == 1 else ":" + "".join(f"\n  {problem}" for problem in problems)
