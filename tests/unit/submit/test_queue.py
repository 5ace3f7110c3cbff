"""What Kueue says of a job, in the user's words, and `mlo-submit queue`. The messages are Kueue's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlo_submit.backends.kubernetes import kueue, words
from mlo_submit.env import Config
from mlo_submit.workload import Workload
from tests.unit.submit.conftest import ENV, Api, Invoke, status
from tests.unit.submit.test_look import check, documented
from tests.unit.submit.test_words import RUNS, a_job, a_pod

NAMESPACE = "runai-mlo-jdoe"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
POSITIONS = f"/apis/visibility.kueue.x-k8s.io/v1beta1/namespaces/{NAMESPACE}/localqueues/team/pendingworkloads"
KUEUE = f"/apis/kueue.x-k8s.io/v1beta1/namespaces/{NAMESPACE}"
CLUSTER_QUEUE = "/apis/kueue.x-k8s.io/v1beta1/clusterqueues/lab"

NONE_FREE = (
    "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor {}, 1 more needed"
)

SAID = {
    NONE_FREE.format("any"): "1 more nvidia.com/gpu must become free",
    NONE_FREE.format("a100") + ", insufficient unused quota for nvidia.com/gpu in flavor h100, 2 more needed": (
        "1 more nvidia.com/gpu must become free (of a100), or 2 more nvidia.com/gpu must become free (of h100)"
    ),
    "couldn't assign flavors to pod set main: insufficient quota for nvidia.com/gpu in flavor any, request > maximum "
    "capacity (2 > 1)": "it asks for 2 nvidia.com/gpu of 1 in all",
    NONE_FREE.format("any") + ". Pending the preemption of 1 workload(s)": "jobs of lower priority give way to it",
    "couldn't assign flavors to pod set main: resource cpu unavailable in ClusterQueue": (
        "resource cpu unavailable in ClusterQueue"
    ),
    "LocalQueue team doesn't exist": "the LocalQueue team does not exist",
    "ClusterQueue lab is terminating or missing": "the ClusterQueue lab does not exist",
    "ClusterQueue lab is stopped": "ClusterQueue lab is stopped",
    "Preempted to accommodate a workload (UID: 1) due to prioritization in the ClusterQueue": "",
}


@pytest.mark.parametrize(("message", "plain"), SAID.items())
def test_why_a_job_is_not_admitted(message: str, plain: str) -> None:
    assert kueue.reason(message) == plain


def a_workload(job: str, minute: int = 0, message: str = "", **spec: Any) -> dict[str, Any]:
    """The Workload of a Job that waits since that minute."""
    return {
        "metadata": {
            "name": f"job-{job}",
            "creationTimestamp": f"2026-11-24T08:{minute:02}:00Z",
            "ownerReferences": [{"kind": "Job", "name": job, "uid": job}],
        },
        "spec": {"queueName": "team", "priority": 0, **spec},
        "status": {"conditions": [{"type": "QuotaReserved", "status": "False", "message": message}]},
    }


def true(workload: dict[str, Any], kind: str, **more: str) -> dict[str, Any]:
    """The same with a condition that is true."""
    others = [each for each in workload["status"]["conditions"] if each["type"] != kind]
    workload["status"]["conditions"] = [*others, {"type": kind, "status": "True", **more}]
    return workload


def test_the_order_is_that_of_priority_and_then_of_age() -> None:
    """Those that run, or have ended, are before nobody, and each queue has an order of its own."""
    found = kueue.waiting(
        [
            a_workload("late", 3),
            a_workload("early", 1),
            a_workload("urgent", 4, priority=1000),
            a_workload("other", 5, queueName="other"),
            true(a_workload("runs", 0), "QuotaReserved"),
            true(a_workload("ended", 0), "Finished"),
        ],
        {},
    )
    assert {job: wait.before for job, wait in found.items()} == {"urgent": 0, "early": 1, "late": 2, "other": 0}


def queued(config: Config, name: str = "train", *, suspend: bool = True) -> dict[str, Any]:
    job = a_job(config)
    job["metadata"].update(name=name, uid=name)
    job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team"
    job["spec"]["suspend"] = suspend
    return job


def told(job: Workload) -> tuple[str, str]:
    return job.state, job.reason


def test_a_job_that_gave_way(config: Config) -> None:
    """While its pod writes the checkpoint, and afterwards."""
    taken = true(a_workload("train", message="Preempted to accommodate a workload"), "Evicted", reason="Preempted")
    wait = kueue.waiting([true(taken, "Preempted", reason="InClusterQueue")], {"job-train": 0})["train"]
    going = [a_pod("Running", state=RUNS, going=True)]
    gave_way = "gave way to a job of higher priority"
    assert told(words.workload(queued(config), going, wait=wait)) == ("Stopping", gave_way)
    assert told(words.workload(queued(config), [], wait=wait)) == (
        "Preempted",
        f"{gave_way}; waits in the queue team: 0 jobs before it",
    )


def position(workload: str, before: int) -> dict[str, Any]:
    """An item of the visibility API's PendingWorkloadsSummary."""
    return {
        "metadata": {"name": workload, "namespace": NAMESPACE},
        "priority": 0,
        "localQueueName": "team",
        "positionInClusterQueue": before,
        "positionInLocalQueue": 0,
    }


