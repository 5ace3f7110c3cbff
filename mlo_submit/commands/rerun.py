"""`mlo-submit rerun`: launch a job again."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping
from dataclasses import replace as changed
from typing import Any

import click
from click.core import ParameterSource

from mlo_submit import submission
from mlo_submit.array import compress
from mlo_submit.commands import common, options, run, typed, values
from mlo_submit.commands.manual import Page
from mlo_submit.errors import RefusedError
from mlo_submit.job import Flags
from mlo_submit.workload import Workload

LONGEST = 62  # characters of a name beside its number; Kubernetes allows 63 with the '-'


@click.command(
    cls=Page,
    short_help="Launch a job again, with flags changed.",
    examples={
        "Another learning rate": "mlo-submit rerun train --env LR=1e-4",
        "In place of the finished job": "mlo-submit rerun train --replace -- python train.py --resume",
        "Only the tasks of an array that failed": "mlo-submit rerun sweep --failed",
    },
    see_also=(
        "run",
        "describe",
        "docs/submit.md",
    ),
)
@common.shared_options
@options.of_job
@click.option("--failed", is_flag=True, help="Of an array: only the tasks that have failed.")
@click.argument("old", metavar="JOB", type=values.JOB)
@click.argument("argv", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
@click.pass_context
def command(
    context: click.Context, /, old: str, failed: bool, follow_log: bool, replace: bool, dry_run: bool, **flags: Any
) -> None:
    """Launch a job again with the flags that launched it, and with the .env of now.

    Flags that are given here take the place of those: -c and -- COMMAND of each other, --mount and --node-type of all
    of theirs; --env only of the variables that it names. --no-train, --no-large-shm and the like turn a flag off.

    The new job is named by --name; else train becomes train-2, or with --replace stays train.
    """
    if failed and flags["array"]:
        raise click.UsageError("--failed and --array exclude each other: give one of them.")
    shared: common.Shared = context.obj
    jobs = common.reach(shared).jobs
    job = jobs.find(old)
    if not job.submission:
        raise RefusedError(
            f"{old} does not tell with which flags it was launched: submit it with `{common.line(shared, 'run')}`."
        )
    kept = submission.decode(job.submission)
    _check(context, kept)
    if replace:
        kept = changed(kept, name=old)
    elif kept.name:  # else it is made anew, of the time
        kept = changed(kept, name=next_name(old, {job.name for job in jobs.all(everybody=True)}))
    if failed:
        kept = changed(kept, array=_failed(job, kept.array or ""))
    given = {name: value for name, value in flags.items() if _is_given(context, name, value)}
    context.exit(run.launch(shared, merge(kept, given), follow_log=follow_log, replace=replace, dry_run=dry_run))


def _failed(job: Workload, array: str) -> str:
    """The indices of the tasks that have failed, as --array takes them; as many at a time as before."""
    if not job.tasks or not job.tasks.failed:
        raise RefusedError(
            f"no task of {job.name} has failed ({job.tasks.text})."
            if job.tasks
            else f"{job.name} is no array, or one of run:ai, which tells of no task: leave out --failed, or name tasks "
            "by --array."
        )
    _, percent, at_once = array.partition("%")
    return f"{compress(job.tasks.failed)}{percent}{at_once}"


def merge(kept: Flags, given: Mapping[str, Any]) -> Flags:
    """The flags of a job with those that are given in their place. Pure."""
    other = dict(given)
    if "env" in given:
        other["env"] = {**kept.env, **given["env"]}
    if "line" in given or "argv" in given:
        other = {"line": None, "argv": (), **other}
    return changed(kept, **other)


def next_name(old: str, taken: Collection[str]) -> str:
    """The name with its number raised, to one that is not taken: train, train-2, train-3. Pure."""
    match = re.fullmatch(r"(.+?)(?:-([1-9]\d{0,3}))?", old)
    assert match  # noqa: S101  # a name is not empty
    base, number = match[1], int(match[2] or 1)
    names = (f"{base[: LONGEST - len(str(n))].rstrip('-')}-{n}" for n in itertools.count(number + 1))
    return next(name for name in names if name not in taken)


def _is_given(context: click.Context, name: str, value: object) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE and value != ()


def _check(context: click.Context, kept: Flags) -> None:
    """See that `run` takes these flags: they may have been changed by hand, or be of another version."""
    kept = changed(kept, sweep=None)  # the file may be gone: its rows are with the flags
    try:
        run.command.make_context("run", typed.words(kept), obj=context.obj)
    except click.UsageError as error:
        raise RefusedError(
            f"{context.params['old']} tells flags that cannot be used: {error.format_message()} "
            f"Submit it with `{common.line(context.obj, 'run')}`."
        ) from None
