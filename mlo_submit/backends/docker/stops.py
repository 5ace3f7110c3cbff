"""Which runs of jobs were asked to end. Docker does not tell whether a container that ended was asked to: a file does.

It holds when the run began, and so says nothing of a later one.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from mlo_submit.machine import Machine
from mlo_submit.workload import Workload, parse_time


def path(machine: Machine, name: str) -> Path:
    """Where it is told of the job of that name."""
    return machine.state / "stops" / name


def write(machine: Machine, job: Workload) -> None:
    """Tell that this run of a job is asked to end."""
    file = path(machine, job.name)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    latest = max((pod.started for pod in job.pods if pod.started), default=None)
    file.write_text(latest.isoformat() if latest else "")


def read(machine: Machine, name: str) -> datetime | None:
    """When the run began that was asked to end; None if none was."""
    try:
        return parse_time(path(machine, name).read_text())
    except FileNotFoundError:
        return None


def remove(machine: Machine, name: str) -> None:
    """Forget it: the job goes on, or is gone."""
    path(machine, name).unlink(missing_ok=True)
