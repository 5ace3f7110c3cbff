"""What Kubernetes, its scheduler, kubelets and registries say, in the user's words. The messages are theirs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit.backends.kubernetes import arrays, reasons, words
from mlo_submit.backends.kubernetes.manifest import render
from mlo_submit.env import Config
from mlo_submit.job import Flags, from_flags
from mlo_submit.workload import Workload, to_json

NOW = datetime(2026, 11, 24)
IMAGE = "registry.example.org/mlo/base:1"
CREATED, BEGAN, ENDED = "2026-11-24T08:00:00Z", "2026-11-24T08:00:05Z", "2026-11-24T09:00:00Z"
WANTS = {"nvidia.com/gpu": "8", "memory": "64Gi", "cpu": "4"}

SCHEDULER = {
    "0/5 nodes are available: 2 Insufficient nvidia.com/gpu, 3 node(s) didn't match Pod's node affinity/selector. "
    "preemption: 0/5 nodes are available: 2 No preemption victims found for incoming pod, 3 Preemption is not helpful "
    "for scheduling.": "no node has 8 free nvidia.com/gpu (2 of 5 nodes match)",
    "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/1 nodes are "
    "available: 1 No preemption victims found for incoming pod.": "no node has 8 free nvidia.com/gpu",
    "0/4 nodes are available: 1 Insufficient cpu, 4 Insufficient memory, 4 Insufficient nvidia.com/gpu. preemption: "
    "not eligible due to preemptionPolicy=Never.": (
        "no node has 4 free cpu and 64Gi free memory and 8 free nvidia.com/gpu"
    ),
    "0/3 nodes are available: 1 Insufficient rdma/hca, 2 node(s) had untolerated taint {dedicated: infra}. preemption: "
    "0/3 nodes are available: 3 Preemption is not helpful for scheduling.": (
        "no node has enough free rdma/hca (1 of 3 nodes match, 2 with the taint dedicated: infra)"
    ),
    "0/2 nodes are available: 1 Too many pods, 1 node(s) were unschedulable.": (
        "no node has room for another pod (1 of 2 nodes match, 1 closed to new pods)"
    ),
    "0/5 nodes are available: 5 node(s) didn't match Pod's node affinity/selector. preemption: 0/5 nodes are "
    "available: 5 Preemption is not helpful for scheduling.": "no node takes it: of 5, 5 not of its node selector",
    "0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, 2 node(s) didn't match "
    "Pod's node affinity/selector.": (
        "no node takes it: of 3, 1 with the taint node.kubernetes.io/not-ready, 2 not of its node selector"
    ),
    "0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/1 ": (
        "no node takes it: of 1, 1 with a taint"
    ),
    "0/2 nodes are available: 2 node(s) had taint {gpu: yes}, that the pod didn't tolerate.": (
        "no node takes it: of 2, 2 with the taint gpu: yes"
    ),
    "0/1 nodes are available: 1 node(s) had volume node affinity conflict.": (
        "no node takes it: of 1, 1 out of its volume's reach"
    ),
    '0/1 nodes are available: persistentvolumeclaim "mlo-scratch" not found. preemption: 0/1 nodes are available: 1 '
    "Preemption is not helpful for scheduling.": "PVC mlo-scratch does not exist",
    'persistentvolumeclaim "old" is being deleted': "PVC old is being deleted",
    "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3 nodes are available: 3 "
    "Preemption is not helpful for scheduling.": "its PVC has no volume yet",
    "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.": (
        "no node takes it: of 2, 2 didn't match pod anti-affinity rules"
    ),
    "no nodes available to schedule pods": "no nodes available to schedule pods",
    "Scheduling is blocked due to scheduling gates": "Scheduling is blocked due to scheduling gates",
}


@pytest.mark.parametrize(("message", "says"), SCHEDULER.items())
def test_the_scheduler(message: str, says: str) -> None:
    assert reasons.placement(message, WANTS) == says


RESOURCES = st.lists(st.sampled_from(["cpu", "memory", "nvidia.com/gpu", "rdma/hca"]), min_size=1, unique=True)


@given(RESOURCES, st.integers(1, 900), st.integers(0, 900))
def test_every_resource_that_is_short_is_named(short: list[str], match: int, others: int) -> None:
    """Whatever else is against the nodes, the number of those that match is right."""
    items = [f"{match} Insufficient {resource}" for resource in short]
    items += [f"{others} node(s) didn't match Pod's node affinity/selector"] if others else []
    total = match + others
    said = reasons.placement(f"0/{total} nodes are available: {', '.join(sorted(items))}. preemption: 0/{total} x.", {})
    assert all(f"enough free {resource}" in said for resource in short)
    assert (f"{match} of {total} nodes match" in said) == bool(others)


@given(st.text())
def test_what_nobody_foresaw_is_told_in_full(text: str) -> None:
    unknown = f"KAI: {text}"
    assert reasons.placement(unknown, {}) == unknown
    assert text in reasons.pull(IMAGE, "ErrImagePull", f"x509: {text}") or "pulled: " in reasons.pull(IMAGE, "", text)
    assert reasons.creation(f"Error creating: {unknown}") == unknown


REFERENCE = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": '
PULLS = {
    f"{REFERENCE}{IMAGE}: not found": f"the image {IMAGE} cannot be pulled: image not found",
    f'Back-off pulling image "{IMAGE}": ErrImagePull: {REFERENCE}{IMAGE}: not found': (
        f"the image {IMAGE} cannot be pulled: image not found"
    ),
    f"rpc error: code = NotFound desc = {REFERENCE}{IMAGE}: not found": (
        f"the image {IMAGE} cannot be pulled: image not found"
    ),
    f"initializing source docker://{IMAGE}: reading manifest 1 in registry.example.org/mlo/base: manifest unknown": (
        f"the image {IMAGE} cannot be pulled: image not found"
    ),
    f"{REFERENCE}pull access denied, repository does not exist or may require authorization: server message: "
    "insufficient_scope: authorization failed": (
        f"the image {IMAGE} does not exist, or may not be pulled: access denied"
    ),
    f"{REFERENCE}failed to authorize: failed to fetch anonymous token: unexpected status from GET request to "
    "https://registry.example.org/service/token: 401 Unauthorized": (
        f"the image {IMAGE} may not be pulled: access denied"
    ),
    f"{REFERENCE}unexpected status from HEAD request to https://registry.example.org/v2/: 403 Forbidden": (
        f"the image {IMAGE} may not be pulled: access denied"
    ),
    f'{REFERENCE}failed to do request: Head "https://registry.example.org/v2/mlo/base/manifests/1": dial tcp: lookup '
    "registry.example.org on 10.0.0.2:53: no such host": (
        f"the image {IMAGE} cannot be pulled: dial tcp: lookup registry.example.org on 10.0.0.2:53: no such host"
    ),
    f'Back-off pulling image "{IMAGE}"': f"the image {IMAGE} cannot be pulled",
}


@pytest.mark.parametrize(("message", "says"), PULLS.items())
def test_the_registry(message: str, says: str) -> None:
    assert reasons.pull(IMAGE, "ImagePullBackOff", message) == says


def test_images_that_no_registry_is_asked_for() -> None:
    assert "is no name of an image" in reasons.pull("a b", "InvalidImageName", 'couldn\'t parse image name "a b"')
    assert "MLO_IMAGE_PULL_POLICY" in reasons.pull(IMAGE, "ErrImageNeverPull", "Container image is not present")


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ('secret "jdoe-env" not found', "the Secret jdoe-env does not exist"),
        ("couldn't find key NOTE in Secret runai-lab/jdoe-env", "the Secret jdoe-env has no key NOTE"),
        (
            'MountVolume.SetUp failed for volume "secrets" : secret "jdoe-env" not found',
            "the Secret jdoe-env does not exist",
        ),
        (
            'MountVolume.SetUp failed for volume "secrets" : references non-existent secret key: NOTE',
            "its Secret has no key NOTE",
        ),
        ("mount.nfs: Connection timed out", "mount.nfs: Connection timed out"),
    ],
)
def test_what_a_container_is_made_from(message: str, says: str) -> None:
    assert reasons.configuration(message) == says


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (
            'Error creating: pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=8, '
            "used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=8",
            "the quota gpus has no room for 8 more requests.nvidia.com/gpu (4 of 8 used)",
        ),
        (
            'Error creating: pods "x" is forbidden: exceeded quota: q, requested: pods=1,requests.memory=64Gi, used: '
            "pods=9,requests.memory=0, limited: pods=9,requests.memory=1Gi",
            "the quota q has no room for 1 more pods (9 of 9 used) and 64Gi more requests.memory (0 of 1Gi used)",
        ),
        (
            'Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
            'violates PodSecurity "restricted:latest": runAsNonRoot != true',
        ),
    ],
)
def test_why_no_pod_is_made(message: str, says: str) -> None:
    assert reasons.creation(message) == says


@pytest.mark.parametrize(
    ("terminated", "says"),
    [
        ({"exitCode": 0, "reason": "Completed"}, ""),
        ({"exitCode": 3, "reason": "Error"}, "exit code 3"),
        ({"exitCode": 137, "reason": "OOMKilled"}, "OOM killed at 64Gi"),
        # The kernel ended a child of the job, not the job's first process; the pod's boot tells.
        (
            {"exitCode": 137, "reason": "Error", "message": "ended by signal 9: out of memory (limit 64 GiB)"},
            "OOM killed at 64Gi",
        ),
        ({"exitCode": 137, "reason": "Error"}, "ended by signal 9"),
        ({"exitCode": 143, "reason": "Error"}, "ended by signal 15"),
        (
            {"exitCode": 1, "message": "ended with exit code 1; 2 of its processes ran out of memory"},
            "exit code 1",
        ),
        ({"exitCode": 143, "message": "was stopped: its pod was not used"}, "nobody used its pod"),
        ({"exitCode": 128, "reason": "StartError", "message": "exec: no such file"}, "exec: no such file"),
    ],
)
def test_how_a_container_ended(terminated: dict[str, Any], says: str) -> None:
    assert reasons.ending(terminated, "64Gi") == says


@pytest.mark.parametrize(
    ("reason", "message", "says"),
    [
        (
            "PreemptionByScheduler",
            "default-scheduler: preempting to accommodate a higher priority pod",
            "gave way to a job of higher priority",
        ),
        ("EvictionByEvictionAPI", "Eviction API: evicting", "evicted: its node was to be emptied"),
        (
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
            "its node could no longer be used",
        ),
        ("DeletionByPodGC", "PodGC: node no longer exists", "its node is gone"),
        (
            "TerminationByKubelet",
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 9Mi. ",
            "evicted: its node ran out of memory",
        ),
        (
            "TerminationByKubelet",
            "The node was low on resource: ephemeral-storage. ",
            "evicted: its node ran out of disk",
        ),
        (
            "TerminationByKubelet",
            "Pod was terminated in response to imminent node shutdown.",
            "its node was shut down",
        ),
        ("Tomorrow", "", "Tomorrow"),
    ],
)
def test_why_a_pod_is_taken_away(reason: str, message: str, says: str) -> None:
    assert reasons.disruption(reason, message) == says


# ---- states


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
