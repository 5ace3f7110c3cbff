"""Arrays as the API has them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from mlo_submit import sweep
from mlo_submit.backends.kubernetes.arrays import RANK
from mlo_submit.backends.kubernetes.manifest import render
from mlo_submit.env import Config
from mlo_submit.job import Flags, from_flags
from mlo_submit.sweep import Task
from tests.unit.submit.conftest import ENV, Api
from tests.unit.submit.kubejobs import EVENTS, JOBS, PODS
from tests.unit.submit.test_words import BEGAN, CREATED, ENDED

NOW = datetime(2026, 11, 24)
FAILED = {"type": "Failed", "status": "True", "reason": "FailedIndexes", "lastTransitionTime": ENDED}
COMPLETE = {"type": "Complete", "status": "True", "lastTransitionTime": ENDED}
ROWS = sweep.Sweep(file="sweep.csv", rows=sweep.pack([Task(env={"LR": str(row)}) for row in range(110)]))

Put = Callable[..., dict[str, Any]]
"""Puts an array into the API, without any pod."""


def an_array(config: Config, text: str = "0-99%8", **status: Any) -> dict[str, Any]:
    """The Job of an array as the API has it."""
    flags = Flags(name="sweep", array=text, sweep=ROWS, argv=("train",), retries=1)
    job = render(from_flags(config, flags, NOW))
    job["metadata"].update(uid="sweep", creationTimestamp=CREATED)
    return {**job, "status": {"startTime": BEGAN, **status}}


def of_task(place: int, pod: dict[str, Any]) -> dict[str, Any]:
    pod["metadata"].update(
        name=f"sweep-{place}-abcde", labels={"job-name": "sweep"}, annotations={RANK: str(place)}, uid=f"pod-{place}"
    )
    return pod


def putting(api: Api, config: Config, env_file: Path) -> Put:
    """For a laptop whose jobs are on Kubernetes."""
    env_file.write_text(ENV + "MLO_BACKEND=kubernetes\n")

    def add(text: str = "0-99%8", **status: Any) -> dict[str, Any]:
        job = an_array(config, text, **status)
        api.answers["GET", JOBS] = 200, {"items": [job]}
        api.answers["GET", f"{JOBS}/sweep"] = 200, job
        api.answers["GET", PODS] = api.answers["GET", EVENTS] = 200, {"items": []}
        return job

    return add
