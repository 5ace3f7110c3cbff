"""What a submission makes in the cluster: a Job, as run:ai would make its own."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from tests.standins.runai.cluster import KIND, kubectl
from tests.standins.runai.flags import Parsed, Wrong


def variable(item: str) -> dict[str, Any]:
    """A variable of the container: a value, or a reference to a key of a Secret."""
    name, _, value = item.partition("=")
    if value.startswith("SECRET:"):
        secret, comma, key = value.removeprefix("SECRET:").partition(",")
        if not comma or not secret or not key:
            raise Wrong(f"{item!r} must be NAME=SECRET:secret,key")
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
    return {"name": name, "value": value}


def create(
    parsed: Parsed,
    *,
    name: str,
    kind: str,
    gpus: str,
    cpu: str,
    memory: str,
    claims: list[tuple[str, str, bool]],
    variables: list[dict[str, Any]],
) -> int:
    """The workload, as a Job: run as the user, secrets by reference, claims mounted, the ENTRYPOINT kept."""
    namespace = f"runai-{parsed.one('project')}"
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    gpu = {"nvidia.com/gpu": gpus} if gpus != "0" else {}
    container = {
        "name": name,  # run:ai names it after the workload
        "image": parsed.one("image"),
        # A test cluster has its images, and no registry to pull them from.
        "imagePullPolicy": "IfNotPresent",
        "command" if parsed.one("command") == "true" else "args": parsed.rest,
        "env": variables,
        "resources": {"requests": {**requests, **gpu}, "limits": gpu},
        "securityContext": {"allowPrivilegeEscalation": parsed.one("allow-privilege-escalation") == "true"},
        "volumeMounts": [
            {"name": f"pvc-{number}", "mountPath": path, "readOnly": read_only}
            for number, (_, path, read_only) in enumerate(claims)
        ],
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "securityContext": {
            key: int(parsed.one(flag))
            for key, flag in (("runAsUser", "run-as-uid"), ("runAsGroup", "run-as-gid"))
            if flag in parsed.flags
        },
        "containers": [container],
        "volumes": [
            {"name": f"pvc-{number}", "persistentVolumeClaim": {"claimName": claim}}
            for number, (claim, _, _) in enumerate(claims)
        ],
    }
    if grace := parsed.one("termination-grace-period"):
        units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
        spec["terminationGracePeriodSeconds"] = sum(
            int(count) * units[unit] for count, unit in re.findall(r"(\d+)([dhms])", grace)
        )
    labels = {KIND: kind, **dict(item.split("=", 1) for item in parsed.flags.get("label", []))}
    marks = {"labels": labels, "annotations": dict(item.split("=", 1) for item in parsed.flags.get("annotation", []))}
    many: dict[str, Any] = {
        name: int(parsed.one(name)) for name in ("completions", "parallelism") if name in parsed.flags
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, **marks},
        "spec": {
            "backoffLimit": int(parsed.one("backoff-limit", "0")),
            **many,
            "template": {"metadata": marks, "spec": spec},
        },
    }
    if "MLO_STANDIN_KUBECONFIG" in os.environ:
        if kind == "pytorch":
            raise Wrong("the stand-in makes no distributed workloads", 1)
        done = kubectl("create", "-f", "-", stdin=json.dumps(job))
        if done.returncode:
            raise Wrong(done.stderr.strip(), 1)
    print(f"The job '{name}' has been submitted successfully")
    return 0
