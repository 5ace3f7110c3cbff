"""`mlo-submit logs`: show what a job prints."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial

import click

from mlo_submit.backends import Jobs
from mlo_submit.commands import common, values
from mlo_submit.commands.arrival import index_option
from mlo_submit.commands.manual import Page
from mlo_submit.errors import INTERRUPTED, note
from mlo_submit.follow import Log, Wanted, code, end
from mlo_submit.workload import LogView


@click.command(
    cls=Page,
    short_help="Show what a job prints.",
    examples={
        "Until the job ends, and then with its exit code": "mlo-submit logs -f --exit-code train",
        "The last lines of the run before the last restart": "mlo-submit logs --previous --tail 50 train",
        "One pod of several, with times": "mlo-submit logs --worker 2 --timestamps train",
    },
    see_also=(
        "describe",
        "list",
        "docs/managing_workflows.md",
    ),
)
@common.shared_options
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the job has ended.")
@click.option("--tail", metavar="LINES", type=click.IntRange(min=0), help="Only the last lines.")
@click.option("--since", metavar="DURATION", type=values.DURATION, help="Only what is not older: 10m, 2h.")
@click.option("--timestamps", is_flag=True, help="Show when each line was printed.")
@click.option("--previous", is_flag=True, help="Show the run before the last restart.")
@click.option(
    "--worker",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    help="Only this pod of several; 0 is the master.",
)
@index_option
@click.option("--exit-code", is_flag=True, help="With -f: exit with the job's exit code.")
@click.argument("job", type=values.JOB)
@click.pass_context
def command(
    context: click.Context,
    job: str,
    following: bool,
    tail: int | None,
    since: int | None,
    timestamps: bool,
    previous: bool,
    worker: int | None,
    index: int | None,
    exit_code: bool,
) -> None:
    """Show what a job prints: with -f until it has ended, however often the connection breaks.

    Every line comes once, byte for byte. A pod that starts is waited for, and one that replaces another follows it.
    The pods of a job with several are shown side by side, each line behind its pod's number. Of an array it is one
    task's, chosen by --index; without that, -f says how far it is, and what failed.
    """
    if previous and following:
        raise click.UsageError("--previous shows a run that has ended: leave out -f.")
    if exit_code and not following:
        raise click.UsageError("--exit-code needs -f, which waits for the job's end.")
    begin = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(seconds=since) if since else None
    wanted = Wanted(
        view=LogView(follow=following, since=begin, tail=tail, previous=previous),
        timestamps=timestamps,
        worker=worker,
        index=index,
    )
    shared: common.Shared = context.obj

    def connect() -> Jobs:
        return common.reach(shared).jobs

    if following:
        found = to_the_end(shared, connect, job, wanted)
        context.exit(found if exit_code or found == INTERRUPTED else 0)
    Log(shared.machine, connect, job, wanted, partial(common.line, shared)).show()


def to_the_end(shared: common.Shared, connect: Callable[[], Jobs], name: str, wanted: Wanted) -> int:
    """Show what a job prints until it has ended, and say how. Returns its exit code, or INTERRUPTED."""
    try:
        job = Log(shared.machine, connect, name, wanted, partial(common.line, shared)).follow()
    except KeyboardInterrupt:
        note(f"\n{name} goes on.")
        return INTERRUPTED
    note(end(job, datetime.now(timezone.utc)))
    return code(job)
