"""The tasks of a Job that is an array. Kubernetes counts them from 0, whatever their indices. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mlo_submit import array
from mlo_submit.array import Array
from mlo_submit.kube import JSON
from mlo_submit.labels import ARRAY
from mlo_submit.tasks import GONE
from mlo_submit.workload import Pod, Tasks

RANK: Final = "batch.kubernetes.io/job-completion-index"
"""The label and the annotation of a pod with its place in the Job."""


def tasks(job: Mapping[str, Any]) -> Tasks | None:
    """How far they are, by the Job's own account; None where it is no array."""
    text = (job["metadata"].get("annotations") or {}).get(ARRAY, "")
    spec, status = job["spec"], job.get("status") or {}
    try:
        indices = array.expand(text)
    except ValueError:
        return None
    if len(indices) != spec.get("completions"):  # somebody changed one of them
        return None
    at_once = spec.get("parallelism")
    return Tasks(
        array=Array(indices, at_once if at_once and at_once < len(indices) else None),
        succeeded=_at(indices, status.get("completedIndexes", "")),
        failed=_at(indices, status.get("failedIndexes", "")),
        running=status.get("ready", 0),
    )


def waits(job: Mapping[str, Any]) -> bool:
    """Whether the Job is an array of which pods are made, and none runs."""
    status = job.get("status") or {}
    return (
        ARRAY in (job["metadata"].get("annotations") or {}) and bool(status.get("active")) and not status.get("ready")
    )


def _at(indices: Sequence[int], places: str) -> tuple[int, ...]:
    return tuple(indices[place] for place in array.expand(places)) if places else ()


def alone(job: Mapping[str, Any], pods: Sequence[JSON], of: Tasks, index: int) -> tuple[JSON, list[JSON]]:
    """One task as a Job with its only pod: what is the task's takes the place of what is all tasks'.

    Args:
        job: as the API has it.
        pods: those of the task that are there.
        of: the tasks of the Job.
        index: of the task.
    """
    status = job.get("status") or {}
    conditions = status.get("conditions") or []
    if index in of.succeeded:
        conditions = [{"type": "Complete", "status": "True"}]
    elif index in of.failed:
        conditions = [{"type": "Failed", "status": "True", "message": GONE}]
    ends = [
        ended["finishedAt"]
        for pod in pods
        for container in pod.get("status", {}).get("containerStatuses") or []
        if (ended := (container.get("state") or {}).get("terminated"))
    ]
    spec = {**job["spec"], "completions": 1, "backoffLimit": job["spec"].get("backoffLimitPerIndex", 0)}
    its = {"conditions": conditions, **({"completionTime": max(ends)} if ends else {})}
    annotations = {key: value for key, value in (job["metadata"].get("annotations") or {}).items() if key != ARRAY}
    own = {**job, "metadata": {**job["metadata"], "annotations": annotations}, "spec": spec, "status": its}
    return own, [_first(pod) for pod in pods]


def _first(pod: JSON) -> JSON:
    annotations = {**(pod["metadata"].get("annotations") or {}), RANK: "0"}
    return {**pod, "metadata": {**pod["metadata"], "annotations": annotations}}


def last_of_each(pods: Sequence[Pod], of: Tasks) -> list[Pod]:
    """Of pods in the order of their creation, the last of each task that failed; their ranks are the indices then."""
    last = {of.array.indices[pod.rank]: pod for pod in pods if pod.rank < len(of.array.indices)}
    return [replace(last[index], rank=index) for index in of.failed if index in last]
