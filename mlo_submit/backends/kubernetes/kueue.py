"""What Kueue says of the jobs in its queues, in the user's words. Pure.

Kueue makes a Workload for each Job: an object of its own, no `mlo_submit.workload.Workload`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlo_submit.kube import JSON
from mlo_submit.queues import Queue, QueuedJob, Queues, Resource

API: Final = "/apis/kueue.x-k8s.io/v1beta1"

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


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Why a job waits. `before` counts the jobs before it; `gave_way` is empty where it has not run yet."""

    queue: str
    before: int
    why: str = ""
    gave_way: str = ""

    @property
    def text(self) -> str:
        """All of it, as the reason of a state."""
        jobs = "1 job" if self.before == 1 else f"{self.before} jobs"
        why = f"{self.why}; " if self.why else ""
        gave_way = f"{self.gave_way}; " if self.gave_way else ""
        return f"{gave_way}waits in the queue {self.queue}: {why}{jobs} before it"


def waiting(workloads: Iterable[Mapping[str, Any]]) -> dict[str, Wait]:
    """Those of a namespace that wait, by the uid of their Job."""
    pending = [each for each in workloads if _waits(each)]
    pending.sort(key=lambda each: (-each["spec"].get("priority", 0), each["metadata"]["creationTimestamp"]))
    found: dict[str, Wait] = {}
    before: dict[str, int] = {}
    for each in pending:
        queue = each["spec"].get("queueName", "")
        if uid := owner(each):
            found[uid] = Wait(
                queue=queue,
                before=before.get(queue, 0),
                why=why(each),
                gave_way=_gave_way(each),
            )
        before[queue] = before.get(queue, 0) + 1
    return found


def owner(workload: Mapping[str, Any]) -> str:
    """The uid of the Job that a Workload stands for; empty for none."""
    owners = workload["metadata"].get("ownerReferences") or []
    return next((str(each["uid"]) for each in owners if each.get("kind") == "Job"), "")


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
    found = (queue(each, clusters[each["spec"].get("clusterQueue", "")], workloads, mine) for each in locals_)
    return Queues(queues=tuple(found), note=note if hidden else "")


def queue(
    local: Mapping[str, Any],
    cluster: Mapping[str, Any],
    workloads: Sequence[Mapping[str, Any]],
    mine: Mapping[str, str],
) -> Queue:
    """A LocalQueue.

    Args:
        local: as the API has it.
        cluster: its ClusterQueue; empty where it may not be seen, and then the use is that of `local` alone.
        workloads: of the namespace.
        mine: the names of my Jobs, by their uid.
    """
    name = local["metadata"]["name"]
    status = local.get("status") or {}
    waits = waiting(workloads)
    jobs = []
    for each in workloads:
        uid = owner(each)
        if each["spec"].get("queueName") != name or uid not in mine or _true(each, "Finished"):
            continue
        wait = waits.get(uid)
        why = f"{wait.gave_way}; {wait.why}".strip("; ") if wait else ""
        jobs.append(QueuedJob(name=mine[uid], before=wait.before if wait else None, reason=why))
    return Queue(
        name=name,
        cluster_queue=local["spec"].get("clusterQueue", ""),
        waiting=status.get("pendingWorkloads", 0),
        admitted=status.get("admittedWorkloads", 0),
        resources=_resources(status, cluster),
        jobs=tuple(sorted(jobs, key=lambda job: (job.before is not None, job.before or 0, job.name))),
    )


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
