"""A JobSet, whose one child is the Job that it would be otherwise. Pure.

What Kubernetes does for a Job it does for the child: grace, pods that come back after a disruption, and the exit codes
after which nothing is tried again. The JobSet starts all ranks anew when one fails, and makes their Service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlo_submit.backends.kubernetes import manifest
from mlo_submit.job import Job, rendezvous
from mlo_submit.kube import JSON

TITLE: str = "JobSet"
API: str = "apis/jobset.x-k8s.io/v1alpha2"
PLURAL: str = "jobsets"
CONTAINER: str = manifest.CONTAINER
POD_LABEL: str = "jobset.sigs.k8s.io/jobset-name"

CHILD = "ranks"  # in the child's name: NAME-ranks-0
MAKER: tuple[str, str, str] = ("Job", "FailedCreate", f"-{CHILD}-0")

ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"
OVER = "FailJobSetFailurePolicyAction"
"""The reason of a JobSet whose child failed so that it does not start anew."""

NEWS = {
    "RestartJobSetFailurePolicyAction": "a rank failed: all start anew",
    **dict.fromkeys(("AllJobsCompleted", "ReachedMaxRestarts", OVER, "SuspendedJobs", "ResumeJobs"), ""),
}


def suffix(job: Job) -> str:
    """The child's, the rank, and the five characters that make the name of a pod unique."""
    return f"-{CHILD}-0-{job.workers}-abcde"


def render(job: Job) -> JSON:
    """The JobSet. Retries are its own: those of a rank alone would meet others in the middle of their work."""
    child = manifest.render(replace(job, retries=0), rendezvous(job, f"{job.name}-{CHILD}-0-0.{job.name}"))
    ttl = child["spec"].pop("ttlSecondsAfterFinished", None)
    final = {"name": "final", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
    return {
        "apiVersion": API.removeprefix("apis/"),
        "kind": TITLE,
        "metadata": child["metadata"],
        "spec": {
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True, "subdomain": job.name},
            "failurePolicy": {"maxRestarts": job.retries, "rules": [final]},
            "successPolicy": {"operator": "All"},
            **({"ttlSecondsAfterFinished": ttl} if ttl is not None else {}),
            "replicatedJobs": [{"name": CHILD, "replicas": 1, "template": {"spec": child["spec"]}}],
        },
    }


def service(job: Job) -> JSON | None:
    """The controller makes it."""
    return None


def as_job(found: JSON) -> JSON:
    """Its child, with the state of the whole."""
    spec, status = found["spec"], found.get("status") or {}
    left = (spec.get("failurePolicy") or {}).get("maxRestarts", 0) - status.get("restartsCountTowardsMax", 0)
    child = spec["replicatedJobs"][0]["template"]["spec"]
    return {
        "metadata": found["metadata"],
        "spec": {**child, "suspend": spec.get("suspend", False), "backoffLimit": max(left, 0)},
        "status": {
            "conditions": [_condition(each, child) for each in status.get("conditions") or []],
            "failed": status.get("restarts", 0),
        },
    }


def _condition(condition: Mapping[str, Any], child: JSON) -> JSON:
    changed = {"type": "Complete"} if condition["type"] == "Completed" else {}
    if condition.get("reason") == OVER and "activeDeadlineSeconds" in child:  # an older version's
        changed = {"reason": "DeadlineExceeded"}
    return {**condition, **changed}


def as_pods(found: JSON, pods: Sequence[JSON]) -> list[JSON]:
    """Those of the last start."""
    attempt = (found.get("status") or {}).get("restarts", 0)
    return [pod for pod in pods if int(pod["metadata"]["labels"].get(ATTEMPT, 0)) >= attempt]


def suspension(suspended: bool) -> JSON:
    """The controller suspends the child."""
    return {"suspend": suspended}


def news(event: Mapping[str, Any]) -> str | None:
    """What the JobSet and its child tell."""
    return NEWS.get(event.get("reason", ""))
