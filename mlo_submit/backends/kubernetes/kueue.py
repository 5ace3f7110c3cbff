"""What Kueue says of the jobs in its queues, in the user's words. Pure.

Kueue makes a Workload for each Job: an object of its own, no `mlo_submit.workload.Workload`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlo_submit.backends.kubernetes.manifest import KUEUE_LABEL, PRIORITY_LABEL
from mlo_submit.kube import JSON
from mlo_submit.queues import Queue, QueuedJob, Queues, Resource

API: Final = "/apis/kueue.x-k8s.io/v1beta1"
VISIBILITY: Final = "/apis/visibility.kueue.x-k8s.io/v1beta1"
OWNERS: Final = ("Job", "JobSet", "PyTorchJob")

UNSEEN: Final = (
    "The cluster has no Kueue, or its queues are not for you to see. Without it, a job starts when a node has room; "
    "with it, ask the administrator for the role batch-user-role of Kueue in your namespace."
)

GAVE_WAY: Final[Mapping[str, str]] = {
    "InClusterQueue": "gave way to a job of higher priority",
    "InCohortReclamation": "gave back what its queue had borrowed from another",
    "InCohortReclaimWhileBorrowing": "gave back what its queue had borrowed from another",
    "InCohortFairSharing": "gave way to a queue that has had less",
}

PARTIAL: Final = (
    "How many jobs are before yours is told of each queue alone: others that share its quota may be before them, too. "
    "Kueue tells more where its visibility API is served, and you may read it."
)

# The evictions after which a Workload goes to the end of those of its priority.
REQUEUED: Final = ("PodsReadyTimeout", "AdmissionCheck")


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Why a job waits. `gave_way` is empty where it has not run yet.

    `before` counts the jobs before it: `exact`ly those that share the quota, or else only those of the same queue; None
    where Kueue has not taken it up.
    """

    queue: str
    before: int | None
    exact: bool = False
    why: str = ""
    gave_way: str = ""

    @property
    def text(self) -> str:
        """All of it, as the reason of a state."""
        told = "; ".join(filter(None, (self.why, self._place)))
        gave_way = f"{self.gave_way}; " if self.gave_way else ""
        return f"{gave_way}waits in the queue {self.queue}: {told}"

    @property
    def _place(self) -> str:
        if self.before is None:
            return ""
        if not self.exact and not self.before:
            return "no other of this queue before it"
        jobs = "1 job" if self.before == 1 else f"{self.before} jobs"
        return f"{jobs} before it" if self.exact else f"at least {jobs} before it"


def positions(orders: Iterable[Iterable[Mapping[str, Any]]]) -> dict[str, int]:
    """How many are before a Workload, by its name, as the visibility API has it for each LocalQueue."""
    return {each["metadata"]["name"]: each.get("positionInClusterQueue", 0) for order in orders for each in order}


def waiting(workloads: Iterable[Mapping[str, Any]], known: Mapping[str, int]) -> dict[str, Wait]:
    """Those of a namespace that wait, by the uid of their Job. `known` are their positions, where those are told."""
    pending = [each for each in workloads if _waits(each)]
    pending.sort(key=lambda each: (-each["spec"].get("priority", 0), _since(each)))
    found: dict[str, Wait] = {}
    before: dict[str, int] = {}
    for each in pending:
        queue, name = each["spec"].get("queueName", ""), each["metadata"]["name"]
        if uid := owner(each):
            found[uid] = Wait(
                queue=queue,
                before=known.get(name, before.get(queue, 0)),
                exact=name in known,
                why=why(each),
                gave_way=_gave_way(each),
            )
        before[queue] = before.get(queue, 0) + 1
    return found


def untaken(jobs: Iterable[Mapping[str, Any]], workloads: Iterable[Mapping[str, Any]]) -> dict[str, Wait]:
    """What to say of Jobs in a queue, by their uid, as long as they have no Workload."""
    taken = set(map(owner, workloads))
    return {
        job["metadata"]["uid"]: Wait(queue=labels[KUEUE_LABEL], before=None, why=_untaken(labels))
        for job in jobs
        if job["metadata"]["uid"] not in taken and (labels := job["metadata"]["labels"])
    }


def _untaken(labels: Mapping[str, str]) -> str:
    # Of a class that does not exist only its log tells.
    hint = f" (is there a WorkloadPriorityClass {labels[PRIORITY_LABEL]}?)" if PRIORITY_LABEL in labels else ""
    return f"Kueue has not taken it up yet{hint}"


def _since(workload: Mapping[str, Any]) -> str:
    evicted = _true(workload, "Evicted")
    if evicted.get("reason") in REQUEUED:
        return str(evicted["lastTransitionTime"])
    return str(workload["metadata"]["creationTimestamp"])


def owner(workload: Mapping[str, Any]) -> str:
    """The uid of the Job that a Workload stands for; empty for none."""
    owners = workload["metadata"].get("ownerReferences") or []
    return next((str(each["uid"]) for each in owners if each.get("kind") in OWNERS), "")


def _waits(workload: Mapping[str, Any]) -> bool:
    return not (_true(workload, "QuotaReserved") or _true(workload, "Finished"))


def why(workload: Mapping[str, Any]) -> str:
    """Why a Workload is not admitted; empty where Kueue does not say more than that it waits."""
    if workload["spec"].get("active") is False:
        return "it was deactivated, and starts only when an administrator activates it"
    return reason(str(_condition(workload, "QuotaReserved").get("message", "")))


