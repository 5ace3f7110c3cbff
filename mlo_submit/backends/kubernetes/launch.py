"""Sends a job to Kubernetes, once what it needs is known to be there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from mlo_submit import kubeconfig, process, yaml
from mlo_submit import secret as secrets
from mlo_submit.backends.kubernetes import kinds, kueue
from mlo_submit.backends.kubernetes.asking import delete, resources, seen, together
from mlo_submit.backends.kubernetes.kinds import JOB, Kind
from mlo_submit.backends.kubernetes.manifest import check, in_kueue
from mlo_submit.backends.kubernetes.words import finished
from mlo_submit.errors import MloError, RefusedError, note, warn
from mlo_submit.job import Job
from mlo_submit.kube import JSON, ApiRefusal, Cluster, Denied, path
from mlo_submit.labels import MANAGED_BY, OURS
from mlo_submit.machine import Machine
from mlo_submit.secret import Secret
from mlo_submit.terminal import Waiting

DELETION = 120  # seconds that a finished job's pod may take to go


def preview(job: Job, machine: Machine) -> str:
    """The job as YAML, and the Service of a Job with workers, which is sent with the Job as its owner."""
    kind = kinds.kind_of(job)
    check(job, kind.suffix(job))
    service = kind.service(job)
    return "---\n".join(yaml.dump(each) for each in (kind.render(job), *([service] if service else [])))


def submit(job: Job, secret: Secret, machine: Machine, *, sync: bool, replace: bool) -> None:
    """Create the job, once its Secret is in step and its kind and its claims are known to exist."""
    kind = kinds.kind_of(job)
    check(job, kind.suffix(job))
    cluster = kubeconfig.connect(machine, job.config.kube_context)
    if kind is not JOB:
        _require(cluster, job, kind)
    elif job.kind != "job":  # the cluster has that kind; to ask which there are would be a request more for everybody
        _check_name(cluster, job, kinds.KINDS[job.kind])
    prepare(cluster, job, secret, sync=sync)
    if replace:
        _delete_finished(cluster, job)
    made: JSON | None = None
    try:
        with process.uninterrupted():
            made = _create(cluster, job, kind)
            if service := kind.service(job):
                _serve(cluster, job, made, service)
    except (MloError, KeyboardInterrupt):
        if made is not None:
            delete(cluster, _place(job), propagationPolicy="Background")
        raise


def _create(cluster: Cluster, job: Job, kind: Kind) -> JSON:
    try:
        return cluster.call("POST", kinds.path(kind, job.config.namespace), kind.render(job))
    except ApiRefusal as error:
        if error.status == 404:
            raise RefusedError(secrets.no_namespace(job.config.namespace)) from None
        if error.status == 409:
            raise RefusedError(_taken(cluster, job)) from None
        raise


def _place(job: Job) -> str:
    return kinds.path(kinds.kind_of(job), job.config.namespace, job.name)


def _require(cluster: Cluster, job: Job, kind: Kind) -> None:
    """See that the cluster has the kind, that the user may make such a job, and that no Job has its name.

    Raises:
        RefusedError: one of them is not so.
    """
    api, namespace = kind.API, job.config.namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "namespace": namespace,
                "verb": "create",
                "group": api.split("/")[1],
                "resource": kind.PLURAL,
            }
        },
    }
    found, may, _ = together(
        lambda: resources(cluster, kind),
        lambda: cluster.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review),
        lambda: _check_name(cluster, job, JOB),
    )
    if kind.PLURAL not in found:
        raise RefusedError(
            f"the cluster has no {kind.TITLE} ({api.removeprefix('apis/')}): leave out --kind and MLO_KIND, and the "
            "job is a Job of Kubernetes' own; or ask the administrator to install it."
        )
    if not may["status"].get("allowed"):
        raise RefusedError(
            f"you may not create a {kind.TITLE} in {namespace}: ask the administrator for the right to create "
            f"{kind.PLURAL}.{api.split('/')[1]}, or leave out --kind and MLO_KIND."
        )


def _check_name(cluster: Cluster, job: Job, kind: Kind) -> None:
    """See that none of another kind than the job's has its name.

    Raises:
        RefusedError: there is one.
    """
    name, namespace = job.name, job.config.namespace
    if seen(cluster, kinds.path(kind, namespace, name)):
        raise RefusedError(
            f"there is a {kind.TITLE} {name} already in {namespace}: choose another --name, or delete it."
        )


def _serve(cluster: Cluster, job: Job, made: JSON, wanted: JSON) -> None:
    """Create the Service of the job's pods, which goes with the Job."""
    services = path("services", job.config.namespace)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": made["metadata"]["uid"]}
    wanted["metadata"]["ownerReferences"] = [owner]
    try:
        cluster.call("POST", services, wanted)
    except ApiRefusal as error:
        if error.status != 409:
            raise
        place = path("services", job.config.namespace, job.name)
        if (found := cluster.read(place)) and not _ours(found):
            raise RefusedError(
                f"there is a Service {job.name} already in {job.config.namespace}, not made by mlo-submit: "
                "choose another --name."
            ) from None
        # That of an earlier job, which has not gone with it yet.
        delete(cluster, place)
        cluster.call("POST", services, wanted)


