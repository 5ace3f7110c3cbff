"""Docker on this machine: the same job with no cluster, no registry and no account."""

from __future__ import annotations

from mlo_submit.backends.docker.jobs import connect
from mlo_submit.backends.docker.launch import preview, submit

REQUIRED: frozenset[str] = frozenset({"RUNAI_IMAGE"})
NEEDED: frozenset[str] = frozenset()

__all__ = ["NEEDED", "REQUIRED", "connect", "preview", "submit"]
