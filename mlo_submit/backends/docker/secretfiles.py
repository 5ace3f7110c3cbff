"""The secrets of local jobs: a directory for each job, which is there as long as it runs."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mlo_submit.backends.docker.engine import ask
from mlo_submit.errors import RefusedError
from mlo_submit.job import Job
from mlo_submit.labels import INSTANCE, MANAGED_BY, OURS
from mlo_submit.machine import Machine

# A container has the secrets of its name, or of its job where that has several.
SHOWN = f'{{{{.State}}}} {{{{.Names}}}} {{{{.Label "{INSTANCE}"}}}}'


def directory_of(job: Job, machine: Machine) -> Path | None:
    """Where the secrets of a job are to lie; None where it has none as files."""
    wanted = job.secret_files is not False and job.config.secret_keys
    return path(machine, job.name) if wanted else None


def path(machine: Machine, name: str) -> Path:
    """Where the secrets of the job of that name lie."""
    return machine.state / "secrets" / name


@contextmanager
def locked(directory: Path | None) -> Iterator[None]:
    """Keep other commands of ours away from the secrets of a job whose container does not run yet."""
    if directory is None:
        yield
        return
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.parent.chmod(0o700)
    with ExitStack() as held:
        try:
            with _lock(directory.parent):  # nobody removes the directory until it is locked, too
                directory.mkdir(mode=0o700, exist_ok=True)
                held.enter_context(_lock(directory, fcntl.LOCK_NB))
        except BlockingIOError:
            raise RefusedError(f"another mlo-submit is starting {directory.name}: see what becomes of it.") from None
        yield


@contextmanager
def _lock(directory: Path, how: int = 0) -> Iterator[None]:
    opened = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(opened)


def write(directory: Path | None, values: Mapping[str, str]) -> None:
    """One file a secret, for root in the container alone."""
    if directory is None:
        return
    for file in directory.iterdir():
        file.unlink()
    for key, value in values.items():
        file = directory / key
        file.touch(mode=0o600)
        file.write_bytes(value.encode())


def unused(machine: Machine, gone: Collection[str] = ()) -> list[str]:
    """The names of jobs that have ended or are gone, or are in `gone`, and whose secrets are still there."""
    root = path(machine, "")
    left = sorted(file.name for file in root.iterdir()) if root.is_dir() else []
    if not left:
        return []
    listed = ask(machine, "ps", "--all", "--filter", f"label={MANAGED_BY}={OURS}", "--format", SHOWN)
    if listed.code:
        return []
    lines = [line.split() for line in listed.stdout.splitlines()]
    used = {name for state, *names in lines if state not in ("exited", "dead") for name in names}
    return [name for name in left if name in gone or name not in used]


def remove(machine: Machine, name: str) -> None:
    """Remove the secrets of a job that has ended; they stay if it is being started at this moment."""
    directory = path(machine, name)
    with suppress(FileNotFoundError, BlockingIOError), _lock(directory.parent), _lock(directory, fcntl.LOCK_NB):
        shutil.rmtree(directory)


def sweep(machine: Machine) -> None:
    """Remove the secrets of all jobs that have ended or are gone."""
    for name in unused(machine):
        remove(machine, name)
