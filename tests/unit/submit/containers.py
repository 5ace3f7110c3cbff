"""Containers as `docker inspect` tells of them: what the backend reads of a real answer."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from mlo_submit import submission
from mlo_submit.job import Flags

CREATED = "2026-11-24T10:00:00.123456789Z"
STARTED = "2026-11-24T10:00:01.250000001Z"
FINISHED = "2026-11-24T10:01:01.5Z"
NEVER = "0001-01-01T00:00:00Z"


def container(
    name: str = "x",
    status: str = "running",
    *,
    code: int = 0,
    error: str = "",
    oom: bool = False,
    memory: int = 0,
    restarts: int = 0,
    flags: Flags | None = None,
    user: str = "jdoe",
    labels: dict[str, str] | None = None,
    mounts: dict[str, str] | None = None,
    gpus: int = 0,
    container_id: str = "0123456789ab",
) -> dict[str, Any]:
    """A container of a job; `mounts` are sources by target, `labels` stand instead of ours."""
    ours = {
        "app.kubernetes.io/component": "training",
        "app.kubernetes.io/managed-by": "mlo-submit",
        "mlo-submit/user": user,
        "mlo-submit/submission": submission.encode(flags or Flags(name=name)),
    }
    return {
        "Id": container_id,
        "Name": f"/{name}",
        "Created": CREATED,
        "RestartCount": restarts,
        "State": {
            "Status": status,
            "ExitCode": code,
            "Error": error,
            "OOMKilled": oom,
            "StartedAt": NEVER if status == "created" else STARTED,
            "FinishedAt": FINISHED if status in ("exited", "dead", "restarting") else NEVER,
        },
        "Config": {"Image": "registry.example.org/mlo/base:1", "Labels": ours if labels is None else labels},
        "HostConfig": {
            "Memory": memory,
            "DeviceRequests": [{"Count": gpus}] if gpus else None,
            "Mounts": [
                {"Type": "bind", "Source": source, "Target": target} for target, source in (mounts or {}).items()
            ]
            or None,
        },
    }


def told(action: str, seconds: int, **attributes: str) -> dict[str, Any]:
    """An event of a container, some seconds after it was created, as `docker events` tells of it."""
    at = datetime(2026, 11, 24, 10, 0, seconds, tzinfo=timezone.utc)
    return {
        "Action": action,
        "Actor": {"Attributes": {"name": "x", **attributes}},
        "timeNano": int(at.timestamp()) * 10**9,
    }
