"""The logs of a job, followed until it ends."""

from __future__ import annotations

import time

from mlo_submit import process
from mlo_submit.backends import Jobs
from mlo_submit.errors import note
from mlo_submit.machine import Machine
from mlo_submit.workload import LogView


def show(machine: Machine, jobs: Jobs, name: str, view: LogView) -> int:
    """Print the log of a job. Returns the job's exit code, or 0 where it goes on."""
    told, done = "", set[str]()
    while True:
        job = jobs.find(name)
        for pod in job.pods:
            if pod.name not in done and pod.state not in ("Pending", "Starting"):
                process.stream(machine, jobs.log(job, pod, view).argv)
                done.add(pod.name)
        if job.ended or not view.follow:
            return job.exit_code or 0
        if job.reason != told:
            told = job.reason
            note(f"{job.name} is {job.state}: {job.reason}")
        time.sleep(0.5)
