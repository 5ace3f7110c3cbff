"""What Kueue is asked: of the jobs that wait in a namespace, and of its queues. `kueue` puts the answers into words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from mlo_submit.backends.kubernetes import kueue
from mlo_submit.backends.kubernetes.asking import seen, together
from mlo_submit.backends.kubernetes.manifest import KUEUE_LABEL
from mlo_submit.errors import UnavailableError
from mlo_submit.kube import JSON, Cluster
from mlo_submit.queues import Queues


def waits(cluster: Cluster, namespace: str, jobs: Sequence[JSON]) -> dict[str, kueue.Wait]:
    """Why Jobs wait in their queues, by their uid: one request, and one for each queue, all at once. Empty where Kueue
    does not tell.
    """
    names = dict.fromkeys(job["metadata"]["labels"][KUEUE_LABEL] for job in jobs)
    workloads, *orders = together(
        partial(_objects, cluster, namespace, "workloads"),
        *(partial(_order, cluster, namespace, name) for name in names),
    )
    if workloads is None:
        return {}
    return {**kueue.untaken(jobs, workloads), **kueue.waiting(workloads, kueue.positions(orders))}


def queues(cluster: Cluster, namespace: str, mine: Callable[[], Sequence[JSON]]) -> Queues:
    """The LocalQueues of a namespace, and, where they may be seen, their ClusterQueues. `mine` asks for my Jobs in
    them.
    """
    locals_, workloads, jobs = together(
        partial(_objects, cluster, namespace, "localqueues"), partial(_objects, cluster, namespace, "workloads"), mine
    )
    if locals_ is None:
        return Queues(note=kueue.UNSEEN)
    names = list(dict.fromkeys(each["spec"].get("clusterQueue", "") for each in locals_))
    found = together(
        *(partial(seen, cluster, f"{kueue.API}/clusterqueues/{name}") for name in names),
        *(partial(_order, cluster, namespace, each["metadata"]["name"]) for each in locals_),
    )
    clusters = {name: its or {} for name, its in zip(names, found[: len(names)], strict=True)}
    waiting = kueue.waiting(workloads or [], kueue.positions(found[len(names) :]))
    return kueue.queues(
        locals_,
        clusters,
        workloads or [],
        waiting,
        {job["metadata"]["uid"]: job["metadata"]["name"] for job in jobs},
    )


def _order(cluster: Cluster, namespace: str, queue: str) -> list[JSON]:
    """The Workloads that wait in a LocalQueue, with their positions; empty where the cluster does not tell them."""
    try:
        found = seen(cluster, f"{kueue.VISIBILITY}/namespaces/{namespace}/localqueues/{queue}/pendingworkloads")
    except UnavailableError:  # the server of this API is another one
        return []
    return list(found["items"]) if found else []


def _objects(cluster: Cluster, namespace: str, kind: str) -> list[JSON] | None:
    """Kueue's objects in a namespace; None where they are not there, or may not be seen."""
    found = seen(cluster, f"{kueue.API}/namespaces/{namespace}/{kind}")
    return None if found is None else list(found["items"])
