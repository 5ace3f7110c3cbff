"""run:ai, through its command line in version 1 or 2."""

from __future__ import annotations

from mlo_submit.backends import kubernetes
from mlo_submit.backends.runai.jobs import connect
from mlo_submit.backends.runai.launch import preview, submit

REQUIRED: frozenset[str] = kubernetes.REQUIRED
NEEDED: frozenset[str] = kubernetes.NEEDED

__all__ = ["NEEDED", "REQUIRED", "connect", "preview", "submit"]
