"""A batch/v1 Job, as a kind. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlo_submit.backends.kubernetes import manifest
from mlo_submit.job import Job
from mlo_submit.kube import JSON

TITLE: str = "Job"
API: str = "apis/batch/v1"
PLURAL: str = "jobs"
CONTAINER: str = manifest.CONTAINER
POD_LABEL: str = "job-name"
MAKER: tuple[str, str, str] = ("Job", "FailedCreate", "")


def suffix(job: Job) -> str:
    """The index of the last pod."""
    return f"-{manifest.count(job) - 1}"


def render(job: Job) -> JSON:
    """The Job."""
    return manifest.render(job)


def service(job: Job) -> JSON | None:
    """That of several pods."""
    return manifest.service(job) if job.workers else None


def as_job(found: JSON) -> JSON:
    """Itself."""
    return found


def as_pods(found: JSON, pods: Sequence[JSON]) -> list[JSON]:
    """Themselves."""
    return list(pods)


def suspension(suspended: bool) -> JSON:
    """Kubernetes deletes the pods of a suspended Job."""
    return {"suspend": suspended}


def news(event: Mapping[str, Any]) -> str | None:
    """As of any Job."""
    return None
