"""A PyTorchJob of Kubeflow's training operator: rank 0 is its Master, the others are its Workers. Pure.

The operator sets MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE and PET_*, and makes a Service for each rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlo_submit.backends.kubernetes import manifest, reasons
from mlo_submit.backends.kubernetes.arrays import RANK
from mlo_submit.job import Job
from mlo_submit.kube import JSON

TITLE: str = "PyTorchJob"
API: str = "apis/kubeflow.org/v1"
PLURAL: str = "pytorchjobs"
CONTAINER: str = "pytorch"  # the operator asks for this name
POD_LABEL: str = "training.kubeflow.org/job-name"
MAKER: tuple[str, str, str] = (TITLE, "FailedCreatePod", "")

REPLICA = "training.kubeflow.org/replica-type"
INDEX = "training.kubeflow.org/replica-index"


def suffix(job: Job) -> str:
    """That of the last worker: they count from 0 beside the master."""
    return f"-worker-{job.workers - 1}"


def render(job: Job) -> JSON:
    """The PyTorchJob."""
    made = manifest.render(job, {"RUNAI_NUM_OF_GPUS": str(job.gpus)})
    template = made["spec"]["template"]
    pod = {key: value for key, value in template["spec"].items() if key not in ("restartPolicy", "subdomain")}
    container = {
        **pod["containers"][0],
        "name": CONTAINER,
        # One of several ports of a Service needs a name, and the operator adds one.
        **({"ports": [{"name": "job", "containerPort": job.port}]} if job.port else {}),
    }
    replica = {
        # A container that fails is started again in its pod. The operator counts that up to this limit, for all ranks.
        "restartPolicy": "OnFailure" if job.retries else "Never",
        "template": {**template, "spec": {**pod, "containers": [container]}},
    }
    return {
        "apiVersion": API.removeprefix("apis/"),
        "kind": TITLE,
        "metadata": made["metadata"],
        "spec": {
            "nprocPerNode": str(job.gpus or 1),
            "runPolicy": {
                "cleanPodPolicy": "Running",  # nobody goes on without the others, and logs stay
                **({"backoffLimit": job.retries + 1} if job.retries else {}),
                **({"ttlSecondsAfterFinished": job.config.ttl} if job.config.ttl is not None else {}),
            },
            "pytorchReplicaSpecs": {
                "Master": {"replicas": 1, **replica},
                "Worker": {"replicas": job.workers, **replica},
            },
        },
    }


def service(job: Job) -> JSON | None:
    """The operator makes them."""
    return None


def as_job(found: JSON) -> JSON:
    """The template of its master, with the state of the whole."""
    spec, status = found["spec"], found.get("status") or {}
    policy = spec.get("runPolicy") or {}
    return {
        "metadata": found["metadata"],
        "spec": {
            "template": spec["pytorchReplicaSpecs"]["Master"]["template"],
            "suspend": policy.get("suspend", False),
            "backoffLimit": policy.get("backoffLimit", 0),
        },
        "status": {**status, "conditions": [_condition(each) for each in status.get("conditions") or []]},
    }


def _condition(condition: Mapping[str, Any]) -> JSON:
    changed = {"type": "Complete"} if condition["type"] == "Succeeded" else {}
    if "active longer than specified deadline" in condition.get("message", ""):
        changed = {"reason": "DeadlineExceeded"}
    return {**condition, **changed}


def as_pods(found: JSON, pods: Sequence[JSON]) -> list[JSON]:
    """All, with their ranks, and why a container waits that is to be started again."""
    return [_told(_ranked(pod)) for pod in pods]


def _told(pod: JSON) -> JSON:
    containers = pod.get("status", {}).get("containerStatuses") or []
    return {**pod, "status": {**pod.get("status", {}), "containerStatuses": [_waiting(each) for each in containers]}}


def _waiting(container: JSON) -> JSON:
    waits = (container.get("state") or {}).get("waiting") or {}
    ended = (container.get("lastState") or {}).get("terminated")
    if waits.get("reason") != "CrashLoopBackOff" or not ended:
        return container
    return {**container, "state": {"waiting": {"message": f"is tried again after {reasons.ending(ended, '')}"}}}


def _ranked(pod: JSON) -> JSON:
    metadata = pod["metadata"]
    marks = metadata["labels"]
    rank = int(marks.get(INDEX, 0)) + (marks.get(REPLICA) == "worker")
    return {**pod, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), RANK: str(rank)}}}


def suspension(suspended: bool) -> JSON:
    """The operator deletes the pods."""
    return {"runPolicy": {"suspend": suspended}}


def news(event: Mapping[str, Any]) -> str | None:
    """What the operator tells: what it does, which its conditions tell too, and what it sees of the pods."""
    reason, message = event.get("reason", ""), event.get("message", "")
    told = reason.startswith((TITLE, "Successful", "ExitedWithCode", "JobTerminated")) or message.startswith(
        "Error pod"
    )
    return "" if told else None