def prepare(cluster: Cluster, job: Job, secret: Secret, *, sync: bool) -> None:
    """Check that the job's claims and its priority exist, and mirror .env: all at once, and then a request to write.

    Raises:
        RefusedError: one of them or the namespace does not exist, or the Secret is somebody else's.
    """
    claims = dict.fromkeys([job.pvc, *(mount.source for mount in job.mounts)])
    *known, _, stored = together(
        *(partial(_check_claim, cluster, job.config.namespace, claim) for claim in claims),
        lambda: _check_priority(cluster, job),
        lambda: secrets.read(cluster, secret) if sync else None,
    )
    unknown = [claim for claim, is_known in zip(claims, known, strict=True) if not is_known]
    if unknown:
        warn(f"whether the PVC {', '.join(unknown)} exists was not checked: you may not read PVCs in that namespace.")
    if sync:
        outcome = secrets.write(cluster, secret, stored)
        if outcome != "unchanged":
            note(f"Secret {secret.name} {outcome} in {secret.namespace}.")


def _check_claim(cluster: Cluster, namespace: str, claim: str) -> bool:
    """Whether a claim is known to exist; False where the user may not ask."""
    exists = _exists(cluster, path("persistentvolumeclaims", namespace, claim))
    if exists is False:
        raise RefusedError(_no_claim(cluster, namespace, claim))
    return bool(exists)


def _check_priority(cluster: Cluster, job: Job) -> None:
    if not job.priority:
        return
    kind, api = (
        ("WorkloadPriorityClass", kueue.API) if in_kueue(job) else ("PriorityClass", "/apis/scheduling.k8s.io/v1")
    )
    kinds = f"{kind.lower()}es"
    if _exists(cluster, f"{api}/{kinds}/{job.priority}") is False:
        raise RefusedError(
            f"there is no {kind} {job.priority}, and a job with it would never start: `kubectl get {kinds}` shows "
            "them. Give another --priority, or leave it out."
        )


def _exists(cluster: Cluster, place: str) -> bool | None:
    """Whether an object exists; None where the user may not ask."""
    try:
        return bool(cluster.read(place))
    except Denied as error:
        if error.status != 403:
            raise
        return None


def _no_claim(cluster: Cluster, namespace: str, claim: str) -> str:
    try:
        cluster.call("GET", f"/api/v1/namespaces/{namespace}")
    except MloError as error:
        if getattr(error, "status", 0) == 404:
            return secrets.no_namespace(namespace)
    try:
        found = cluster.call("GET", path("persistentvolumeclaims", namespace))["items"]
        there = ", ".join(item["metadata"]["name"] for item in found) or "none"
    except MloError:
        there = "not for you to list"
    return (
        f"the PVC {claim} does not exist in {namespace}, and a job with it would never start. PVCs there: {there}. "
        "Set SCRATCH_PVC, or give --pvc."
    )


def _taken(cluster: Cluster, job: Job) -> str:
    try:
        found = cluster.call("GET", _place(job))
    except MloError:
        found = {}
    if _ours(found) and finished(kinds.kind_of(job).as_job(found)):
        return f"there is a finished job {job.name} already: replace it with --replace, or choose another --name."
    return f"there is a job {job.name} already in {job.config.namespace}: choose another --name, or delete it first."


def _delete_finished(cluster: Cluster, job: Job) -> None:
    name, namespace, place = job.name, job.config.namespace, _place(job)
    found = cluster.read(place)
    if not found:
        return
    if not _ours(found):
        raise RefusedError(f"the job {name} in {namespace} was not made by mlo-submit: --replace leaves it alone.")
    if not finished(kinds.kind_of(job).as_job(found)):
        raise RefusedError(f"the job {name} still runs: --replace only deletes a finished one. Choose another --name.")
    delete(cluster, place, propagationPolicy="Foreground")  # the Job goes after its pods
    deadline = time.monotonic() + DELETION
    with Waiting() as waiting:
        while cluster.read(place):
            if time.monotonic() > deadline:
                break
            waiting.tell(f"waiting for the deletion of the finished job {name}")
            time.sleep(0.2)
        else:
            return
    raise RefusedError(f"the finished job {name} is not gone {DELETION} seconds after its deletion: try again later.")


def _ours(found: Mapping[str, Any]) -> bool:
    labels = found.get("metadata", {}).get("labels") or {}
    return bool(labels.get(MANAGED_BY) == OURS)
