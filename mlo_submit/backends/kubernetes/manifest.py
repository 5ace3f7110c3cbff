"""A job as a batch/v1 Job, and the Service by which the pods of a multi-node job find each other: plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlo_submit import submission
from mlo_submit.errors import RefusedError
from mlo_submit.job import SECRETS_DIR, Job, container_environ, rdma, rendezvous
from mlo_submit.kube import JSON
from mlo_submit.labels import ARRAY, SUBMISSION

CONTAINER = "job"
CONTAINERS = (CONTAINER, "pytorch")  # the second is that of a PyTorchJob, and of run:ai's own
GPU = "nvidia.com/gpu"
QUEUE_LABELS = {"runai-scheduler": "runai/queue", "kai-scheduler": "kai.scheduler/queue"}
KUEUE_LABEL = "kueue.x-k8s.io/queue-name"
PARTLY = "kueue.x-k8s.io/job-min-parallelism"
"""The annotation by which Kueue lets in as many tasks of an array at a time as its quota has room for."""
PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
NAME = 63  # characters of the host name of a pod
KILLED = 137
"""The exit code of what KILL ended: out of memory, mostly. Of our image also where that was a child of the command."""
TERMINATED = 143
"""That of what TERM ended; of our image also where a time limit was over, whatever the command made of it."""


def render(job: Job, multi_node: Mapping[str, str] | None = None) -> JSON:
    """The Job as the API takes it. `multi_node` tells its pods of each other, if not by the names of a Job's pods."""
    config = job.config
    queue = {_queue_label(job): job.queue} if job.queue else {}
    priority = {PRIORITY_LABEL: job.priority} if job.priority and in_kueue(job) else {}
    retries = job.retries if job.training else 0
    pods = count(job)
    annotations = {"annotations": dict(config.worker_annotations)} if _wants(job, "MLO_WORKER_ANNOTATIONS") else {}
    spec: JSON = {
        # Of an indexed Job alone are disruptions counted: on each pod, since the one that gave way is forgotten.
        "completionMode": "Indexed",
        "completions": pods,
        **({"parallelism": pods, "maxFailedIndexes": 0} if job.workers else {}),  # no rank goes on without the others
        **({"parallelism": min(job.array.at_once or pods, pods)} if job.array else {}),
        "backoffLimitPerIndex": retries,
        # Where Kubernetes is older than 1.29. It would end an array with its first task that fails.
        **({} if job.array else {"backoffLimit": retries * pods}),
        **({"ttlSecondsAfterFinished": config.ttl} if config.ttl is not None else {}),
        # A preempted or evicted pod is replaced, once it is gone, and does not count as a failure, even when its grace
        # period was too short. What runs out of memory would do so at each try.
        # Not so 143, of a time limit: a pod that `stop` ends has it, too, and that is no failure.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailIndex" if job.array else "FailJob",  # the first is unknown before 1.29
                    "onExitCodes": {"operator": "In", "values": [KILLED]},
                },
            ]
        },
        "template": {
            # Kueue takes pods of its own label for jobs of their own; the schedulers read theirs from the pod.
            "metadata": {
                "labels": {
                    **job.labels,
                    **({} if in_kueue(job) else queue),
                    **({ARRAY: "task"} if job.array else {}),
                },
                **annotations,
            },
            "spec": _pod(job, rendezvous(job) if multi_node is None else multi_node),
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job.name,
            "namespace": config.namespace,
            "labels": {**job.labels, **queue, **priority},
            "annotations": {
                SUBMISSION: submission.encode(job.flags),
                **({ARRAY: str(job.array)} if job.array else {}),
                **({PARTLY: "1"} if job.array and job.queue and in_kueue(job) else {}),
            },
        },
        "spec": spec,
    }


def final_codes(spec: JSON) -> list[int]:
    """The exit codes of a Job's pods after which nothing is tried again."""
    rules = (spec.get("podFailurePolicy") or {}).get("rules", ())
    return [code for rule in rules for code in rule.get("onExitCodes", {}).get("values", ())]


def _queue_label(job: Job) -> str:
    return job.config.queue_label or QUEUE_LABELS.get(job.config.scheduler, KUEUE_LABEL)


def in_kueue(job: Job) -> bool:
    """Whether the job waits in a queue of Kueue, whose priorities are its own."""
    return bool(job.queue) and _queue_label(job) == KUEUE_LABEL


def count(job: Job) -> int:
    """How many pods an Indexed Job completes."""
    return len(job.array.indices) if job.array else job.workers + 1


