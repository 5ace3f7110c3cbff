"""Submits a job through `runai`."""

from __future__ import annotations

import time

from mlo_submit import kubeconfig, process, shell
from mlo_submit.backends.kubernetes.launch import prepare
from mlo_submit.backends.runai.cli import (
    ANSWER,
    Cli,
    Version,
    ask,
    command,
    describe,
    find,
    group,
    probe,
    refusal,
)
from mlo_submit.backends.runai.command import MANY, render
from mlo_submit.backends.runai.listing import status_of
from mlo_submit.backends.runai.words import state_of
from mlo_submit.errors import RefusedError, UnavailableError, note, warn
from mlo_submit.job import Job
from mlo_submit.labels import MANAGED_BY, OURS
from mlo_submit.machine import Machine
from mlo_submit.secret import Secret
from mlo_submit.terminal import Waiting
from mlo_submit.workload import ENDED

DELETION = 120.0  # seconds that a finished job may take to go


def preview(job: Job, machine: Machine) -> str:
    """The `runai submit` as a shell line."""
    if not machine.which("runai"):
        version: Version = "v2" if job.config.runai_version == "v2" else "v1"
        note(f"runai is not on PATH: this is what its version {version[1]} would get (MLO_RUNAI_VERSION says which).")
        cli = Cli(version=version)
    else:
        cli = probe(machine, job)
    _check(job, cli)
    return shell.join(render(job, cli)) + "\n"


def _check(job: Job, cli: Cli) -> None:
    if job.secret_files:
        raise RefusedError("run:ai hands secrets to a pod as variables: leave --secrets files out.")
    if job.priority:
        raise RefusedError("run:ai's command line is given no priority by mlo-submit: leave --priority out.")
    if cli.version == "v2" and any(mount.read_only for mount in job.mounts):
        raise RefusedError(
            "version 2 of run:ai's command line mounts a PVC to be written only: leave ':ro' out of --mount."
        )
    if job.array:
        if cli.version == "v2" and not cli.flags >= MANY:
            raise RefusedError(
                "this version of run:ai's command line takes no array: it has no "
                f"{' and no '.join(sorted(MANY - cli.flags))}. Use its version 1, or --backend kubernetes."
            )
        end = f"more than {job.retries} failures end" if job.retries else "the first failure ends"
        warn(f"on run:ai --retries is for all tasks of an array together: {end} it, with the tasks that still run.")
    if cli.version == "v1" and job.given_grace is not None:
        warn(
            "version 1 of run:ai's command line has no grace period: --grace is left out, and the cluster's own holds."
        )
    if job.queue:
        warn(f"on run:ai the queue is the project ({job.config.project}): the queue {job.queue} is left out.")


def submit(job: Job, secret: Secret, machine: Machine, *, sync: bool, replace: bool) -> None:
    """Submit through `runai`, once the Secret is in step and the claims are known to exist."""
    cli = probe(machine, job)
    _check(job, cli)
    if kubeconfig.has_context(machine):
        prepare(kubeconfig.connect(machine, job.config.kube_context), job, secret, sync=sync)
    elif sync:
        raise UnavailableError(
            "there is no kubeconfig with a context, through which .env is mirrored into its Secret: "
            "get your cluster's, or leave the Secret as it is with --skip-secret-sync."
        )
    else:
        note("No kubeconfig has a context: whether the PVC and the namespace exist was not checked.")
    if replace:
        _delete_finished(job, cli, machine)
    result = process.run(machine, render(job, cli), timeout=ANSWER)
    if result.code and "already exist" in (result.stderr + result.stdout).lower():
        raise RefusedError(
            f"there is a job {job.name} already: choose another --name, or --replace it once it has finished."
        )
    if result.code:
        raise refusal(result, job.config)


def _delete_finished(job: Job, cli: Cli, machine: Machine) -> None:
    config, kind = job.config, group(job)
    found = describe(machine, cli.version, job.name, config, kind)
    if found is None:
        return
    labels = find(found, {"labels"}, dict)
    if labels is not None and labels.get(MANAGED_BY) != OURS:
        raise RefusedError(f"the job {job.name} was not made by mlo-submit: --replace leaves it alone.")
    status = status_of(found)
    if state_of(status) not in ENDED:
        raise RefusedError(
            f"the job {job.name} is {status or 'in an unknown state'}: --replace only deletes a finished one. "
            "Choose another --name."
        )
    ask(machine, command(cli.version, "delete", job.name, config.project, kind), config)
    deadline = time.monotonic() + DELETION
    with Waiting() as waiting:
        while describe(machine, cli.version, job.name, config, kind) is not None:
            if time.monotonic() > deadline:
                raise RefusedError(
                    f"the finished job {job.name} is not gone {DELETION:g} seconds after its deletion: try again later."
                )
            waiting.tell(f"waiting for the deletion of the finished job {job.name}")
            time.sleep(0.5)
