"""Plain Kubernetes: one batch/v1 Job."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from mlo_submit import kube, process, yaml
from mlo_submit import secret as secrets
from mlo_submit.errors import MloError, RefusedError, UnavailableError, note, warn
from mlo_submit.job import SECRETS_DIR, Job, container_environ
from mlo_submit.kube import JSON, ApiRefusal, Cluster, Denied
from mlo_submit.machine import Machine
from mlo_submit.secret import Secret

REQUIRED: frozenset[str] = frozenset({"K8S_NAMESPACE", "RUNAI_IMAGE", "RUNAI_SECRET_NAME", "SCRATCH_PVC"})

CONTAINER = "job"
GPU = "nvidia.com/gpu"
QUEUE_LABELS = {"runai-scheduler": "runai/queue", "kai-scheduler": "kai.scheduler/queue"}
KUEUE_LABEL = "kueue.x-k8s.io/queue-name"
DELETION = 120  # seconds that a finished job's pod may take to go


def render(job: Job) -> JSON:
    """The Job as the API takes it."""
    config = job.config
    queue_label = config.queue_label or QUEUE_LABELS.get(config.scheduler, KUEUE_LABEL)
    queue = {queue_label: job.queue} if job.queue else {}
    spec: JSON = {
        "backoffLimit": job.retries if job.training else 0,
        **({"activeDeadlineSeconds": job.time} if job.time else {}),
        **({"ttlSecondsAfterFinished": config.ttl} if config.ttl is not None else {}),
        # A preempted or evicted pod is replaced, once it is gone, and does not count as a failure.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        },
        "template": {
            # Kueue takes pods of its own label for jobs of their own; the schedulers read theirs from the pod.
            "metadata": {"labels": {**job.labels, **(queue if queue_label != KUEUE_LABEL else {})}},
            "spec": _pod(job),
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name, "namespace": config.namespace, "labels": {**job.labels, **queue}},
        "spec": spec,
    }


def _pod(job: Job) -> JSON:
    config = job.config
    volumes, mounts = _volumes(job)
    return {
        "restartPolicy": "Never",
        **({"schedulerName": config.scheduler} if config.scheduler else {}),
        **({"priorityClassName": config.priority_class} if config.priority_class else {}),
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
                "args": [literal(word) for word in job.argv(time_limit=False)],
                "env": _env(job),
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


def _env(job: Job) -> list[JSON]:
    env: list[JSON] = [{"name": name, "value": literal(value)} for name, value in container_environ(job).items()]
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
    gpus = {GPU: str(job.gpus)} if job.gpus else {}
    requests = {**({"cpu": job.cpus} if job.cpus else {}), **memory, **gpus}
    limits = {**memory, **gpus}
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


def preview(job: Job, machine: Machine) -> str:
    """The Job as YAML."""
    _check(job)
    return yaml.dump(render(job))


def _check(job: Job) -> None:
    for text in (*job.argv(time_limit=False), *job.env.values()):
        if not text.isascii() and text != text.encode(errors="replace").decode():
            raise RefusedError(f"{text!r} is not UTF-8, and Kubernetes takes nothing else: put it into a script.")
    if job.workers:
        raise RefusedError(
            "--workers needs run:ai: on Kubernetes a job is one pod. Choose --backend runai, or leave it out."
        )


def submit(job: Job, secret: Secret, machine: Machine, *, sync: bool, replace: bool) -> Mapping[str, str]:
    """Create the Job, once its Secret is in step and its claims are known to exist."""
    _check(job)
    cluster = kube.connect(machine, job.config.kube_context)
    prepare(cluster, job, secret, sync=sync)
    if replace:
        _delete_finished(cluster, job)
    try:
        cluster.call(cluster.batch.create_namespaced_job, job.config.namespace, render(job))
    except ApiRefusal as error:
        if error.status == 404:
            raise RefusedError(secrets.no_namespace(job.config.namespace)) from None
        if error.status == 409:
            raise RefusedError(_taken(cluster, job)) from None
        raise
    context = f" --context {job.config.kube_context}" if job.config.kube_context else ""
    kubectl = f"kubectl{context} -n {job.config.namespace}"
    return {
        "describe": f"{kubectl} describe job {job.name}",
        "logs": f"{kubectl} logs -f job/{job.name}",
        "shell": f"{kubectl} exec -it job/{job.name} -- zsh",
        "delete": f"{kubectl} delete job {job.name}",
    }


def prepare(cluster: Cluster, job: Job, secret: Secret, *, sync: bool) -> None:
    """Check that the job's claims exist, and mirror .env: two requests at once, and a third only to write.

    Raises:
        RefusedError: a claim or the namespace does not exist, or the Secret is somebody else's.
    """
    from concurrent.futures import ThreadPoolExecutor

    claims = dict.fromkeys([job.pvc, *(mount.source for mount in job.mounts)])
    with ThreadPoolExecutor() as pool:
        checks = [pool.submit(_check_claim, cluster, job.config.namespace, claim) for claim in claims]
        current = pool.submit(secrets.read, cluster, secret) if sync else None
        unknown = [claim for claim, check in zip(claims, checks, strict=True) if not check.result()]
        stored = current.result() if current else None
    if unknown:
        warn(f"whether the PVC {', '.join(unknown)} exists was not checked: you may not read PVCs in that namespace.")
    if sync:
        outcome = secrets.write(cluster, secret, stored)
        if outcome != "unchanged":
            note(f"Secret {secret.name} {outcome} in {secret.namespace}.")


def _check_claim(cluster: Cluster, namespace: str, claim: str) -> bool:
    """Whether a claim is known to exist; False where the user may not ask."""
    core = cluster.core
    try:
        cluster.call(core.read_namespaced_persistent_volume_claim, claim, namespace)
    except Denied as error:
        if error.status == 401:
            raise
        return False
    except ApiRefusal as error:
        if error.status != 404:
            raise
        raise RefusedError(_no_claim(cluster, namespace, claim)) from None
    return True


def _no_claim(cluster: Cluster, namespace: str, claim: str) -> str:
    core = cluster.core
    try:
        cluster.call(core.read_namespace, namespace)
    except MloError as error:
        if getattr(error, "status", 0) == 404:
            return secrets.no_namespace(namespace)
    try:
        found = cluster.call(core.list_namespaced_persistent_volume_claim, namespace)["items"]
        there = ", ".join(item["metadata"]["name"] for item in found) or "none"
    except MloError:
        there = "not for you to list"
    return (
        f"the PVC {claim} does not exist in {namespace}, and a job with it would never start. PVCs there: {there}. "
        "Set SCRATCH_PVC, or give --pvc."
    )


def _taken(cluster: Cluster, job: Job) -> str:
    try:
        found = cluster.call(cluster.batch.read_namespaced_job, job.name, job.config.namespace)
    except MloError:
        found = {}
    if _ours(found) and _finished(found):
        return f"there is a finished job {job.name} already: replace it with --replace, or choose another --name."
    return f"there is a job {job.name} already in {job.config.namespace}: choose another --name, or delete it first."


def _delete_finished(cluster: Cluster, job: Job) -> None:
    name, namespace = job.name, job.config.namespace
    read = cluster.batch.read_namespaced_job
    try:
        found = cluster.call(read, name, namespace)
        if not _ours(found):
            raise RefusedError(f"the job {name} in {namespace} was not made by mlo-submit: --replace leaves it alone.")
        if not _finished(found):
            raise RefusedError(
                f"the job {name} still runs: --replace only deletes a finished one. Choose another --name."
            )
        # In the foreground: the Job goes after its pods.
        cluster.call(cluster.batch.delete_namespaced_job, name, namespace, propagation_policy="Foreground")
        deadline = time.monotonic() + DELETION
        while time.monotonic() < deadline:
            cluster.call(read, name, namespace)
            time.sleep(0.2)
    except ApiRefusal as error:
        if error.status == 404:
            return
        raise
    raise RefusedError(f"the finished job {name} is not gone {DELETION} seconds after its deletion: try again later.")


def _ours(found: Mapping[str, Any]) -> bool:
    labels = found.get("metadata", {}).get("labels") or {}
    return bool(labels.get(secrets.MANAGED_BY) == secrets.OURS)


def _finished(found: Mapping[str, Any]) -> JSON | None:
    """The condition with which a job ended; None while it has not."""
    for condition in found.get("status", {}).get("conditions") or []:
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return dict(condition)
    return None


def follow(job: Job, machine: Machine) -> int:
    """Print the output of the job's pods, one after another, until the Job has ended."""
    name, namespace = job.name, job.config.namespace
    cluster = kube.connect(machine, job.config.kube_context)
    context = ["--context", job.config.kube_context] if job.config.kube_context else []
    code, done, told = 1, set[str](), ""
    while True:
        try:
            end = _finished(cluster.call(cluster.batch.read_namespaced_job, name, namespace))
        except ApiRefusal as error:
            if error.status == 404:
                raise RefusedError(f"the job {name} was deleted while it was followed.") from None
            raise
        pods = cluster.call(cluster.core.list_namespaced_pod, namespace, label_selector=f"job-name={name}")["items"]
        pods.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
        for pod in pods:
            pod_name = pod["metadata"]["name"]
            if pod_name in done:
                continue
            state = _container(pod)
            if "running" in state or "terminated" in state:
                since: list[str] = []
                failures = 0
                while True:
                    argv = ["kubectl", *context, "-n", namespace, "logs", "-f", *since, pod_name]
                    failures = failures + 1 if process.stream(machine, argv) else 0
                    if failures == 3:
                        raise UnavailableError(
                            f"kubectl cannot show the log of {pod_name} (see above); {name} goes on."
                        )
                    since = [f"--since-time={datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"]
                    if (terminated := _ended(cluster, namespace, pod_name)) is not None:
                        break
                code = terminated.get("exitCode", code)
                done.add(pod_name)
            elif (waiting := _waiting(pod, state)) and waiting != told:
                told = waiting
                note(waiting)
        if end:
            if end["type"] == "Complete":
                return 0
            if end.get("reason") == "DeadlineExceeded":
                note(f"{name} was stopped: its time limit of {job.time} seconds is over.")
                return 128 + signal.SIGTERM  # the pod, and what it ended with, may be gone by now
            return code or 1
        time.sleep(1)


