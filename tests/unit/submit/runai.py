"""What run:ai and Kubernetes say of jobs, for the tests of both."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from mlo_submit import labels
from mlo_submit.backends.runai import cli, words
from mlo_submit.backends.runai.listing import Listed
from mlo_submit.workload import Workload

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)

HEADER = (
    "NAME{0}  STATUS            AGE   NODE  IMAGE       TYPE         PROJECT   USER  "
    "GPUs Allocated (Requested)  PODs Running (Pending)  SERVICE URL(S)"
)
ROW = (
    "{0}  {1:16}  {2:4}  n1    lab/mlo:1   {3:11}  mlo-jdoe  {4:4}  "
    "{5:26}  {6:22}  "
)  # fmt: skip


def table(*rows: tuple[str, str, str, str, str, str, str]) -> str:
    width = max(4, *(len(row[0]) for row in rows))
    lines = [ROW.format(row[0].ljust(width), *row[1:]) for row in rows]
    return "\n".join(["Showing jobs for project mlo-jdoe", HEADER.format(" " * (width - 4)), *lines, ""])


def listed(status: str, **fields: Any) -> Listed:
    return Listed(name="x", status=status, group=cli.TRAINING, created=NOW, **fields)


def pod(name: str = "x-0-0", **fields: Any) -> dict[str, Any]:
    """A pod of ours that waits for a node."""
    marks = {
        labels.INSTANCE: "x",
        labels.USER: "jdoe",
        labels.COMPONENT: "training",
        labels.MANAGED_BY: labels.OURS,
        **fields.pop("labels", {}),
    }
    container = {"name": "x", "image": "lab/mlo:2", "resources": {"limits": {"nvidia.com/gpu": "4"}}}
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": fields.pop("created", "2026-11-24T11:00:00Z"),
            "labels": marks,
            "annotations": fields.pop("annotations", {}),
            "ownerReferences": [{"apiVersion": "run.ai/v1", "kind": "RunaiJob", "name": "x"}],
        },
        "spec": {"containers": [container]},
        "status": fields or {"phase": "Pending"},
    }


def ended(code: int) -> dict[str, Any]:
    terminated = {"exitCode": code, "reason": "Error", "finishedAt": "2026-11-24T11:30:00Z"}
    return {"phase": "Failed", "containerStatuses": [{"name": "x", "state": {"terminated": terminated}}]}


def unscheduled(message: str) -> dict[str, Any]:
    return {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}],
    }


NO_CLAIM = '0/1 nodes are available: persistentvolumeclaim "wrong" not found.'


def job_of(row: Listed, *pods: dict[str, Any], detail: object = None) -> Workload:
    return words.workload(row, pods=pods, detail=detail, account="jdoe", project="mlo-jdoe")
