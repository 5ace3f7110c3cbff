"""What jobs left behind in a namespace and none uses any more. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mlo_submit.backends.kubernetes import kinds
from mlo_submit.labels import INSTANCE
from mlo_submit.workload import Leftover

Objects = Sequence[Mapping[str, Any]]


def unused(*, secrets: Objects, services: Objects, jobs: Objects, pods: Objects, gone: Iterable[str]) -> list[Leftover]:
    """The Secrets and Services that go with the jobs named `gone`.

    The Secret of today's .env is one of them when no job uses it: the next `run` makes it anew, with one request.

    Args:
        secrets: those that mlo-submit made for the user.
        services: likewise.
        jobs: everybody's Jobs in the namespace.
        pods: everybody's pods there, since not every pod is a Job's.
    """
    going = set(gone)
    staying = [job for job in jobs if going.isdisjoint({job["metadata"]["name"], *kinds.owners(job)})]
    names = {job["metadata"]["name"] for job in staying}
    specs = [job["spec"]["template"]["spec"] for job in staying]
    specs += [pod["spec"] for pod in pods if going.isdisjoint(_jobs_of(pod))]
    # Whatever has the name of a Secret may refer to it: better one left too many than one too few.
    referred = {text for spec in specs for text in _texts(spec)}
    found = [Leftover(kind="Secret", name=name) for name in _names(secrets) if name not in referred]
    kept = [service for service in services if (service["metadata"].get("labels") or {}).get(INSTANCE) in names]
    return found + [Leftover(kind="Service", name=name) for name in _names(services) if name not in _names(kept)]


def _jobs_of(pod: Mapping[str, Any]) -> set[str]:
    """The job of a pod by the labels of its kind, and by ours, which run:ai's pods have alone."""
    ours = (pod["metadata"].get("labels") or {}).get(INSTANCE)
    return kinds.owners(pod) | ({ours} if ours else set())


def _names(objects: Objects) -> list[str]:
    return [each["metadata"]["name"] for each in objects]


def _texts(value: object) -> Iterator[str]:
    """Every text in a spec, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
