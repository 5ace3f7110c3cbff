"""`mlo-submit list` and `mlo-submit describe`: what is there, and why it is so."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

import click

from mlo_submit import table, terminal
from mlo_submit.commands import common, values
from mlo_submit.commands.arrival import index_option
from mlo_submit.commands.manual import Page
from mlo_submit.errors import INTERRUPTED, MloError, RefusedError, note
from mlo_submit.workload import STATES, State, Workload, to_json

READ = 10.0  # seconds that a pod may take to tell of itself


@click.command(
    cls=Page,
    short_help="Show your jobs, newest first.",
    examples={
        "Show jobs as they change": "mlo-submit list --watch",
        "Wait or run, and nothing else": "mlo-submit list --state Pending --state Running",
        "In a script": "mlo-submit list --json | jq -r '.[].name'",
    },
    see_also=(
        "describe",
        "queue",
        "cleanup",
        "docs/managing_workflows.md",
        "docs/json.md",
    ),
)
@common.shared_options
@click.option("-w", "--watch", is_flag=True, help="Show them as they change, until q or Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array; docs/json.md tells of its fields.")
@click.option("-q", "--quiet", is_flag=True, help="Only their names, one a line.")
@click.option("-A", "--all-users", is_flag=True, help="Those of everybody.")
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES, case_sensitive=False),
    multiple=True,
    help="Only those in this state. Repeatable.",
)
@click.pass_context
def list_jobs(
    context: click.Context, watch: bool, as_json: bool, quiet: bool, all_users: bool, states: tuple[State, ...]
) -> None:
    """Show your jobs, newest first. A terminal's lines are cut to fit; what is piped never is."""
    if watch + as_json + quiet > 1:
        raise click.UsageError("--watch, --json and --quiet exclude each other: give one of them.")
    if watch and not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal: in a script, call `mlo-submit list --json` again.")
    shared: common.Shared = context.obj
    reached: common.Reached | None = None

    def ask() -> list[Workload]:
        nonlocal reached
        reached = reached or common.reach(shared)
        try:
            found = reached.jobs.all(everybody=all_users)
        except MloError:
            reached = None  # until the next question the user may log in again
            raise
        return [job for job in found if not states or job.state in states]

    jobs = ask()
    if as_json:
        # A job a line: for line-wise tools, and since the json module is slow where it indents.
        click.echo("[" + ",".join("\n" + json.dumps(to_json(job)) for job in jobs) + ("\n]" if jobs else "]"))
    elif watch:
        _watch(context, ask, jobs, users=all_users)
    elif quiet:
        click.echo("".join(f"{job.name}\n" for job in jobs), nl=False)
    elif jobs:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        now = datetime.now().astimezone()
        click.echo("\n".join(table.render(jobs, now, width=width, users=all_users, paint=terminal.paint)))
    if not jobs and not as_json and not watch:
        note(_none(shared, states, all_users=all_users))


def _none(shared: common.Shared, states: Sequence[State], *, all_users: bool) -> str:
    whose = "There is no job" if all_users else "You have no job"
    if states:
        return f"{whose} that is {' or '.join(states)}: `{common.line(shared, 'list')}` shows those in any state."
    everybody = "" if all_users else f", and `{common.line(shared, 'list', '--all-users')}` shows everybody's"
    return f"{whose}. `{common.line(shared, 'run')} -- COMMAND` launches one{everybody}."


def _watch(context: click.Context, ask: Callable[[], list[Workload]], jobs: list[Workload], *, users: bool) -> None:
    from mlo_submit import live

    def draw(jobs: list[Workload], trouble: str, columns: int, lines: int) -> list[str]:
        now = datetime.now().astimezone()
        head = f"no answer, and so this is how it was: {trouble}" if trouble else f"{now:%H:%M:%S}  q ends this"
        count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
        head = table.cut(table.printable(f"{count}  {head}"), columns)
        body = table.render(jobs[:lines], now, width=columns, users=users, paint=terminal.paint) if jobs else []
        if len(body) > lines - 2:
            body[lines - 3 :] = ["…"]
        found = [click.style(head, fg="red") if trouble else head, "", *body]
        return found if context.color is not False else [click.unstyle(line) for line in found]

    try:
        live.show(ask, jobs, draw)
    except KeyboardInterrupt:
        context.exit(INTERRUPTED)


@click.command(
    cls=Page,
    short_help="Tell all about a job, and why it is so.",
    examples={
        "Why a job waits or failed, in one line": "mlo-submit describe --why train",
        "All of it": "mlo-submit describe train",
        "One task of an array": "mlo-submit describe --index 17 sweep",
    },
    see_also=(
        "list",
        "logs",
        "queue",
        "docs/managing_workflows.md",
        "docs/json.md",
    ),
)
@common.shared_options
@click.option("--why", "why_alone", is_flag=True, help="Only why it is in its state, as one line.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON object; docs/json.md tells of its fields.")
@index_option
@click.argument("job", type=values.JOB)
@click.pass_obj
def describe(shared: common.Shared, job: str, why_alone: bool, as_json: bool, index: int | None) -> None:
    """Tell all about a job: what was asked, where it runs, what happened to it, why it is so, and what to do next."""
    from mlo_submit import advice, detail, submission, tasks
    from mlo_submit.commands import typed

    if why_alone and as_json:
        raise click.UsageError("--why and --json exclude each other: give one of them.")
    reached = common.reach(shared)
    found = reached.jobs.find(job, index)
    if why_alone:
        click.echo(advice.why(found))
        return
    try:
        flags = submission.decode(found.submission) if found.submission else None
    except RefusedError:  # another version's
        flags = None
    boot, idle = _inside(reached, found)
    failures = tasks.failures(found.tasks, reached.jobs.failures(found)) if found.tasks else []
    all_of_it = detail.Detail(
        job=found,
        failures=failures,
        events=reached.jobs.events(found),
        boot=boot,
        idle=idle,
        submitted=asdict(flags) if flags else None,
        hint=advice.hint(found, partial(common.line, shared)),
    )
    if as_json:
        click.echo(json.dumps(detail.as_json(all_of_it), indent=2))
        return
    command = common.line(shared, "run", *typed.words(flags)) if flags else ""
    click.echo("\n".join(detail.as_text(all_of_it, command, datetime.now().astimezone(), terminal.paint)))


def _inside(reached: common.Reached, job: Workload) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """What a pod that runs tells of its boot and of its idleness; None where it does not, or may not be asked."""
    from mlo_submit import detail, process

    pod = next((pod for pod in job.pods if pod.state == "Running"), None)
    if pod is None:
        return None, None
    argv = reached.jobs.execute(job, pod, ["cat", *detail.FILES], tty=False)
    try:
        return detail.told(process.run(reached.machine, argv, timeout=READ).stdout)
    except MloError:
        return None, None
