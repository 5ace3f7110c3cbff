"""What a backend tells of a job that was launched: one shape for all of them, and its JSON.

    Workload     a job, or a task of an array: what was asked, its state, and why it is so
    ├── Pod      where it runs: a pod, or a container of Docker's
    └── Tasks    of an array: how far its tasks are, however many

Built by the backends; everything that shows a job reads nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, get_args

from mlo_submit.array import Array, compress

State = Literal["Pending", "Starting", "Running", "Preempted", "Stopping", "Stopped", "Succeeded", "Failed"]
"""Pending: no place yet. Starting: image and volumes are on their way. Preempted: gave way, and waits for a new place.
Stopping: was asked to end. Stopped: set aside by `stop`, until `resume`."""

STATES: Final[tuple[State, ...]] = get_args(State)
ENDED: Final[frozenset[State]] = frozenset({"Succeeded", "Failed"})

TIME_LIMIT: Final = "time limit"
"""The reason of a pod and of a job that had no time left."""

Kind = Literal["interactive", "training"]


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod of a job. `name` is what the backend's own tools call it; `rank` is 0 for the master, or the only one."""

    name: str
    state: State
    reason: str = ""
    rank: int = 0
    node: str = ""
    restarts: int = 0
    exit_code: int | None = None
    created: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """How far the tasks of an array are. `succeeded` and `failed` are indices, ascending; `running` is a number."""

    array: Array
    succeeded: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    running: int = 0

    @property
    def text(self) -> str:
        """For people: 97/100 done, 2 failed."""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"{len(self.succeeded)}/{len(self.array.indices)} done{failed}"

    @property
    def begun(self) -> bool:
        """Whether any has run, as far as one can tell."""
        return bool(self.running or self.succeeded or self.failed)

    @property
    def unfinished(self) -> tuple[int, ...]:
        """The indices that have not ended, ascending: those that run come first, mostly."""
        ended = {*self.succeeded, *self.failed}
        return tuple(index for index in self.array.indices if index not in ended)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A job as its backend knows it. Times are aware; `gpus` is for each pod; `pods` are the newest of each rank.

    An array has `tasks`, and no pods: they would be too many to ask for. One of its tasks, asked for by its `index`, is
    like a job of its own, with its pod.
    """

    name: str
    backend: str
    user: str
    kind: Kind
    state: State
    reason: str = ""
    """Why it is in this state, in the user's words; empty where the state says it all."""
    image: str = ""
    gpus: int = 0
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    restarts: int = 0
    exit_code: int | None = None
    pods: tuple[Pod, ...] = ()
    tasks: Tasks | None = None
    index: int | None = None
    made_as: str = "job"
    """What it is there, where its backend has several kinds: a key of the table of Kubernetes' kinds."""
    submission: str = field(default="", repr=False)
    """What `mlo_submit.submission` wrote of the flags; empty where the job was launched otherwise."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED

    @property
    def title(self) -> str:
        """What a message calls it: train, or task 7 of train."""
        return self.name if self.index is None else f"task {self.index} of {self.name}"

    @property
    def nodes(self) -> tuple[str, ...]:
        """Where it runs, each node once."""
        return tuple(dict.fromkeys(pod.node for pod in self.pods if pod.node))


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a job, in plain words."""

    at: datetime
    text: str
    warning: bool = False


@dataclass(frozen=True, kw_only=True)
class LogView:
    """Which part of a log to show. `tail` counts lines; `previous` is the run before the last restart."""

    follow: bool = False
    since: datetime | None = None
    tail: int | None = None
    previous: bool = False


@dataclass(frozen=True, kw_only=True)
class LogCommand:
    """The program that prints a pod's log; `stamped`: each line starts with its time (RFC 3339) and a space.

    `tail`: how many of its last lines are wanted, where it cannot choose them itself.
    """

    argv: tuple[str, ...]
    stamped: bool
    tail: int | None = None


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """What a job left behind and no job uses any more: `kind` is Secret, Service, or secret files."""

    kind: str
    name: str


def parse_time(text: str | None) -> datetime | None:
    """An RFC 3339 time, with any number of digits after the second; None for none, and for the year 1 of Docker."""
    if not text or text.startswith("0001-"):
        return None
    moment, dot, rest = text.replace("Z", "+00:00").partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        moment += f".{rest[:digits][:6]:0<6}{rest[digits:]}"
    return datetime.fromisoformat(moment)


def to_json(job: Workload) -> Mapping[str, object]:
    """A job as `--json` prints it: every field, times in RFC 3339, absent values as null."""
    return {
        "name": job.name,
        "backend": job.backend,
        "user": job.user,
        "kind": job.kind,
        "state": job.state,
        "reason": job.reason,
        "image": job.image,
        "gpus": job.gpus,
        "created": _text(job.created),
        "started": _text(job.started),
        "finished": _text(job.finished),
        "restarts": job.restarts,
        "exit_code": job.exit_code,
        "pods": [
            {
                "name": pod.name,
                "rank": pod.rank,
                "state": pod.state,
                "reason": pod.reason,
                "node": pod.node,
                "restarts": pod.restarts,
                "exit_code": pod.exit_code,
                "created": _text(pod.created),
                "started": _text(pod.started),
                "finished": _text(pod.finished),
            }
            for pod in job.pods
        ],
        "tasks": _tasks(job.tasks) if job.tasks else None,
    }


def _tasks(tasks: Tasks) -> Mapping[str, object]:
    return {
        "total": len(tasks.array.indices),
        "at_once": tasks.array.at_once,
        "running": tasks.running,
        "succeeded": len(tasks.succeeded),
        "failed": len(tasks.failed),
        "indices": str(tasks.array),
        "failed_indices": compress(tasks.failed),
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
