"""What Kubernetes, its scheduler, kubelets and registries say, in the user's words. The messages are theirs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit.backends.kubernetes import reasons

IMAGE = "registry.example.org/mlo/base:1"
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
        ({"exitCode": 143, "message": "ended with exit code 0; its time limit was over"}, "time limit"),
        # In an image that is not ours.
        ({"exitCode": 1, "message": "[mlo] the time limit of 60 seconds is over\n"}, "time limit"),
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
