"""A backend in memory: jobs that end when they are told to, for what commands do with any backend's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from mlo_submit import submission
from mlo_submit.errors import MloError, RefusedError
from mlo_submit.job import Flags
from mlo_submit.workload import ENDED, Leftover, Pod, State, Workload

USER = "jdoe"


@dataclass
class Shelf:
    """The parts of `mlo_submit.backends.Jobs` that end jobs and launch them again; `done` tells what was asked for."""

    there: dict[str, Workload] = field(default_factory=dict)
    left: list[Leftover] = field(default_factory=list)
    refuses: dict[str, MloError] = field(default_factory=dict)
    looks: int = 0
    """How many looks a change takes."""
    done: list[str] = field(default_factory=list)
    user: str = USER
    _changes: dict[str, tuple[int, Workload | None]] = field(default_factory=dict)

    def put(self, name: str, state: State = "Running", *, ago: float = 0, **other: Any) -> Workload:
        """Add a job that was made, and, if it has ended, ended so many seconds ago."""
        at = datetime.now(timezone.utc) - timedelta(seconds=ago)
        job = Workload(
            name=name,
            backend="docker",
            kind="training",
            state=state,
            created=at,
            **{
                "user": USER,
                "started": at,
                "finished": at if state in ENDED else None,
                "submission": submission.encode(Flags(name=name)),
                "pods": (Pod(name=name, state=state),),
                **other,
            },
        )
        self.there[name] = job
        return job

    def _after_looks(self, name: str, job: Workload | None) -> None:
        self._changes[name] = self.looks, job

    def all(self, *, everybody: bool = False) -> list[Workload]:
        for name, (looks, job) in list(self._changes.items()):
            self._changes[name] = looks - 1, job
            if looks > 0:
                continue
            del self._changes[name]
            self.there.pop(name)
            if job:
                self.there[name] = job
        return [job for job in self.there.values() if everybody or job.user == self.user]

    def find(self, name: str) -> Workload:
        if name not in self.there:
            raise RefusedError(f"there is no job {name} here: `mlo-submit list` shows yours.")
        return self.there[name]

    def _ask(self, what: str, name: str) -> None:
        if name in self.refuses:
            raise self.refuses[name]
        self.done.append(f"{what} {name}")

    def delete(self, job: Workload, *, now: bool) -> None:
        self._ask("kill" if now else "delete", job.name)
        self._after_looks(job.name, None)

    def stop(self, job: Workload) -> None:
        self._ask("stop", job.name)
        self._after_looks(job.name, replace(job, state="Stopped", pods=()))

    def resume(self, job: Workload) -> None:
        self._ask("resume", job.name)
        self._after_looks(job.name, replace(job, state="Pending"))

    def leftovers(self, gone: Sequence[str]) -> list[Leftover]:
        self.done.append(f"look for what is left without {' '.join(gone)}".rstrip())
        return list(self.left)

    def remove(self, leftover: Leftover) -> None:
        self._ask("remove", leftover.name)
        self.left.remove(leftover)
