"""Where a job can run. A backend is a package that has what `Backend` names; `load` is the table of them.

    manifest / command   what a job becomes: pure
    launch               sends it
    jobs                 the jobs that are there: `Jobs`

The names of backends are part of --help: this module imports what it needs when it needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

if TYPE_CHECKING:
    from mlo_submit.editor import Address
    from mlo_submit.env import Config
    from mlo_submit.job import Job
    from mlo_submit.machine import Machine
    from mlo_submit.queues import Queues
    from mlo_submit.secret import Secret
    from mlo_submit.workload import Event, Leftover, LogCommand, LogView, Pod, Workload

Name = Literal["runai", "kubernetes", "docker"]

BACKENDS: Final[tuple[Name, ...]] = ("runai", "kubernetes", "docker")


class Backend(Protocol):
    """What the commands need of a backend."""

    REQUIRED: frozenset[str]
    """The keys of .env that `run` cannot do without."""

    NEEDED: frozenset[str]
    """The keys of .env without which the jobs cannot be seen."""

    def preview(self, job: Job, machine: Machine) -> str:
        """What `submit` would send, to be read: the rendering of `render(job)`.

        Raises:
            MloError: the backend cannot run such a job.
        """

    def submit(self, job: Job, secret: Secret, machine: Machine, *, sync: bool, replace: bool) -> None:
        """Launch the job. `sync` mirrors .env first; `replace` deletes a finished job of that name.

        Raises:
            MloError: it is not launched.
        """

    def connect(self, config: Config, machine: Machine) -> Jobs:
        """Reach the jobs that are there.

        Raises:
            UnavailableError: no cluster, engine or tool.
            LoginError: not logged in.
        """


class Jobs(Protocol):
    """The jobs of a backend. Every method may raise UnavailableError, LoginError or RefusedError.

    Methods that return an argv leave it to the caller to run it: with a terminal, with a pipe, again after it broke.
    """

    @property
    def user(self) -> str:
        """Whose jobs are `mine`: what `Workload.user` is for them."""

    def all(self, *, everybody: bool = False) -> list[Workload]:
        """My jobs, or everybody's, newest first."""

    def find(self, name: str, index: int | None = None) -> Workload:
        """The job of that name, whoever's it is; with an index, that task of an array.

        Raises:
            RefusedError: there is none.
        """

    def failures(self, job: Workload) -> list[Pod]:
        """Of an array: the last pod of each task that failed, by their indices, which are the pods' ranks.

        Pods that are gone are missing; a job that is no array has none.
        """

    def events(self, job: Workload) -> list[Event]:
        """What happened to the job, oldest first."""

    def log(self, job: Workload, pod: Pod, view: LogView) -> LogCommand:
        """The program that prints a pod's log."""

    def execute(self, job: Workload, pod: Pod, argv: Sequence[str], *, tty: bool) -> list[str]:
        """The program that runs an argv in a pod, with its standard streams; `tty` gives it a terminal."""

    def forward(self, job: Workload, pod: Pod, local: int, remote: int) -> list[str]:
        """The program that listens on a port of this machine (127.0.0.1) and passes it on to a port of the pod."""

    def address(self, job: Workload, pod: Pod) -> Address:
        """Where an editor finds the container of a pod."""

    def delete(self, job: Workload, *, now: bool) -> None:
        """Begin to delete the job and all that is its own. Its grace period holds, unless `now`.

        It is gone when `find` no longer finds it.
        """

    def stop(self, job: Workload) -> None:
        """Set the job aside, with its grace period: its pods end, and `resume` makes new ones."""

    def resume(self, job: Workload) -> None:
        """Let a stopped job go on."""

    def queues(self) -> Queues:
        """The queues in which my jobs wait, as far as the backend tells."""

    def leftovers(self, gone: Sequence[str]) -> list[Leftover]:
        """What of mine no job uses any more, once the jobs named `gone` have been deleted too."""

    def remove(self, leftover: Leftover) -> None:
        """Delete what `leftovers` found."""


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
    from mlo_submit import kubeconfig

    if kubeconfig.has_context(machine):
        return "kubernetes", "the kubeconfig has a context"
    return "docker", "there is neither a runai on PATH nor a kubeconfig with a context"
