"""Starts the container of a job, with its secrets beside it."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace as changed
from pathlib import Path

from mlo_submit import process, shell
from mlo_submit.backends.docker import engine, secretfiles, stops, words
from mlo_submit.backends.docker.command import names, network, render
from mlo_submit.errors import MloError, RefusedError, UnavailableError, note, warn
from mlo_submit.job import Job
from mlo_submit.labels import MANAGED_BY, OURS, RANK
from mlo_submit.machine import Machine
from mlo_submit.secret import Secret
from mlo_submit.workload import ENDED

PULL_ERRORS = re.compile(
    "pull access denied|manifest unknown|manifest for|No such image|failed to resolve|dial tcp|registry"
)


def preview(job: Job, machine: Machine) -> str:
    """The `docker run` of each container as a shell line, after that of their network where they are several."""
    return "".join(f"{shell.join(argv)}\n" for argv in _all(_here(job, machine), machine))


def _all(job: Job, machine: Machine) -> list[list[str]]:
    directory = secretfiles.directory_of(job, machine)
    containers = [render(job, directory, rank) for rank in range(job.workers + 1)]
    return [network(job), *containers] if job.workers else containers


def _here(job: Job, machine: Machine) -> Job:
    """The job as this machine can run it: without GPUs where there are none, its mounts as absolute paths.

    Raises:
        RefusedError: it is an array.
    """
    if job.array:
        raise RefusedError(
            "Docker has no queue for the tasks of an array on this one machine: leave out --array and --sweep, and run "
            f"one task, with --env MLO_ARRAY_INDEX={job.array.indices[0]}; or choose another --backend."
        )
    if job.priority:
        raise RefusedError("Docker has no queue, and no priority in it: leave --priority out.")
    if job.gpus and not machine.has_gpu:
        warn(f"this machine has no NVIDIA GPU: {job.name} runs without the {job.gpus} that it asks for.")
    mounts = tuple(changed(mount, source=str(machine.path(mount.source))) for mount in job.mounts)
    return changed(job, gpus=job.gpus if machine.has_gpu else 0, mounts=mounts)


def submit(job: Job, secret: Secret, machine: Machine, *, sync: bool, replace: bool) -> None:
    """Start the container, with its secrets in a directory of its own; there is no Secret to mirror."""
    secretfiles.sweep(machine)
    job = _here(job, machine)
    for mount in job.mounts:
        if not Path(mount.source).exists():
            raise RefusedError(f"--mount {mount.source}:{mount.target}: there is no {mount.source} on this machine.")
    directory = secretfiles.directory_of(job, machine)
    values = {key: secret.values[key] for key in job.config.secret_keys}
    tool = changed(machine, environ={**machine.environ, **values}) if job.secret_files is False else machine
    with secretfiles.locked(directory):
        _clear_name(job, machine, replace=replace)
        _make_scratch(job, machine)
        _pull(job, machine)
        secretfiles.write(directory, values)
        if job.workers:
            engine.remove_networks(machine, job.name)  # of an earlier job, whose containers were deleted by hand
        try:
            _start(job, machine, tool)
        except (MloError, KeyboardInterrupt):
            if directory:
                shutil.rmtree(directory)
            raise


def _start(job: Job, machine: Machine, tool: Machine) -> None:
    """Start all containers, or none. `tool` is the machine with the environment of `docker run`."""
    made = 0
    try:
        with process.uninterrupted():
            for argv in _all(job, machine):
                made += 1
                result = process.run(tool, argv)
                if result.code:
                    # What has its name now is ours, unless somebody else was first.
                    taken = "is already in use by container" in result.stderr or "already exists" in result.stderr
                    made -= taken
                    raise _refusal(job, result.stderr)
    except (MloError, KeyboardInterrupt):
        _take_back(job, machine, made)
        raise


def _take_back(job: Job, machine: Machine, done: int) -> None:
    """Remove what the first commands of a launch have made: a network where there are several, and containers."""
    containers = done - 1 if job.workers else done
    for name in names(job)[: max(containers, 0)]:
        if made := engine.named(machine, name):
            engine.ask(machine, "rm", "--force", made["Id"])
    if job.workers and done:
        engine.remove_networks(machine, job.name)


def _refusal(job: Job, stderr: str) -> RefusedError | UnavailableError:
    if engine.down(stderr):
        return UnavailableError(engine.no_engine(stderr))
    reason = engine.reason(stderr)
    if PULL_ERRORS.search(reason):
        return RefusedError(_no_image(job.image, reason))
    if f'exec: "{shell.ZSH}"' in reason:
        return RefusedError(
            f"the image {job.image} has no {shell.ZSH}, in which a job's command runs: name one that has, as those of "
            "docker/build.sh do."
        )
    return RefusedError(f"Docker does not start {job.name}: {reason}")


def _no_image(image: str, reason: str) -> str:
    return (
        f"the image {image} cannot be pulled: {reason} Check its name, log in to its registry (`docker login`), "
        "or build it here."
    )


def _clear_name(job: Job, machine: Machine, *, replace: bool) -> None:
    """See that no container has the job's name, deleting a finished one of ours when asked."""
    there = engine.named(machine, job.name)
    if there is None:
        return
    if there["Config"]["Labels"].get(MANAGED_BY) != OURS:
        raise RefusedError(f"there is a container {job.name} already, not made by mlo-submit: choose another --name.")
    mates = engine.mates(machine, job.name) if RANK in there["Config"]["Labels"] else [there]
    found = words.workload(mates, stops.read(machine, job.name))
    state = found.state
    if state not in ENDED:
        raise RefusedError(
            f"there is a job {job.name} already, and it is {state}: choose another --name, or delete it first with "
            f"`mlo-submit delete {job.name}`."
        )
    if not replace:
        raise RefusedError(
            f"there is a finished job {job.name} already: replace it with --replace, or choose another --name."
        )
    engine.ask(machine, "rm", *(mate["Id"] for mate in mates))
    if RANK in there["Config"]["Labels"]:
        engine.remove_networks(machine, job.name)
    stops.remove(machine, job.name)


def _pull(job: Job, machine: Machine) -> None:
    """Pull an image that is not here, which may take a while, where the user sees how far it is."""
    if job.config.pull_policy == "Never" or not engine.ask(machine, "image", "inspect", job.image).code:
        return
    note(f"The image {job.image} is not on this machine: pulling it.")
    if process.stream(machine, ["docker", "pull", job.image], to_stderr=True):
        raise RefusedError(_no_image(job.image, "see above."))


def _make_scratch(job: Job, machine: Machine) -> None:
    """The local scratch: a directory where the pod's user, whose id may be nobody's here, can make their home.

    Ours is open to all like /tmp, in a parent that nobody else can enter.
    """
    scratch = job.config.local_scratch
    if scratch == machine.data / "scratch":
        machine.data.mkdir(parents=True, exist_ok=True)
        machine.data.chmod(0o700)
        scratch.mkdir(exist_ok=True)
        if scratch.stat().st_uid == machine.uid:
            scratch.chmod(0o1777)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    state = scratch.stat()
    writable = state.st_mode & 0o002 or (state.st_uid, state.st_mode & 0o200) == (job.uid, 0o200)
    if not writable and (state.st_gid, state.st_mode & 0o020) != (job.gid, 0o020):
        warn(
            f"{scratch} (owner {state.st_uid}:{state.st_gid}, mode {state.st_mode & 0o7777:o}) does not let the pod's "
            f"user ({job.uid}:{job.gid}) write there: chmod 1777 {scratch}, or make LDAP_UID and LDAP_GID its owner's."
        )
