"""What waits before a job: queues, their quota, and my jobs in them; as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from mlo_submit import table


@dataclass(frozen=True, kw_only=True)
class Resource:
    """How much of a resource is used of a quota, in Kubernetes' units; `quota` is None where it may not be seen."""

    name: str
    flavor: str
    used: str
    quota: str | None


@dataclass(frozen=True, kw_only=True)
class QueuedJob:
    """A job of mine. `before` counts the jobs that wait before it, None: it was admitted. They are `exact`ly those that
    share its quota, or else only those of its queue."""

    name: str
    before: int | None = None
    exact: bool = True
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue. `waiting` and `admitted` count everybody's jobs that came through it."""

    name: str
    cluster_queue: str
    waiting: int
    admitted: int
    resources: tuple[Resource, ...]
    jobs: tuple[QueuedJob, ...]


@dataclass(frozen=True, kw_only=True)
class Queues:
    """The queues that I may use, and a sentence of what cannot be told, or why there is none."""

    queues: tuple[Queue, ...] = ()
    note: str = ""


def to_json(queue: Queue) -> Mapping[str, object]:
    """A queue as `--json` prints it; docs/json.md tells of its fields."""
    return asdict(queue)


def as_text(queue: Queue) -> list[str]:
    """A queue as lines."""
    counts = f"{queue.admitted} admitted, {queue.waiting} waiting"
    lines = [f"{queue.name} (ClusterQueue {queue.cluster_queue}): {counts}"]
    for resource in queue.resources:
        of = f" of {resource.quota}" if resource.quota is not None else ""
        lines.append(f"  {resource.used}{of} {resource.name} used ({resource.flavor})")
    columns = {
        "JOB": [job.name for job in queue.jobs],
        "BEFORE": ["" if job.before is None else f"{'' if job.exact else '≥'}{job.before}" for job in queue.jobs],
        "REASON": [job.reason or ("admitted" if job.before is None else "waits") for job in queue.jobs],
    }
    if queue.jobs:
        lines += ["", *(f"  {table.printable(line)}" for line in map(str.rstrip, table.grid(columns)))]
    return lines