@pytest.fixture
def cluster(api: Api, env_file: Path, config: Config) -> Api:
    env_file.write_text(ENV + "MLO_BACKEND=kubernetes\nMLO_QUEUE=team\n")
    local = {
        "metadata": {"name": "team"},
        "spec": {"clusterQueue": "lab"},
        "status": {
            "pendingWorkloads": 1,
            "admittedWorkloads": 1,
            "flavorUsage": [{"name": "any", "resources": [{"name": "nvidia.com/gpu", "total": "1"}]}],
        },
    }
    lab = {
        "spec": {
            "resourceGroups": [
                {"flavors": [{"name": "any", "resources": [{"name": "nvidia.com/gpu", "nominalQuota": "8"}]}]}
            ]
        },
        "status": {"flavorsUsage": [{"name": "any", "resources": [{"name": "nvidia.com/gpu", "total": "8"}]}]},
    }
    items = [true(a_workload("runs"), "QuotaReserved"), a_workload("train", 1, NONE_FREE.format("any"))]
    api.answers["GET", JOBS] = 200, {"items": [queued(config), queued(config, "runs", suspend=False)]}
    api.answers["GET", PODS] = 200, {"items": []}
    api.answers["GET", f"/api/v1/namespaces/{NAMESPACE}/events"] = 200, {"items": []}
    api.answers["GET", f"{KUEUE}/localqueues"] = 200, {"items": [local]}
    api.answers["GET", f"{KUEUE}/workloads"] = 200, {"items": items}
    api.answers["GET", CLUSTER_QUEUE] = 200, lab
    api.answers["GET", POSITIONS] = 200, {"items": [position("job-train", 3)]}
    return api


def test_list_asks_kueue_once_and_only_of_jobs_that_wait(cluster: Api, invoke: Invoke, config: Config) -> None:
    jobs = {job["name"]: job for job in json.loads(invoke("list", "--json").stdout)}
    assert (
        jobs["train"]["reason"] == "waits in the queue team: 1 more nvidia.com/gpu must become free; 3 jobs before it"
    )
    asked = [path for _, path in cluster.paths() if "kueue" in path]
    assert sorted(asked) == [f"{KUEUE}/workloads", POSITIONS]
    cluster.requests.clear()
    cluster.answers["GET", JOBS] = 200, {"items": [queued(config, suspend=False)]}
    assert invoke("list").exit_code == 0
    assert not [path for _, path in cluster.paths() if "kueue" in path]


@pytest.mark.parametrize("answer", [status(403, "no"), status(404, "no")])
def test_where_kueue_tells_nothing_the_queue_is_named(cluster: Api, invoke: Invoke, answer: tuple[int, Any]) -> None:
    cluster.answers["GET", f"{KUEUE}/workloads"] = answer
    jobs = {job["name"]: job["reason"] for job in json.loads(invoke("list", "--json").stdout)}
    assert jobs["train"] == "waits in the queue team"


def test_queue(cluster: Api, invoke: Invoke) -> None:
    found = invoke("queue")
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout == (
        "team (ClusterQueue lab): 1 admitted, 1 waiting\n"
        "  8 of 8 nvidia.com/gpu used (any)\n\n"
        "  JOB    BEFORE  REASON\n"
        "  runs   -       admitted\n"
        "  train  3       1 more nvidia.com/gpu must become free\n"
    )


