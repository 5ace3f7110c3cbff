"""Jobs with workers of each other kind, and where an API server has them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from mlo_submit.backends.kubernetes import kinds
from mlo_submit.env import Config
from mlo_submit.job import Flags, Job, from_flags
from tests.unit.submit.kubejobs import NAMESPACE

Told = dict[str, Any]

JOBSETS = f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{NAMESPACE}/jobsets"
PYTORCHJOBS = f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/pytorchjobs"
OTHERS = pytest.mark.parametrize("kind", ["jobset", "pytorchjob"])


def a_job(config: Config, kind: str, **more: Any) -> Job:
    flags: Told = {"name": "x", "workers": 2, "gpus": 4, "kind": kind, "argv": ("torchrun", "train.py"), **more}
    return from_flags(config, Flags(**flags), datetime(2026, 11, 24))


def made(config: Config, kind: str, **more: Any) -> Told:
    job = a_job(config, kind, **more)
    return kinds.kind_of(job).render(job)
