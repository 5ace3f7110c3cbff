"""What commands say of an array's tasks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlo_submit.array import compress
from mlo_submit.errors import RefusedError
from mlo_submit.workload import Pod, Tasks, Workload

GONE = "its pod is gone, and the reason with it"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Tasks that failed alike."""

    indices: tuple[int, ...]
    reason: str
    exit_code: int | None


def failures(tasks: Tasks, pods: Iterable[Pod]) -> list[Failure]:
    """The tasks that failed, those with one reason together, by their lowest index. `pods` are theirs, by rank."""
    of = {pod.rank: pod for pod in pods}
    alike: dict[tuple[str, int | None], list[int]] = {}
    for index in tasks.failed:
        pod = of.get(index)
        key = (pod.reason or "it does not say why", pod.exit_code) if pod else (GONE, None)
        alike.setdefault(key, []).append(index)
    return [Failure(indices=tuple(found), reason=reason, exit_code=code) for (reason, code), found in alike.items()]


def named(indices: Iterable[int], most: int = 60) -> str:
    """Indices for people: 3, 17, 40-42. What is longer than so many characters is cut."""
    text = compress(indices, ", ")
    return text if len(text) <= most else text[: text.rindex(", ", 0, most)] + ", …"


def which(indices: Sequence[int]) -> str:
    """Tasks in a sentence: task 3; tasks 3, 17, 40-42."""
    return f"task{'' if len(indices) == 1 else 's'} {named(indices)}"


def check(job: Workload, index: int | None) -> None:
    """See that a job has a task of that index.

    Raises:
        RefusedError: it has none.
    """
    if index is None:
        return
    if not job.tasks:
        raise RefusedError(f"{job.name} is no array: leave out --index.")
    if index not in job.tasks.array.indices:
        raise RefusedError(f"{job.name} has no task {index}. Its indices: {named(job.tasks.array.indices)}.")


def choose(job: Workload) -> RefusedError | None:
    """Why an array will not do where one of its tasks is wanted; None for any other job."""
    tasks = job.tasks
    if not tasks:
        return None
    likely = (tasks.failed if job.ended else tasks.unfinished) or tasks.array.indices
    failed = f" Failed: {named(tasks.failed)}." if tasks.failed else ""
    return RefusedError(
        f"{job.name} is an array of {len(tasks.array.indices)} tasks ({tasks.text}): name one, such as "
        f"--index {likely[0]}. Its indices: {named(tasks.array.indices)}.{failed}"
    )
