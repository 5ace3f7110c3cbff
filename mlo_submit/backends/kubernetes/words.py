"""What Kubernetes says of a Job and its pods, as a `Workload`. Pure; `reasons` puts the reasons into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from mlo_submit.backends.kubernetes import arrays, manifest, reasons
from mlo_submit.backends.kubernetes.arrays import RANK
from mlo_submit.backends.kubernetes.kueue import Wait
from mlo_submit.backends.kubernetes.manifest import CONTAINERS, GPU, KILLED, KUEUE_LABEL, TERMINATED
from mlo_submit.kube import JSON
from mlo_submit.labels import COMPONENT, SUBMISSION, USER
from mlo_submit.tasks import which
from mlo_submit.workload import TIME_LIMIT, Pod, State, Tasks, Workload, parse_time

STOPPED = "mlo-submit/stopped"
"""The annotation by which a Job that we suspended is told from one that waits in its queue."""

FAILURES = "batch.kubernetes.io/job-index-failure-count"
DISRUPTIONS = "batch.kubernetes.io/job-index-ignored-failure-count"

# The pod that tells why a job is not further than it is.
WORST: Final[tuple[State, ...]] = ("Preempted", "Failed", "Pending", "Starting", "Stopping", "Running", "Succeeded")

VOLUMES = (None, "ContainerCreating", "PodInitializing")
"""The reasons of a container that waits for the pod's volumes, or for its image."""

NO_WARNINGS: Final[Mapping[str, str]] = {}


def workload(
    job: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    warnings: Mapping[str, str] = NO_WARNINGS,
    wait: Wait | None = None,
) -> Workload:
    """A Job and its pods, in any order.

    Args:
        job: as the API has it.
        pods: those that are there. Of a job that succeeded they may be left out: only times, node and restarts go.
            Of an array only those that wait count, and where any of its tasks runs they may be left out, too.
        warnings: the last warning of the events, by the uid of the Job or pod, where `puzzling` asks for them.
        wait: what Kueue says of it, where it is `queued`.
    """
    metadata, spec, status = job["metadata"], job["spec"], job.get("status") or {}
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    container = spec["template"]["spec"]["containers"][0]
    history = sorted(pods, key=age)
    newest = {_rank(pod): pod for pod in history}.values()
    seen = tuple(sorted((pod_of(pod, warnings) for pod in newest), key=lambda pod: pod.rank))
    disrupted = max(sum(map(_disrupted, history)), sum(_count(pod, DISRUPTIONS) + _disrupted(pod) for pod in newest))
    replaced = max(len(history) - len(newest), sum(_count(pod, DISRUPTIONS) + _count(pod, FAILURES) for pod in newest))
    tasks = arrays.tasks(job)
    state, reason, code = _state(job, seen, disrupted, warnings.get(metadata.get("uid", ""), ""), wait, tasks)
    ended = finished(job)
    started = min((pod.started for pod in seen if pod.started), default=None)
    if tasks:
        seen = ()
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
        started=started or (parse_time(status.get("startTime")) if ended or (tasks and state == "Running") else None),
        finished=parse_time(status.get("completionTime") or ended.get("lastTransitionTime")) if ended else None,
        restarts=sum(pod.restarts for pod in seen) + replaced if seen else _tried_again(job, tasks),
        exit_code=code,
        pods=seen,
        tasks=tasks,
        submission=annotations.get(SUBMISSION, ""),
    )


def finished(job: Mapping[str, Any]) -> JSON:
    """The condition with which a Job ended; empty while it has not."""
    return _condition(job, "Complete") or _condition(job, "Failed")


def queued(job: Mapping[str, Any]) -> bool:
    """Whether the Job waits in a queue of Kueue, or is being taken back to it."""
    metadata = job["metadata"]
    waits = (
        bool(job["spec"].get("suspend")) and not finished(job) and STOPPED not in (metadata.get("annotations") or {})
    )
    return waits and KUEUE_LABEL in (metadata.get("labels") or {})