def service(job: Job) -> JSON:
    """The headless Service that gives each pod of a multi-node job the name NAME-RANK.NAME, from its creation on."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": job.name, "namespace": job.config.namespace, "labels": job.labels},
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"job-name": job.name}},
    }


def _wants(job: Job, key: str) -> bool:
    """Whether a key of .env is for the job's pods. Its default is the lab's, without which no other cluster would run
    them: here it counts only where it is written down.
    """
    return bool(job.workers and job.config.values.get(key))


def _extended(job: Job) -> tuple[tuple[str, int], ...]:
    return job.config.worker_resources if _wants(job, "MLO_WORKER_RESOURCES") else ()


def _pod(job: Job, multi_node: Mapping[str, str]) -> JSON:
    config = job.config
    volumes, mounts = _volumes(job)
    priority = config.priority_class if in_kueue(job) else job.priority or config.priority_class
    return {
        "restartPolicy": "Never",
        **({"subdomain": job.name} if job.workers else {}),
        **({"schedulerName": config.scheduler} if config.scheduler else {}),
        **({"priorityClassName": priority} if priority else {}),
        **({"terminationGracePeriodSeconds": job.given_grace} if job.given_grace is not None else {}),
        **({"hostIPC": True} if job.host_ipc else {}),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsUser": job.uid, "runAsGroup": job.gid},
        **_placement(job),
        "containers": [
            {
                "name": CONTAINER,
                "image": job.image,
                **({"imagePullPolicy": config.pull_policy} if config.pull_policy else {}),
                "args": [literal(word) for word in job.argv],
                "env": _env(job, multi_node),
                **({"ports": [{"containerPort": job.port}]} if job.port else {}),
                "resources": _resources(job),
                "securityContext": {"allowPrivilegeEscalation": True},
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }


def literal(text: str) -> str:
    """Text that the kubelet, which expands `$(NAME)` and `$$` in args and values, turns back into what it was."""
    return text.replace("$", "$$")


def _env(job: Job, multi_node: Mapping[str, str]) -> list[JSON]:
    environ = container_environ(job, {**multi_node, **rdma(_extended(job))})
    env: list[JSON] = [{"name": name, "value": literal(value)} for name, value in environ.items()]
    if job.secret_files is False:
        optional = {"optional": True} if job.secret_optional else {}
        for key in job.config.secret_keys:
            if key not in job.env:
                source = {"name": job.secret_name, "key": key, **optional}
                env.append({"name": key, "valueFrom": {"secretKeyRef": source}})
    return env


def _volumes(job: Job) -> tuple[list[JSON], list[JSON]]:
    volumes: list[JSON] = [{"name": "scratch", "persistentVolumeClaim": {"claimName": job.pvc}}]
    mounts: list[JSON] = [{"name": "scratch", "mountPath": job.config.mount_path}]
    if job.secret_files is not False and job.config.secret_keys:
        # Read by root at the boot, never by the job itself. The keys are named: the Secret holds all of .env.
        volume = {
            "secretName": job.secret_name,
            "defaultMode": 0o400,
            "items": [{"key": key, "path": key} for key in job.config.secret_keys],
            **({"optional": True} if job.secret_optional else {}),
        }
        volumes.append({"name": "secrets", "secret": volume})
        mounts.append({"name": "secrets", "mountPath": SECRETS_DIR, "readOnly": True})
    if job.large_shm or job.shm_size:
        limit = {"sizeLimit": job.shm_size} if job.shm_size else {}
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", **limit}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  # in the pod
    for number, mount in enumerate(job.mounts):
        read_only = {"readOnly": True} if mount.read_only else {}
        volumes.append({"name": f"mount-{number}", "persistentVolumeClaim": {"claimName": mount.source}})
        mounts.append({"name": f"mount-{number}", "mountPath": mount.target, **read_only})
    return volumes, mounts


def _resources(job: Job) -> JSON:
    # Memory that is not limited is taken from the neighbours; processor time that nobody uses is not.
    memory = {"memory": job.memory} if job.memory else {}
    devices = {**({GPU: str(job.gpus)} if job.gpus else {}), **{key: str(count) for key, count in _extended(job)}}
    requests = {**({"cpu": job.cpus} if job.cpus else {}), **memory, **devices}
    limits = {**memory, **devices}
    return {**({"requests": requests} if requests else {}), **({"limits": limits} if limits else {})}


def _placement(job: Job) -> JSON:
    config = job.config
    selector = dict(config.node_selector)
    if len(job.node_types) == 1:
        selector[config.node_type_label] = job.node_types[0]
    placement: JSON = {"nodeSelector": selector} if selector else {}
    if len(job.node_types) > 1:
        expression = {"key": config.node_type_label, "operator": "In", "values": list(job.node_types)}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
        placement["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    return placement


def check(job: Job, longest_suffix: str) -> None:
    """See that Kubernetes can run such a job. `longest_suffix` makes a pod's name of the job's.

    Raises:
        RefusedError: it cannot.
    """
    for text in (*job.argv, *job.env.values()):
        if not text.isascii() and text != text.encode(errors="replace").decode():
            raise RefusedError(f"{text!r} is not UTF-8, and Kubernetes takes nothing else: put it into a script.")
    longest = NAME - len(longest_suffix)
    if len(job.name) > longest:
        raise RefusedError(
            f"{job.name} is too long a name: Kubernetes adds {NAME - longest} characters to it for the pod, and takes "
            f"{NAME}. Choose a --name of at most {longest}."
        )
    if job.workers and not re.match("[a-z]", job.name):
        raise RefusedError(
            f"{job.name} cannot be the name of a job with --workers: that of their Service starts with a letter. "
            "Choose another --name."
        )