def reason(message: str) -> str:
    """The message of the condition QuotaReserved, as what the user can do something about."""
    if message.startswith("Preempted to accommodate"):
        return ""
    if "Pending the preemption of" in message:
        return "jobs of lower priority give way to it"
    if gone := re.fullmatch(r"(LocalQueue|ClusterQueue) (\S+) (?:doesn't exist|is terminating or missing)", message):
        return f"the {gone[1]} {gone[2]} does not exist"
    short = re.findall(r"insufficient unused quota for (\S+) in flavor (\S+), (\S+) more needed", message)
    never = re.findall(
        r"insufficient quota for (\S+) in flavor (\S+), request > maximum capacity \((\S+) > (\S+)\)", message
    )
    if not short and not never:
        return re.sub(r"couldn't assign flavors to pod set \S+: ", "", message)
    flavors = dict.fromkeys([*(flavor for _, flavor, _ in short), *(flavor for _, flavor, *_ in never)])
    ways = []
    for flavor in flavors:
        lacks = [f"{number} more {what} must become free" for what, of, number in short if of == flavor]
        lacks += [f"it asks for {wants} {what} of {has} in all" for what, of, wants, has in never if of == flavor]
        ways.append(" and ".join(lacks) + (f" (of {flavor})" if len(flavors) > 1 else ""))
    return ", or ".join(ways)


def _gave_way(workload: Mapping[str, Any]) -> str:
    if found := _true(workload, "Preempted"):
        return GAVE_WAY.get(found.get("reason", ""), "gave way to another job")
    found = _true(workload, "Evicted")
    return f"was set aside ({found.get('message') or found.get('reason')})" if found else ""


def queues(
    locals_: Sequence[Mapping[str, Any]],
    clusters: Mapping[str, Mapping[str, Any]],
    workloads: Sequence[Mapping[str, Any]],
    waits: Mapping[str, Wait],
    mine: Mapping[str, str],
) -> Queues:
    """The LocalQueues of a namespace. `clusters` are their ClusterQueues by name; see `queue` for the rest."""
    if not locals_:
        return Queues(note="Your namespace has no queue of Kueue: its administrator makes one.")
    hidden = ", ".join(name for name, found in clusters.items() if not found)
    note = (
        f"The quota of {hidden} is not for you to see, and what is used is told of your namespace alone: ask the "
        "administrator for the right to get clusterqueues."
    )
    notes = [note] if hidden else []
    notes += [PARTIAL] if any(uid in mine and not wait.exact for uid, wait in waits.items()) else []
    found = (queue(each, clusters[each["spec"].get("clusterQueue", "")], workloads, waits, mine) for each in locals_)
    return Queues(queues=tuple(found), note="\n".join(notes))


def queue(
    local: Mapping[str, Any],
    cluster: Mapping[str, Any],
    workloads: Sequence[Mapping[str, Any]],
    waits: Mapping[str, Wait],
    mine: Mapping[str, str],
) -> Queue:
    """A LocalQueue.

    Args:
        local: as the API has it.
        cluster: its ClusterQueue; empty where it may not be seen, and then the use is that of `local` alone.
        workloads: of the namespace.
        waits: those of them that wait.
        mine: the names of my Jobs, by their uid.
    """
    name = local["metadata"]["name"]
    status = local.get("status") or {}
    jobs = [
        _queued(mine[uid], waits.get(uid))
        for each in workloads
        if each["spec"].get("queueName") == name and (uid := owner(each)) in mine and not _true(each, "Finished")
    ]
    return Queue(
        name=name,
        cluster_queue=local["spec"].get("clusterQueue", ""),
        waiting=status.get("pendingWorkloads", 0),
        admitted=status.get("admittedWorkloads", 0),
        resources=_resources(status, cluster),
        jobs=tuple(sorted(jobs, key=lambda job: (job.before is not None, job.before or 0, job.name))),
    )


def _queued(name: str, wait: Wait | None) -> QueuedJob:
    if not wait:
        return QueuedJob(name=name)
    why = "; ".join(filter(None, (wait.gave_way, wait.why)))
    return QueuedJob(name=name, before=wait.before, exact=wait.exact, reason=why)


def _resources(status: Mapping[str, Any], cluster: Mapping[str, Any]) -> tuple[Resource, ...]:
    """What is used: by all of the ClusterQueue, or, where it may not be seen, by the LocalQueue."""
    quotas = {
        (flavor["name"], resource["name"]): str(resource["nominalQuota"])
        for group in (cluster.get("spec") or {}).get("resourceGroups") or []
        for flavor in group["flavors"]
        for resource in flavor["resources"]
    }
    usage = (cluster.get("status") or {}).get("flavorsUsage") if cluster else status.get("flavorUsage")
    used = {
        (flavor["name"], resource["name"]): str(resource.get("total", 0))
        for flavor in usage or []
        for resource in flavor["resources"]
    }
    return tuple(
        Resource(name=name, flavor=flavor, used=used.get((flavor, name), "0"), quota=quotas.get((flavor, name)))
        for flavor, name in {**quotas, **used}
    )


def _condition(workload: Mapping[str, Any], kind: str) -> JSON:
    conditions = (workload.get("status") or {}).get("conditions") or []
    return next((dict(each) for each in conditions if each["type"] == kind), {})


def _true(workload: Mapping[str, Any], kind: str) -> JSON:
    found = _condition(workload, kind)
    return found if found.get("status") == "True" else {}
