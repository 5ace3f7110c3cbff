"""`mlo-submit run`: launch a job."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from mlo_submit import backends, env
from mlo_submit import secret as secrets
from mlo_submit.commands import common, options
from mlo_submit.commands.manual import Page
from mlo_submit.commands.secret import sync
from mlo_submit.errors import note, warn
from mlo_submit.job import Flags, from_flags

# A flag of `run` that stands in for a key of .env.
INSTEAD = {"image": "RUNAI_IMAGE", "secret_name": "RUNAI_SECRET_NAME", "pvc": "SCRATCH_PVC"}


@click.command(
    cls=Page,
    short_help="Launch a job.",
    examples={
        "Train on one GPU; the job ends with its command": "mlo-submit run -g 1 --train -- python train.py --lr 3e-4",
        "Work in a pod for four hours": "mlo-submit run -n sandbox -g 1 -t 4h && mlo-submit shell sandbox",
        "A shell line, with its output and its exit code": "mlo-submit run --follow -c 'make data && python train.py'",
        "See what would be sent, and send nothing": "mlo-submit run --dry-run --backend kubernetes -- python train.py",
        "Four pods of eight GPUs": "mlo-submit run -n big -g 8 --workers 3 -- torchrun train.py",
    },
    see_also=(
        "logs",
        "shell",
        "rerun",
        "describe",
        "docs/submit.md",
    ),
)
@common.shared_options
@options.of_job
@click.option("--sync-secret-only", is_flag=True, help="Mirror .env into the Secret, and launch nothing.")
@click.argument("argv", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
@click.pass_context
def command(
    context: click.Context,
    /,
    follow_log: bool,
    replace: bool,
    dry_run: bool,
    sync_secret_only: bool,
    **flags: Any,
) -> None:
    """Launch a job: COMMAND after --, as it is, or a shell line with -c; without either, a pod that waits for you.

    It runs in your zsh set-up, in WORKING_DIR or --exp-folder.
    """
    shared: common.Shared = context.obj
    if sync_secret_only:
        sync(shared, common.read(shared), flags["secret_name"], adopt=False, dry_run=dry_run)
        return
    context.exit(launch(shared, Flags(**flags), follow_log=follow_log, replace=replace, dry_run=dry_run))


def launch(shared: common.Shared, flags: Flags, *, follow_log: bool, replace: bool, dry_run: bool) -> int:
    """Launch a job, or show what would be sent. Returns the exit code: with `follow_log` the job's own."""
    if problems := _conflicts(flags):
        raise click.UsageError(" ".join(problems))
    machine = shared.machine
    file = common.read(shared)
    name, why = backends.choose(shared.backend, file.values.get("MLO_BACKEND"), machine)
    if flags.kind and name != "kubernetes":
        raise click.UsageError(f"--kind is for the backend kubernetes, and this job is for {name} ({why}).")
    backend = backends.load(name)
    instead = {key for flag, key in INSTEAD.items() if getattr(flags, flag)}
    config = env.configure(file, machine, backend.REQUIRED - instead)
    common.tell(config)
    try:
        job = from_flags(config, flags, datetime.now())
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if job.retries and not job.training:
        warn("--retries is for training jobs, and this one is interactive: add --train.")
    note(f"Backend: {name} ({why}).")
    if dry_run:
        click.echo(backend.preview(job, machine), nl=False)
        return 0
    secret = secrets.from_config(config, flags.secret_name)
    backend.submit(job, secret, machine, sync=not flags.skip_secret_sync, replace=replace)
    note(f"{job.name} is submitted. Next:")
    enter = ("logs", "--index", str(job.array.indices[0])) if job.array else ("shell",)
    for words in (("logs", "-f"), enter, ("describe",), ("delete",)):
        note(f"  {common.line(shared, *words, job.name)}")
    if not follow_log:
        click.echo(job.name)
        return 0
    from mlo_submit.commands.logs import to_the_end
    from mlo_submit.follow import Wanted

    return to_the_end(shared, lambda: backend.connect(config, machine), job.name, Wanted())


def _conflicts(flags: Flags) -> list[str]:
    """Which flags do not go together, and why."""
    command = flags.line or flags.argv
    array = flags.array is not None or flags.sweep
    rules = (
        (flags.line and flags.argv, "-c and -- COMMAND exclude each other: give one of them."),
        (
            flags.stop_when_idle and (flags.train or flags.workers or array),
            "--stop-when-idle is for interactive jobs: a training job ends with its command.",
        ),
        (
            flags.wait_for_master and not (flags.workers and command),
            "--wait-for-master is for a command that runs with --workers.",
        ),
        (flags.kind and not flags.workers, "--kind is for a job with --workers: any other is a Job."),
        (array and flags.workers, "--workers is not for an array: each of its tasks is a pod of its own."),
        (array and not command, "An array needs a command to run for each index: -- COMMAND, or -c LINE."),
        ((flags.array or "").startswith("%") and not flags.sweep, "--array needs indices, such as 0-99%8."),
    )
    return [text for wrong, text in rules if wrong]
