"""What a job can be on Kubernetes: `KINDS`, a module each. Pure.

    job          a Job of Kubernetes' own; of several pods, with a Service
    jobset       a JobSet (jobset.x-k8s.io), whose one child is such a Job
    pytorchjob   a PyTorchJob of Kubeflow's training operator

Everything else knows Jobs alone: a kind tells how its objects and their pods look as those of a Job.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from mlo_submit import kube
from mlo_submit.backends.kubernetes import indexedjob, jobset, pytorchjob, words
from mlo_submit.backends.kubernetes.kueue import Wait
from mlo_submit.env import Kind as Name
from mlo_submit.job import Job
from mlo_submit.kube import JSON
from mlo_submit.workload import Workload


class Kind(Protocol):
    """What the rest of the backend needs of a kind."""

    TITLE: str
    """What the API calls it."""
    API: str
    """Where the API has it: apis/GROUP/VERSION."""
    PLURAL: str
    CONTAINER: str
    """The container of its pods that is the job."""
    POD_LABEL: str
    """The label of its pods that holds its name."""
    MAKER: tuple[str, str, str]
    """Whose events tell why a pod is not made: their kind, their reason, and what its name adds to that of the job."""

    def suffix(self, job: Job) -> str:
        """The longest that the name of a pod adds to that of the job."""

    def render(self, job: Job) -> JSON:
        """The object as the API takes it."""

    def service(self, job: Job) -> JSON | None:
        """The Service to be sent with it."""

    def as_job(self, found: JSON) -> JSON:
        """The object as the API has it, as a Job."""

    def as_pods(self, found: JSON, pods: Sequence[JSON]) -> list[JSON]:
        """Those of its pods that count, as pods of a Job."""

    def suspension(self, suspended: bool) -> JSON:
        """The merge patch of its spec that sets it aside, or lets it go on."""

    def news(self, event: Mapping[str, Any]) -> str | None:
        """An event of the object in plain words; empty where it is told otherwise, None where it is as of any Job."""


KINDS: Final[Mapping[Name, Kind]] = {"job": indexedjob, "jobset": jobset, "pytorchjob": pytorchjob}
JOB: Final[Kind] = KINDS["job"]
OTHERS: Final[Mapping[Name, Kind]] = {name: kind for name, kind in KINDS.items() if kind is not JOB}


def kind_of(job: Job) -> Kind:
    """The kind of a job that is to be launched: one without workers is a Job."""
    return KINDS[job.kind] if job.workers else JOB


def made_as(job: Workload) -> Kind:
    """The kind of a job that is there."""
    return next((kind for name, kind in KINDS.items() if name == job.made_as), JOB)


def path(kind: Kind, namespace: str, name: str = "") -> str:
    """Where the API has the objects of a kind, or the one of that name."""
    return kube.path(kind.PLURAL, namespace, name, kind.API)


def known(groups: Mapping[str, Any]) -> list[Kind]:
    """Those beside the Job whose group the cluster has. `groups` is what the API answers at /apis."""
    there = {group["name"] for group in groups.get("groups", ())}
    return [kind for kind in OTHERS.values() if kind.API.split("/")[1] in there]


def selector(kind: Kind, name: str) -> str:
    """The pods of an object."""
    return f"{kind.POD_LABEL}={name}"


def by_owner(pods: Iterable[JSON]) -> dict[tuple[str, str], list[JSON]]:
    """Pods by the plural and the name of what they belong to. A pod of a JobSet also is that of its child."""
    found: dict[tuple[str, str], list[JSON]] = {}
    for pod in pods:
        marks = pod["metadata"].get("labels") or {}
        for kind in (*OTHERS.values(), JOB):
            if name := marks.get(kind.POD_LABEL):
                found.setdefault((kind.PLURAL, name), []).append(pod)
                break
    return found


def owners(found: Mapping[str, Any]) -> set[str]:
    """The names of the jobs to which a pod, or the child of a JobSet, belongs by the labels of its kind."""
    marks = found["metadata"].get("labels") or {}
    return {marks[kind.POD_LABEL] for kind in KINDS.values() if kind.POD_LABEL in marks}


def makers(kind: Kind, name: str) -> tuple[str, ...]:
    """The names of the objects whose events are those of a job: itself, and what makes its pods."""
    return tuple(dict.fromkeys((name, name + kind.MAKER[2])))


def puzzling(kind: Kind, found: JSON, pods: Sequence[JSON]) -> tuple[str, str] | None:
    """The kind of object and the reason of the events that explain what the job itself does not; see `words`."""
    what = words.puzzling(kind.as_job(found), kind.as_pods(found, pods))
    return ("Pod", "FailedMount") if what == "Pod" else kind.MAKER[:2] if what else None


def warnings(events: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Their messages, by the uid and by the kind and the name of what they are about."""
    found = {}
    for event in events:
        about = event["involvedObject"]
        found[about["uid"]] = found[f"{about['kind']}/{about['name']}"] = event["message"]
    return found


def told(kind: Kind, events: Iterable[JSON]) -> Iterator[JSON]:
    """The events of a job's own objects, those of its kind alone in plain words."""
    for event in events:
        text = kind.news(event)
        if text is None:
            yield event
        elif text:
            yield {**event, "reason": "", "message": text}


def workload(kind: Kind, found: JSON, pods: Sequence[JSON], warnings: Mapping[str, str], wait: Wait | None) -> Workload:
    """An object of any kind and its pods, as `words.workload` has it of a Job; `warnings` are those of `warnings`."""
    if kind is JOB:
        return words.workload(found, pods, warnings, wait)
    maker, _, suffix = kind.MAKER
    own = {found["metadata"]["uid"]: warnings.get(f"{maker}/{found['metadata']['name']}{suffix}", "")}
    told = words.workload(kind.as_job(found), kind.as_pods(found, pods), {**warnings, **own}, wait)
    # Each time that a JobSet starts anew its pods are new, too, and know nothing of it.
    anew = (found.get("status") or {}).get("restarts", 0) if told.pods else 0
    name = next(name for name, each in KINDS.items() if each is kind)
    return replace(told, made_as=name, restarts=told.restarts + anew)
