"""What Kubernetes says of a Job and its pods, as a `Workload` in the user's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mlo_submit.backends.kubernetes.manifest import CONTAINER, GPU
from mlo_submit.kube import JSON
from mlo_submit.labels import COMPONENT, SUBMISSION, USER
from mlo_submit.workload import Pod, State, Workload, parse_time

STOPPED = "mlo-submit/stopped"
RANK = "batch.kubernetes.io/job-completion-index"


def workload(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Workload:
    """A Job and its pods, in any order."""
    metadata, spec, status = job["metadata"], job["spec"], job.get("status", {})
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    container = spec["template"]["spec"]["containers"][0]
    history = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    newest = tuple({rank_of(pod): pod for pod in history}.values())
    seen = tuple(sorted(map(pod_of, newest), key=lambda pod: pod.rank))
    state, reason, code = _state(job, seen, history)
    return Workload(
        name=metadata["name"],
        backend="kubernetes",
        user=labels.get(USER, ""),
        kind="training" if labels.get(COMPONENT) == "training" else "interactive",
        state=state,
        reason=reason,
        image=container.get("image", ""),
        gpus=int(((container.get("resources") or {}).get("limits") or {}).get(GPU, 0)),
        created=datetime.fromisoformat(metadata["creationTimestamp"].replace("Z", "+00:00")),
        started=parse_time(status.get("startTime")) if state not in ("Pending", "Starting") else None,
        finished=parse_time(status.get("completionTime") or (finished(job) or {}).get("lastTransitionTime")),
        restarts=sum(pod.restarts for pod in seen) + len(history) - len(newest),
        exit_code=code,
        pods=seen,
        submission=annotations.get(SUBMISSION, ""),
    )


def finished(job: Mapping[str, Any]) -> JSON | None:
    """The condition with which a Job ended; None while it has not."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return dict(condition)
    return None


def _state(
    job: Mapping[str, Any], pods: Sequence[Pod], history: Sequence[Mapping[str, Any]]
) -> tuple[State, str, int | None]:
    end = finished(job)
    code = next((pod.exit_code for pod in pods if pod.exit_code), None)
    if end and end["type"] == "Complete":
        return "Succeeded", "", 0
    if end:
        if end.get("reason") == "DeadlineExceeded":
            return "Failed", "time limit", 143
        failed = next((pod.reason for pod in pods if pod.state == "Failed"), "")
        return "Failed", failed or end.get("message", ""), code
    if job["metadata"].get("deletionTimestamp"):
        return "Stopping", "is being deleted", code
    if job["spec"].get("suspend"):
        if STOPPED in (job["metadata"].get("annotations") or {}):
            return "Stopped", "", None
        return "Pending", "waits in its queue", None
    gone = sum(bool(disruption(pod)) for pod in history)
    worst = _first(pods, ("Preempted", "Failed", "Pending", "Starting", "Stopping", "Running", "Succeeded"))
    if worst is None:
        return "Pending", "its pod is not made yet", None
    if worst.state == "Failed":
        return "Pending", f"tried again after: {worst.reason}", None
    if worst.state == "Pending" and gone:
        return "Preempted", worst.reason, None
    return worst.state, worst.reason or (f"preempted {gone} times" if gone else ""), None


def _first(pods: Iterable[Pod], order: Sequence[State]) -> Pod | None:
    return min(pods, key=lambda pod: order.index(pod.state), default=None)


def rank_of(pod: Mapping[str, Any]) -> int:
    """The index of a pod in its Job."""
    return int((pod["metadata"].get("annotations") or {}).get(RANK, 0))


def pod_of(pod: Mapping[str, Any]) -> Pod:
    """A pod as Kubernetes describes it."""
    status = pod.get("status", {})
    container = _container(pod)
    state = container.get("state", {})
    ended = state.get("terminated") or {}
    kind, reason = _pod_state(pod, state)
    return Pod(
        name=pod["metadata"]["name"],
        state=kind,
        reason=reason,
        rank=rank_of(pod),
        node=pod["spec"].get("nodeName", ""),
        restarts=container.get("restartCount", 0),
        exit_code=ended.get("exitCode"),
        created=parse_time(pod["metadata"]["creationTimestamp"]),
        started=parse_time((state.get("running") or ended or {}).get("startedAt") or status.get("startTime")),
        finished=parse_time(ended.get("finishedAt")),
    )


def _container(pod: Mapping[str, Any]) -> JSON:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return dict(next((status for status in statuses if status["name"] == CONTAINER), statuses[0] if statuses else {}))


def disruption(pod: Mapping[str, Any]) -> str:
    """Why the cluster took a pod away; empty where it did not."""
    found = _condition(pod, "DisruptionTarget")
    return str(found.get("message") or found.get("reason")) if found.get("status") == "True" else ""


def _condition(pod: Mapping[str, Any], kind: str) -> JSON:
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition["type"] == kind:
            return dict(condition)
    return {}


def _pod_state(pod: Mapping[str, Any], state: JSON) -> tuple[State, str]:
    status = pod.get("status", {})
    phase = status.get("phase", "Pending")
    if phase == "Succeeded":
        return "Succeeded", ""
    if why := disruption(pod):
        return "Preempted", why
    if phase == "Failed":
        return "Failed", ending(state.get("terminated") or {}, _memory(pod)) or status.get("message") or ""
    if pod["metadata"].get("deletionTimestamp"):
        return "Stopping", ""
    if phase == "Running":
        return "Running", ""
    waiting = state.get("waiting") or {}
    placed = _condition(pod, "PodScheduled")
    if placed.get("status") != "True":
        return "Pending", placement(placed.get("message", "")) or "waits for a node"
    reason = waiting.get("reason", "")
    if reason in ("", "ContainerCreating", "PodInitializing"):
        return "Starting", ""
    return "Starting", waiting_for(reason, waiting.get("message", ""), pod["spec"]["containers"][0]["image"])


def _memory(pod: Mapping[str, Any]) -> str:
    return str(((pod["spec"]["containers"][0].get("resources") or {}).get("limits") or {}).get("memory", ""))


def ending(terminated: Mapping[str, Any], memory: str) -> str:
    """How a container ended, in words."""
    code = terminated.get("exitCode")
    if terminated.get("reason") == "OOMKilled" or "out of memory" in terminated.get("message", ""):
        return f"OOM killed at {memory}" if memory else "OOM killed"
    if code is None:
        return ""
    if code > 128:
        return f"ended by signal {code - 128}"
    return f"exit code {code}" if code else ""


def waiting_for(reason: str, message: str, image: str) -> str:
    """What a container that was placed waits for."""
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        return f"the image {image} cannot be pulled: {message or reason}"
    return message or reason


def placement(message: str) -> str:
    """The scheduler's message, as what the user can do something about."""
    if claim := re.search(r'persistentvolumeclaim "([^"]+)" not found', message):
        return f"PVC {claim[1]} does not exist"
    return message
