"""The labels by which a job and what belongs to it are found again, on every backend."""

from __future__ import annotations

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
USER = "mlo-submit/user"
BACKEND = "mlo-submit/backend"
"""Marks the pods of run:ai, whose namespace may hold Jobs of the Kubernetes backend, too."""
SUBMISSION = "mlo-submit/submission"
ARRAY = "mlo-submit/array"
"""Marks the pods of an array's tasks; as the annotation of a Kubernetes Job it holds their indices."""
RANK = "mlo-submit/rank"
"""Marks the containers of a multi-node job on Docker, whose job is that of INSTANCE."""

OURS = "mlo-submit"


def user(account: str) -> str:
    """An account's name as the value of a label."""
    return account.strip("-_.")


def mine(account: str | None) -> str:
    """The selector of jobs that mlo-submit made: an account's, or everybody's."""
    return f"{MANAGED_BY}={OURS}" + (f",{USER}={user(account)}" if account else "")
