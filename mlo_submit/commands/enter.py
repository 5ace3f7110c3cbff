"""`mlo-submit shell`, `exec` and `code`: be in a job."""

from __future__ import annotations

import posixpath
import sys
from functools import partial

import click

from mlo_submit import editor as editors
from mlo_submit import process, session
from mlo_submit.commands import common, values
from mlo_submit.commands.arrival import arrive, index_option, look
from mlo_submit.commands.manual import Page
from mlo_submit.errors import MloError, RefusedError, note
from mlo_submit.workload import Pod

worker_option = click.option(
    "--worker",
    "rank",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    default=0,
    help="The pod of a job with several: 0 is the master.",
)


@click.command(
    cls=Page,
    short_help="Open a shell in a job.",
    examples={
        "A shell in a job": "mlo-submit shell train",
        "In the third pod of several": "mlo-submit shell --worker 2 train",
    },
    see_also=(
        "exec",
        "code",
        "port-forward",
        "docs/managing_workflows.md",
    ),
)
@common.shared_options
@worker_option
@index_option
@click.argument("job", type=values.JOB)
@click.pass_context
def shell(context: click.Context, job: str, rank: int, index: int | None) -> None:
    """Open a shell in a job: as you, in its working directory (or --exp-folder), with its environment.

    A job that does not run yet is waited for. The exit code is the shell's.
    """
    context.exit(_enter(context.obj, job, rank, index))


@click.command(
    "exec",
    cls=Page,
    short_help="Run a command in a job.",
    examples={
        "What the GPUs do": "mlo-submit exec train -- nvidia-smi",
        "Fetch a directory": "mlo-submit exec train -- tar c results | tar x",
    },
    see_also=(
        "shell",
        "code",
        "docs/managing_workflows.md",
    ),
)
@common.shared_options
@worker_option
@index_option
@click.argument("job", type=values.JOB)
@click.argument("argv", nargs=-1, metavar="-- COMMAND...", type=click.UNPROCESSED)
@click.pass_context
def execute(context: click.Context, job: str, rank: int, index: int | None, argv: tuple[str, ...]) -> None:
    """Run a command in a job: as you, in its working directory (or --exp-folder), with its environment.

    The words reach the command as they are. It has your terminal, or what is piped in and out; its exit code is ours.
    """
    if not argv:
        raise click.UsageError(f"name a command behind --, or open a shell: {common.line(context.obj, 'shell', job)}")
    context.exit(_enter(context.obj, job, rank, index, *argv))


def _enter(shared: common.Shared, name: str, rank: int, index: int | None, *command: str) -> int:
    """Run a command, or a shell, in a pod that runs. Returns its exit code."""
    line = partial(common.line, shared)
    reached = common.reach(shared)
    job, pod = arrive(reached.jobs, name, rank, line, index)
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    term = reached.machine.environ.get("TERM", "") if tty else ""
    argv = session.argv(command, folder=session.folder_of(job), term=term)
    code = process.attach(reached.machine, reached.jobs.execute(job, pod, argv, tty=tty))
    if code:
        # The command ended so, or its pod did.
        try:
            found = look(reached.jobs.find(name, index), rank, line)
        except MloError as error:
            note(error.message)
        else:
            if not isinstance(found, Pod):
                note(f"The pod {pod.name} is gone: {found}. Once it runs, enter it with `{line('shell', name)}`.")
    return code


@click.command(
    cls=Page,
    short_help="Open an editor in a job.",
    examples={
        "VS Code at the job's working directory": "mlo-submit code train",
        "Cursor at another directory": "mlo-submit code --editor cursor train /mloscratch/hf_cache",
    },
    see_also=(
        "shell",
        "port-forward",
        "docs/managing_workflows.md",
    ),
)
@common.shared_options
@worker_option
@index_option
@click.option(
    "--editor",
    type=click.Choice(editors.EDITORS),
    default=editors.EDITORS[0],
    show_default=True,
    help="The editor to open.",
)
@click.argument("job", type=values.JOB)
@click.argument("path", metavar="[DIR]", default="")
@click.pass_obj
def code(shared: common.Shared, job: str, rank: int, index: int | None, editor: editors.Editor, path: str) -> None:
    """Open VS Code or Cursor in a job, at its working directory (or --exp-folder), or at DIR in there.

    Without the editor on this machine, its address of the job is printed.
    """
    reached = common.reach(shared)
    machine, jobs = reached.machine, reached.jobs
    found, pod = arrive(jobs, job, rank, partial(common.line, shared), index)
    folder = path if path.startswith("~") else posixpath.join(session.folder_of(found), path)
    asked = jobs.execute(found, pod, session.argv(["pwd"], folder=folder), tty=False)
    answer = process.run(machine, asked, timeout=session.BOOT + 15)
    if answer.code:
        raise RefusedError(f"{path or 'the working directory'} cannot be opened in {job}: {answer.stderr.strip()}")
    place = answer.stdout.removesuffix("\n")
    address = jobs.address(found, pod)
    uri = editors.uri(editor, address, place)
    needs = editors.needs(editor, address)
    if machine.which(editor):
        if process.stream(machine, [editor, "--folder-uri", uri], to_stderr=True):
            raise RefusedError(f"{editor} does not open {uri}: see above. {needs}")
        note(f"{editor} opens {place} in {job}. {needs}")
    else:
        click.echo(uri)
        note(f"`{editor}` is not on PATH. On a machine that has it: {editor} --folder-uri '{uri}'")
        note(f"Or in its window: {editors.by_hand(address)}. {needs}")
