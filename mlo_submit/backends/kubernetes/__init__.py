"""Plain Kubernetes: one batch/v1 Job, or what else `kinds` has for several pods."""

from __future__ import annotations

from mlo_submit.backends.kubernetes.jobs import connect
from mlo_submit.backends.kubernetes.launch import preview, submit

REQUIRED: frozenset[str] = frozenset({"K8S_NAMESPACE", "RUNAI_IMAGE", "RUNAI_SECRET_NAME", "SCRATCH_PVC"})
NEEDED: frozenset[str] = frozenset({"K8S_NAMESPACE"})

__all__ = ["NEEDED", "REQUIRED", "connect", "preview", "submit"]
