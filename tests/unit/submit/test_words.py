"""A Job and its pods as the states of a workload."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from mlo_submit.backends.kubernetes import arrays, words
from mlo_submit.backends.kubernetes.manifest import render
from mlo_submit.env import Config
from mlo_submit.job import Flags, from_flags
from mlo_submit.workload import Workload, to_json
from tests.unit.submit.test_reasons import IMAGE, PULLS, SCHEDULER, WANTS

NOW = datetime(2026, 11, 24)
CREATED, BEGAN, ENDED = "2026-11-24T08:00:00Z", "2026-11-24T08:00:05Z", "2026-11-24T09:00:00Z"


def a_job(config: Config, *conditions: dict[str, str], flags: Flags | None = None, **status: Any) -> dict[str, Any]:
    """A Job as the API has it."""
    job = render(from_flags(config, flags or Flags(name="x", train=True, gpus=8, memory="64Gi"), NOW))
    job["metadata"].update(uid="job", creationTimestamp=CREATED)
    found = [{"status": "True", "lastTransitionTime": ENDED, **condition} for condition in conditions]
    return {**job, "status": {"startTime": BEGAN, "conditions": found, **status}}


def a_pod(
    phase: str,
    *conditions: dict[str, str],
    number: int = 0,
    node: str = "gpu-0",
    state: dict[str, Any] | None = None,
    going: bool = False,
    preempted: int = 0,
    **status: Any,
) -> dict[str, Any]:
    """A pod of that Job; `preempted` is how often others before it gave way."""
    resources = {"requests": WANTS, "limits": {"nvidia.com/gpu": "8", "memory": "64Gi"}}
    containers = [{"name": "job", "state": state, "restartCount": 0}] if state else []
    return {
        "metadata": {
            "name": f"x-0-{number}",
            "uid": f"pod-{number}",
            "creationTimestamp": f"2026-11-24T08:{number:02}:05Z",
            "labels": {"job-name": "x"},
            "annotations": {arrays.RANK: "0", words.DISRUPTIONS: str(preempted), words.FAILURES: "0"},
            **({"deletionTimestamp": ENDED} if going else {}),
        },
        "spec": {
            **({"nodeName": node} if node else {}),
            "containers": [{"name": "job", "image": IMAGE, "resources": resources}],
        },
        "status": {
            "phase": phase,
            "conditions": [{"status": "True", **condition} for condition in conditions],
            "containerStatuses": containers,
            **status,
        },
    }


RUNS = {"running": {"startedAt": BEGAN}}
GAVE_WAY = {"type": "DisruptionTarget", "reason": "PreemptionByScheduler", "message": "default-scheduler: preempting"}
NO_GPU = {"type": "PodScheduled", "status": "False", "message": next(iter(SCHEDULER))}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": BEGAN, "finishedAt": ENDED}}


def told(job: Workload) -> tuple[str, str, int | None]:
    return job.state, job.reason, job.exit_code


@pytest.mark.parametrize(
    ("pods", "says"),
    [
        ([], ("Pending", "its pod is not made yet")),
        ([a_pod("Pending", node="")], ("Pending", "waits for a node")),
        ([a_pod("Pending", NO_GPU, node="")], ("Pending", "no node has 8 free nvidia.com/gpu (2 of 5 nodes match)")),
        ([a_pod("Pending")], ("Starting", "")),
        ([a_pod("Pending", state={"waiting": {"reason": "ContainerCreating"}})], ("Starting", "")),
        (
            [a_pod("Pending", state={"waiting": {"reason": "ErrImagePull", "message": next(iter(PULLS))}})],
            ("Starting", f"the image {IMAGE} cannot be pulled: image not found"),
        ),
        (
            [
                a_pod(
                    "Pending",
                    state={"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}},
                )
            ],
            ("Starting", "the Secret s does not exist"),
        ),
        ([a_pod("Running", state=RUNS)], ("Running", "")),
        ([a_pod("Running", state=RUNS, going=True)], ("Stopping", "")),
        (
            [a_pod("Running", state=RUNS, going=True, reason="NodeLost", message="Node gpu-0 is unresponsive")],
            ("Stopping", "Node gpu-0 is unresponsive"),
        ),
        ([a_pod("Running", GAVE_WAY, state=RUNS, going=True)], ("Preempted", "gave way to a job of higher priority")),
        (
            [a_pod("Failed", GAVE_WAY, state=ended(143), going=True, preempted=1)],
            ("Preempted", "gave way to a job of higher priority; preempted twice"),
        ),
        ([a_pod("Pending", node="", preempted=1)], ("Preempted", "waits for a node; preempted once")),
        ([a_pod("Running", state=RUNS, preempted=2)], ("Running", "preempted twice")),
        # A kubelet's eviction leaves its pod behind.
        (
            [a_pod("Failed", GAVE_WAY, state=ended(137)), a_pod("Running", state=RUNS, number=1)],
            ("Running", "preempted once"),
        ),
        ([a_pod("Failed", state=ended(3))], ("Stopping", "exit code 3")),
        ([a_pod("Failed", state=ended(3)), a_pod("Running", state=RUNS, number=1)], ("Running", "")),
    ],
)
def test_a_job_that_has_not_ended(config: Config, pods: list[dict[str, Any]], says: tuple[str, str]) -> None:
    for order in (pods, pods[::-1]):
        assert told(words.workload(a_job(config), order)) == (*says, None)


def test_a_job_whose_pods_have_succeeded_and_are_not_asked_for(config: Config) -> None:
    """Until Kubernetes has counted them."""
    job = a_job(config)
    job["status"] = {"active": 1}
    assert told(words.workload(job, [])) == ("Running", "", None)


def test_a_job_that_may_be_tried_again(config: Config) -> None:
    job = a_job(config, flags=Flags(name="x", train=True, retries=2))
    failed = a_pod("Failed", state=ended(3))
    assert told(words.workload(job, [failed])) == ("Pending", "is tried again after exit code 3", None)
    hungry = a_pod("Failed", state=ended(137, "OOMKilled"))
    assert told(words.workload(job, [hungry])) == ("Stopping", "OOM killed at 64Gi", None), "it is not"
    asked = a_pod("Failed", state=ended(143))
    assert told(words.workload(job, [asked])) == ("Pending", "is tried again after ended by signal 15", None)


@pytest.mark.parametrize(
    ("condition", "pods", "says"),
    [
        ({"type": "Complete"}, [], ("Succeeded", "", 0)),
        ({"type": "Complete"}, [a_pod("Failed", state=ended(3)), a_pod("Succeeded", number=1)], ("Succeeded", "", 0)),
        ({"type": "Failed", "reason": "DeadlineExceeded"}, [], ("Failed", "time limit", 143)),
        (
            {"type": "Failed", "reason": "FailedIndexes"},
            [a_pod("Failed", state=ended(3))],
            ("Failed", "exit code 3", 3),
        ),
        (
            {"type": "Failed", "reason": "FailedIndexes"},
            [a_pod("Failed", state=ended(137, "OOMKilled"))],
            ("Failed", "OOM killed at 64Gi", 137),
        ),
        (
            {"type": "Failed", "reason": "FailedIndexes"},
            [a_pod("Failed", reason="Evicted", message='Usage of EmptyDir volume "shm" exceeds the limit "1Gi". ')],
            ("Failed", "evicted: shared memory grew beyond 1Gi", None),
        ),
        (
            {"type": "Failed", "reason": "FailedIndexes", "message": "Job has failed indexes"},
            [],
            ("Failed", "Job has failed indexes", None),
        ),
    ],
)
def test_a_job_that_has_ended(
    config: Config, condition: dict[str, str], pods: list[dict[str, Any]], says: tuple[str, str, int | None]
) -> None:
    assert told(words.workload(a_job(config, condition), pods)) == says


def test_a_job_that_ran_out_of_time_was_not_tried_again(config: Config) -> None:
    """Kubernetes takes its pods away, and counts each as failed."""
    job = a_job(config, {"type": "Failed", "reason": "DeadlineExceeded"}, failed=1)
    assert words.workload(job, []).restarts == 0
    job["status"]["failed"] = 3
    assert words.workload(job, []).restarts == 2


def test_a_job_that_is_being_ended(config: Config) -> None:
    """By whom, and why, is told while its pods still have their grace period."""
    going = [a_pod("Running", state=RUNS, going=True)]
    deleted = a_job(config)
    deleted["metadata"]["deletionTimestamp"] = ENDED
    assert told(words.workload(deleted, going)) == ("Stopping", "is being deleted", None)
    overdue = a_job(config, {"type": "FailureTarget", "reason": "DeadlineExceeded"})
    assert told(words.workload(overdue, going)) == ("Stopping", "time limit", None)


def test_a_job_that_is_suspended(config: Config) -> None:
    """By us, by Kueue, and by somebody else."""
    job = a_job(config)
    job["spec"]["suspend"] = True
    assert told(words.workload(job, [])) == ("Pending", "is suspended", None)
    job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team"
    assert told(words.workload(job, [])) == ("Pending", "waits in the queue team", None)
    job["metadata"]["annotations"][words.STOPPED] = "true"
    assert told(words.workload(job, [])) == ("Stopped", "", None)
    going = [a_pod("Running", state=RUNS, going=True)]
    assert told(words.workload(job, going)) == ("Stopping", "is being set aside", None)


def test_what_only_events_explain(config: Config) -> None:
    job, creating = a_job(config), a_pod("Pending", state={"waiting": {"reason": "ContainerCreating"}})
    assert words.puzzling(job, []) == "Job"
    assert words.puzzling(job, [creating]) == "Pod"
    assert words.puzzling(job, [a_pod("Pending", NO_GPU, node="")]) == ""
    assert words.puzzling(job, [a_pod("Running", state=RUNS)]) == ""
    assert words.puzzling(a_job(config, {"type": "Complete"}), []) == ""
    warning = 'MountVolume.SetUp failed for volume "secrets" : references non-existent secret key: NOTE'
    assert words.workload(job, [creating], {"pod-0": warning}).reason == "its Secret has no key NOTE"
    assert words.workload(job, [], {"job": "Error creating: no"}).reason == "no"


def test_a_whole_workload(config: Config) -> None:
    """A retried job: its pods are the newest of each rank, and its restarts count those before."""
    job = a_job(config, {"type": "Failed", "reason": "FailedIndexes"})
    first, last = a_pod("Failed", state=ended(1)), a_pod("Failed", state=ended(3), number=9)
    last["metadata"]["annotations"][words.FAILURES] = "1"
    found = words.workload(job, [last, first])
    assert to_json(found) == {
        "name": "x",
        "backend": "kubernetes",
        "user": "jdoe",
        "kind": "training",
        "state": "Failed",
        "reason": "exit code 3",
        "image": IMAGE,
        "gpus": 8,
        "created": "2026-11-24T08:00:00+00:00",
        "started": "2026-11-24T08:00:05+00:00",
        "finished": "2026-11-24T09:00:00+00:00",
        "restarts": 1,
        "exit_code": 3,
        "pods": [
            {
                "name": "x-0-9",
                "rank": 0,
                "state": "Failed",
                "reason": "exit code 3",
                "node": "gpu-0",
                "restarts": 0,
                "exit_code": 3,
                "created": "2026-11-24T08:09:05+00:00",
                "started": "2026-11-24T08:00:05+00:00",
                "finished": "2026-11-24T09:00:00+00:00",
            }
        ],
        "tasks": None,
    }
    assert found.submission == '{"gpus": 8, "memory": "64Gi", "name": "x", "train": true}'
