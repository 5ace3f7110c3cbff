"""Where a job can run. A backend is a module that has what `Backend` names; `load` is the table of them.

The names of backends are part of --help: this module imports what it needs when it needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

if TYPE_CHECKING:
    from mlo_submit.job import Job
    from mlo_submit.machine import Machine
    from mlo_submit.secret import Secret

Name = Literal["runai", "kubernetes", "docker"]

BACKENDS: Final[tuple[Name, ...]] = ("runai", "kubernetes", "docker")


class Backend(Protocol):
    """What `run` needs of a backend."""

    REQUIRED: frozenset[str]
    """The keys of .env that it cannot do without."""

    def preview(self, job: Job, machine: Machine) -> str:
        """What `submit` would send, to be read: the rendering of `render(job)`.

        Raises:
            MloError: the backend cannot run such a job.
        """

    def submit(self, job: Job, secret: Secret, machine: Machine, *, sync: bool, replace: bool) -> Mapping[str, str]:
        """Launch the job. `sync` mirrors .env first; `replace` deletes a finished job of that name.

        Returns the user's next commands, by what they do: describe, logs, shell, delete.

        Raises:
            MloError: it is not launched.
        """

    def follow(self, job: Job, machine: Machine) -> int:
        """Print the job's output until it ends. Returns its exit code."""


def load(name: Name) -> Backend:
    """The backend of that name."""
    if name == "runai":
        from mlo_submit.backends import runai

        return runai
    if name == "kubernetes":
        from mlo_submit.backends import kubernetes

        return kubernetes
    from mlo_submit.backends import docker

    return docker


def choose(given: str | None, configured: str | None, machine: Machine) -> tuple[Name, str]:
    """The backend to use, and why it is that one. A MLO_BACKEND that names none is `env.configure`'s to refuse."""
    if given:
        return cast(Name, given), "--backend"
    if configured in BACKENDS:
        return configured, "MLO_BACKEND"
    if machine.which("runai"):
        return "runai", "runai is on PATH"
    from mlo_submit import kube

    if kube.has_context(machine):
        return "kubernetes", "the kubeconfig has a context"
    return "docker", "there is neither a runai on PATH nor a kubeconfig with a context"
