"""The secrets of local jobs: a directory for each job, which goes with it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlo_submit.backends.docker.engine import ask
from mlo_submit.errors import RefusedError
from mlo_submit.job import Job
from mlo_submit.labels import MANAGED_BY, OURS
from mlo_submit.machine import Machine


def directory_of(job: Job, machine: Machine) -> Path | None:
    """Where the secrets of a job lie while it runs; None where it has none as files."""
    wanted = job.secret_files is not False and job.config.secret_keys
    return all_of(machine) / job.name if wanted else None


def all_of(machine: Machine) -> Path:
    """The directory of these directories."""
    return machine.state / "secrets"


@contextmanager
def locked(job: Job, directory: Path | None) -> Iterator[None]:
    """Keep `sweep` and other submissions away from the secrets of a job whose container is not made yet."""
    if directory is None:
        yield
        return
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.parent.chmod(0o700)
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RefusedError(f"another mlo-submit is submitting {job.name}: choose another --name.") from None
    finally:
        os.close(lock)


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


def sweep(machine: Machine) -> None:
    """Remove the secrets of jobs that have ended or are gone."""
    root = all_of(machine)
    left = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    if not left:
        return
    listed = ask(machine, "ps", "--all", "--filter", f"label={MANAGED_BY}={OURS}", "--format", "{{.Names}} {{.State}}")
    if listed.code:
        return
    states = dict(line.split(" ", 1) for line in listed.stdout.splitlines() if " " in line)
    for name in left:
        if states.get(name, "gone") in ("gone", "exited", "dead"):
            _remove_unlocked(root / name)


def _remove_unlocked(directory: Path) -> None:
    try:
        lock = os.open(directory, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory, ignore_errors=True)
    except BlockingIOError:
        pass  # a submission that has not made its container yet
    finally:
        os.close(lock)