def puzzling(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> str:
    """The kind of object whose events explain what itself does not: "Job" where no pod is made, "Pod" where its volumes
    do not come; else empty."""
    if finished(job) or job["spec"].get("suspend"):
        return ""
    placed = (pod for pod in pods if pod.get("status", {}).get("phase") == "Pending" and pod["spec"].get("nodeName"))
    if pods or (job.get("status") or {}).get("active"):
        return "Pod" if any(_waiting(pod).get("reason") in VOLUMES for pod in placed) else ""
    return "Job"


def _tried_again(job: Mapping[str, Any], tasks: Tasks | None) -> int:
    """How many failures another try followed, as the Job counts them: the last of a pod or a task is none of them."""
    failed: int = (job.get("status") or {}).get("failed", 0)
    last: int = job["spec"].get("completions", 1) if finished(job).get("type") == "Failed" else 0
    return max(failed - (len(tasks.failed) if tasks else last), 0)


def _state(
    job: Mapping[str, Any],
    pods: Sequence[Pod],
    disrupted: int,
    warning: str,
    wait: Wait | None,
    tasks: Tasks | None,
) -> tuple[State, str, int | None]:
    """The state, why it is so, and the exit code where there is one."""
    metadata, status, ended = job["metadata"], job.get("status") or {}, finished(job)
    worst = min(pods, key=lambda pod: WORST.index(pod.state), default=None)
    failure = first_failure(pods)
    if ended.get("type") == "Complete":
        return "Succeeded", worst.reason if worst else "", 0
    if ended.get("reason") == "DeadlineExceeded":  # an older version's
        return "Failed", TIME_LIMIT, TERMINATED
    if ended and tasks and tasks.failed:
        return "Failed", which(tasks.failed), None
    if ended:
        if failure:
            return "Failed", of_rank(failure, pods), failure.exit_code
        return "Failed", ended.get("message", ""), None
    if metadata.get("deletionTimestamp"):
        return "Stopping", "is being deleted", None
    if ending := _condition(job, "FailureTarget"):
        over = TIME_LIMIT if ending.get("reason") == "DeadlineExceeded" else ending.get("message", "")
        return "Stopping", of_rank(failure, pods) if failure and over != TIME_LIMIT else over, None
    if job["spec"].get("suspend"):
        if any(pod.state in ("Running", "Stopping") for pod in pods) or (
            tasks and (status.get("active") or status.get("terminating"))
        ):
            return "Stopping", (wait.gave_way if wait else "") or "is being set aside", None
        if STOPPED in (metadata.get("annotations") or {}):
            return "Stopped", "", None
        if wait:
            return "Preempted" if wait.gave_way else "Pending", wait.text, None
        queue = (metadata.get("labels") or {}).get(KUEUE_LABEL, "")
        return "Pending", f"waits in the queue {queue}" if queue else "is suspended", None
    if tasks and tasks.begun and (tasks.running or not (worst and worst.reason)):  # between two tasks it runs, too
        return "Running", f"failed so far: {which(tasks.failed)}" if tasks.failed else "", None
    often = f"preempted {reasons.times(disrupted)}" if disrupted else ""
    if worst is None:
        if not tasks and (job.get("status") or {}).keys() & {"active", "succeeded"}:
            return "Running", "", None  # its pods have just succeeded, and `list` does not ask for such
        return "Pending", reasons.creation(warning) or "its pod is not made yet", None
    if worst.state == "Failed":
        spec = job["spec"]
        if not spec.get("backoffLimit") or worst.exit_code in manifest.final_codes(spec):
            return "Stopping", of_rank(worst, pods), None  # Kubernetes says so in a moment
        return "Pending", f"is tried again after {of_rank(worst, pods)}", None
    if worst.state == "Preempted":
        return "Preempted", _joined(worst.reason, often if disrupted > 1 else ""), None
    state: State = "Preempted" if worst.state == "Pending" and disrupted else worst.state
    return state, _joined(worst.reason, often), None


def first_failure(pods: Sequence[Pod]) -> Pod | None:
    """The pod for whose sake the job failed: the others were ended then, maybe within the same second."""
    failed = [pod for pod in pods if pod.state == "Failed"]
    late = datetime.max.replace(tzinfo=timezone.utc)
    return min(
        failed,
        key=lambda pod: (pod.finished or late, pod.reason != TIME_LIMIT, pod.exit_code in (KILLED, TERMINATED)),
        default=None,
    )


def of_rank(pod: Pod, pods: Sequence[Pod]) -> str:
    """A pod's reason, with its rank where it is one of several. All have the same time."""
    return f"{pod.reason} (rank {pod.rank})" if (len(pods) > 1 or pod.rank) and pod.reason != TIME_LIMIT else pod.reason


def _joined(*texts: str) -> str:
    return "; ".join(filter(None, texts))


def pod_of(pod: Mapping[str, Any], warnings: Mapping[str, str] = NO_WARNINGS) -> Pod:
    """A pod as the API has it; `warnings` as of `workload`."""
    container = _status(pod)
    state = container.get("state") or {}
    ended = state.get("terminated") or {}
    kind, reason = _pod_state(pod, warnings.get(pod["metadata"].get("uid", ""), ""))
    return Pod(
        name=pod["metadata"]["name"],
        state=kind,
        reason=reason,
        rank=_rank(pod),
        node=pod["spec"].get("nodeName", ""),
        restarts=container.get("restartCount", 0),
        exit_code=ended.get("exitCode"),
        created=parse_time(pod["metadata"]["creationTimestamp"]),
        started=parse_time((state.get("running") or ended).get("startedAt")),
        finished=parse_time(ended.get("finishedAt")),
    )


def _pod_state(pod: Mapping[str, Any], warning: str) -> tuple[State, str]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    phase = status.get("phase", "Pending")
    ended = (_status(pod).get("state") or {}).get("terminated") or {}
    going = "deletionTimestamp" in metadata
    if phase == "Succeeded":
        return "Succeeded", reasons.ending(ended, "")
    if (phase == "Failed" or going) and (why := disruption(pod)):
        return "Preempted", why
    if phase == "Failed" and status.get("reason") == "DeadlineExceeded":  # a task of an older version
        return "Failed", TIME_LIMIT
    if phase == "Failed":
        said = reasons.eviction(status.get("message", "")) or status.get("reason", "")
        return "Failed", reasons.ending(ended, asked(pod, "limits").get("memory", "")) or said
    if going:
        return "Stopping", status.get("message", "") if status.get("reason") == "NodeLost" else ""
    waiting = _waiting(pod)
    if phase == "Running":
        return ("Running", "") if not waiting else ("Starting", _waited_for(pod, waiting, ""))
    scheduled = _any_condition(pod, "PodScheduled")
    if scheduled.get("status") != "True" and not pod["spec"].get("nodeName"):
        return "Pending", reasons.placement(scheduled.get("message", ""), asked(pod, "requests")) or "waits for a node"
    return "Starting", _waited_for(pod, waiting, warning)


def _waited_for(pod: Mapping[str, Any], waiting: Mapping[str, Any], warning: str) -> str:
    """What a container that has its node waits for."""
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in VOLUMES:
        return reasons.configuration(warning)
    if reason in reasons.PULL_FAILURES:
        return reasons.pull(_container(pod).get("image", ""), reason, message)
    return reasons.configuration(message) or reason


def disruption(pod: Mapping[str, Any]) -> str:
    """Why the cluster takes a pod away, or took it; empty where it does not."""
    found = _condition(pod, "DisruptionTarget")
    return reasons.disruption(found.get("reason", ""), found.get("message", "")) if found else ""


def _disrupted(pod: Mapping[str, Any]) -> bool:
    return pod_of(pod).state == "Preempted"


def age(pod: Mapping[str, Any]) -> tuple[str, bool]:
    """Sorts pods: oldest first; of the same second, the one that goes on last."""
    return pod["metadata"]["creationTimestamp"], pod.get("status", {}).get("phase") not in ("Failed", "Succeeded")


def _rank(pod: Mapping[str, Any]) -> int:
    return _count(pod, RANK)


def _count(pod: Mapping[str, Any], annotation: str) -> int:
    return int((pod["metadata"].get("annotations") or {}).get(annotation, 0))


def _container(pod: Mapping[str, Any]) -> JSON:
    return _ours(pod["spec"]["containers"])


def _status(pod: Mapping[str, Any]) -> JSON:
    return _ours(pod.get("status", {}).get("containerStatuses") or [])


def _ours(containers: Sequence[Mapping[str, Any]]) -> JSON:
    """The job's own among the containers of a pod; run:ai names it otherwise."""
    return dict(
        next((each for each in containers if each.get("name") in CONTAINERS), containers[0] if containers else {})
    )


def _waiting(pod: Mapping[str, Any]) -> JSON:
    return (_status(pod).get("state") or {}).get("waiting") or {}


def asked(pod: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    """What the job's container asks for: its `requests`, or its `limits`. A Job's template will do for a pod."""
    return (_container(pod).get("resources") or {}).get(kind) or {}


def _any_condition(found: Mapping[str, Any], kind: str) -> JSON:
    return next((dict(each) for each in found.get("status", {}).get("conditions") or [] if each["type"] == kind), {})


def _condition(found: Mapping[str, Any], kind: str) -> JSON:
    """A condition that is true; empty where there is none."""
    condition = _any_condition(found, kind)
    return condition if condition.get("status") == "True" else {}
