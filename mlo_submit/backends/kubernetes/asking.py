"""Several questions at once, answers of many pages, and those that say that there is nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from mlo_submit import kube
from mlo_submit.backends.kubernetes import kinds, words
from mlo_submit.backends.kubernetes.arrays import RANK
from mlo_submit.backends.kubernetes.kinds import Kind
from mlo_submit.kube import JSON, ApiRefusal, Cluster, Denied
from mlo_submit.labels import ARRAY

PAGE = 1000  # objects; more do not come faster


def together(*asks: Callable[[], Any]) -> list[Any]:
    """Ask several things at once. Returns the answers in the order of the questions; raises the first error."""
    from concurrent.futures import ThreadPoolExecutor

    if not asks:
        return []
    with ThreadPoolExecutor(max_workers=min(len(asks), 8)) as pool:
        return list(pool.map(lambda ask: ask(), asks))


def everything(cluster: Cluster, place: str, **query: str) -> list[JSON]:
    """All objects of a list as they were at one moment, page by page."""
    token = ""
    found: list[JSON] = []
    while True:
        try:
            page = cluster.call("GET", place, limit=PAGE, **({"continue": token} if token else {}), **query)
        except ApiRefusal as error:
            if error.status != 410 or not token:
                raise
            # The server no longer knows that moment: all at once, then.
            return list(cluster.call("GET", place, **query)["items"])
        found += page["items"]
        token = page.get("metadata", {}).get("continue", "")
        if not token:
            return found


def others(cluster: Cluster) -> list[Kind]:
    """The kinds of jobs that the cluster has beside the Job: one request."""
    return kinds.known(seen(cluster, "/apis") or {})


def resources(cluster: Cluster, kind: Kind) -> set[str]:
    """The plurals that the cluster has where that kind is: one request."""
    return {each["name"] for each in cluster.read(f"/{kind.API}").get("resources", ())}


def objects(cluster: Cluster, namespace: str, others: Iterable[Kind], **query: str) -> list[tuple[Kind, JSON]]:
    """The objects of these kinds, as far as they are for the user to see."""
    found: list[tuple[Kind, JSON]] = []
    for kind in others:
        try:
            listed = everything(cluster, kinds.path(kind, namespace), **query)
        except (ApiRefusal, Denied) as error:
            if error.status not in (403, 404):
                raise
            continue
        found += [(kind, job) for job in listed]
    return found


def seen(cluster: Cluster, place: str) -> JSON | None:
    """What is there; None where the cluster does not have it, or it is not for the user to see."""
    try:
        return cluster.call("GET", place)
    except (ApiRefusal, Denied) as error:
        if error.status not in (403, 404):
            raise
        return None


def replaced(cluster: Cluster, namespace: str, name: str) -> str:
    """The name of the pod that a pod has replaced, which has its labels and its rank; empty where none is there."""
    place = kube.path("pods", namespace)
    own = cluster.read(f"{place}/{name}")
    marks = own["metadata"].get("labels") or {} if own else {}
    if not marks or (ARRAY in marks and not _rank(own)):  # run:ai's pods of an array are all alike
        return ""
    alike = everything(cluster, place, labelSelector=",".join(f"{key}={value}" for key, value in marks.items()))
    older = [pod for pod in alike if _rank(pod) == _rank(own) and words.age(pod) < words.age(own)]
    return str(max(older, key=words.age)["metadata"]["name"]) if older else ""


def _rank(pod: JSON) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(RANK, ""))


def delete(cluster: Cluster, place: str, **options: str | int) -> None:
    """Begin to delete what is there. Gone already is as good."""
    try:
        cluster.call("DELETE", place, **options)
    except ApiRefusal as error:
        if error.status != 404:
            raise


@contextmanager
def no_collection() -> Iterator[None]:
    """No search for garbage: among thousands of objects that come in a row it would take as long as they do."""
    import gc

    gc.disable()
    try:
        yield
    finally:
        gc.enable()