@pytest.mark.parametrize("answer", [status(403, "no"), status(404, "no"), status(503, "no")])
def test_positions_that_are_not_told(cluster: Api, invoke: Invoke, answer: tuple[int, Any]) -> None:
    """Then only the jobs of the same queue are counted, and it says so: no server for them, or no right to ask."""
    cluster.answers["GET", POSITIONS] = answer
    first = a_workload("first", 0)
    cluster.answers["GET", f"{KUEUE}/workloads"] = (
        200,
        {"items": [first, a_workload("train", 1), a_workload("runs", 2)]},
    )
    reasons = {job["name"]: job["reason"] for job in json.loads(invoke("list", "--json").stdout)}
    assert reasons["train"] == "waits in the queue team: at least 1 job before it"
    found = invoke("queue")
    assert "  train  ≥1      waits\n" in found.stdout
    assert found.stderr.startswith("How many jobs are before yours is told of each queue alone")
    cluster.answers["GET", f"{KUEUE}/workloads"] = 200, {"items": [a_workload("train", 1)]}
    reasons = {job["name"]: job["reason"] for job in json.loads(invoke("list", "--json").stdout)}
    assert reasons["train"] == "waits in the queue team: no other of this queue before it"


def test_an_eviction_that_costs_the_place(cluster: Api) -> None:
    """As Kueue orders them: whose pods did not start in time goes behind; who gave way keeps its place."""
    slow = true(a_workload("slow", 1), "Evicted", reason="PodsReadyTimeout", lastTransitionTime="2026-11-24T08:09:00Z")
    gave_way = true(a_workload("way", 2), "Evicted", reason="Preempted", lastTransitionTime="2026-11-24T08:09:00Z")
    found = kueue.waiting([slow, gave_way, a_workload("new", 3)], {})
    assert {job: wait.before for job, wait in found.items()} == {"way": 0, "new": 1, "slow": 2}


def test_a_job_that_kueue_has_not_taken_up(cluster: Api, invoke: Invoke, config: Config) -> None:
    """As where its priority class is missing, of which Kueue tells nothing."""
    job = queued(config)
    job["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] = "urgent"
    cluster.answers["GET", JOBS] = 200, {"items": [job]}
    cluster.answers["GET", f"{KUEUE}/workloads"] = 200, {"items": []}
    (found,) = json.loads(invoke("list", "--json").stdout)
    assert found["reason"] == (
        "waits in the queue team: Kueue has not taken it up yet (is there a WorkloadPriorityClass urgent?)"
    )
    cluster.answers["GET", f"{KUEUE}/workloads"] = 200, {"items": [true(a_workload("train"), "QuotaReserved")]}
    (found,) = json.loads(invoke("list", "--json").stdout)
    assert found["reason"] == "waits in the queue team", "Kueue lets it go in a moment"


def test_a_quota_that_may_not_be_seen(cluster: Api, invoke: Invoke) -> None:
    """Then only the namespace's own use is told, and that it is so."""
    cluster.answers["GET", CLUSTER_QUEUE] = status(403, "no")
    found = invoke("queue")
    assert "  1 nvidia.com/gpu used (any)\n" in found.stdout
    assert found.stderr.startswith("The quota of lab is not for you to see")


def test_the_json_is_as_documented(cluster: Api, invoke: Invoke) -> None:
    (queue,) = json.loads(invoke("queue", "--json").stdout)
    fields = documented()
    check(queue, fields["A queue"])
    for resource in queue["resources"]:
        check(resource, fields["A resource of a queue"])
    for job in queue["jobs"]:
        check(job, fields["A job of a queue"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [(status(404, "no"), "The cluster has no Kueue"), ((200, {"items": []}), "Your namespace has no queue of Kueue")],
)
def test_no_queue(cluster: Api, invoke: Invoke, answer: tuple[int, Any], said: str) -> None:
    cluster.answers["GET", f"{KUEUE}/localqueues"] = answer
    found = invoke("queue", "--json")
    assert (found.exit_code, json.loads(found.stdout)) == (0, [])
    assert found.stderr.startswith(said)


def test_a_scheduler_that_does_not_tell(cluster: Api, invoke: Invoke, env_file: Path) -> None:
    env_file.write_text(env_file.read_text() + "MLO_SCHEDULER=kai-scheduler\n")
    found = invoke("queue", "--json")
    assert json.loads(found.stdout) == []
    assert found.stderr == "kai-scheduler does not tell here what waits in its queues.\n"
    assert not cluster.requests