def _container(pod: JSON) -> JSON:
    for status in pod.get("status", {}).get("containerStatuses") or []:
        if status["name"] == CONTAINER:
            return dict(status["state"])
    return {}


def _ended(cluster: Cluster, namespace: str, pod: str) -> JSON | None:
    """How a pod's container ended, after its log did; None when it runs on, and the log only broke off."""
    for _ in range(10):
        try:
            state = _container(cluster.call(cluster.core.read_namespaced_pod, pod, namespace))
        except ApiRefusal as error:
            if error.status == 404:
                return {}
            raise
        if "terminated" in state:
            return dict(state["terminated"])
        time.sleep(0.3)
    return None


def _waiting(pod: JSON, state: JSON) -> str:
    """What a pod waits for, in words.

    Raises:
        RefusedError: it waits for an image that cannot be pulled.
    """
    reason, message = state.get("waiting", {}).get("reason", ""), state.get("waiting", {}).get("message", "")
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        image, metadata = pod["spec"]["containers"][0]["image"], pod["metadata"]
        delete = f"kubectl -n {metadata['namespace']} delete job {metadata['labels']['job-name']}"
        raise RefusedError(
            f"the image {image} cannot be pulled: {message or reason}. Check its name and your access to the registry; "
            f"then `{delete}`, and submit again."
        )
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return f"The pod cannot start yet: {message or reason}"
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"The pod waits for a node: {condition.get('message', '')}"
    return "The pod starts." if reason == "ContainerCreating" else ""
