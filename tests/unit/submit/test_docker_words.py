"""Containers and what happened to them, in the user's words."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from mlo_submit.backends.docker.words import events, workload
from mlo_submit.job import Flags
from mlo_submit.workload import Event, Pod, Workload, parse_time
from tests.unit.submit.containers import CREATED, FINISHED, STARTED, container, told

RUN = parse_time(STARTED)
OTHER_RUN = datetime(2026, 11, 24, 9, tzinfo=timezone.utc)
TIMED = Flags(name="x", argv=("true",), time=60)


@pytest.mark.parametrize(
    ("there", "asked", "state", "reason"),
    [
        (container(status="created"), None, "Starting", ""),
        (container(status="running"), None, "Running", ""),
        (container(status="running"), RUN, "Stopping", ""),
        (container(status="running"), OTHER_RUN, "Running", ""),
        (container(status="paused"), None, "Running", "paused by `docker pause`"),
        (container(status="restarting", code=3, restarts=1), None, "Starting", "tried again after exit code 3"),
        (container(status="restarting", code=3, restarts=1), RUN, "Stopping", ""),
        (container(status="restarting", code=137, oom=True), None, "Starting", "tried again after OOM killed"),
        (container(status="removing"), None, "Stopping", "is being deleted"),
        (container(status="exited"), None, "Succeeded", ""),
        (container(status="exited", oom=True), None, "Succeeded", ""),
        (container(status="exited", code=3), None, "Failed", "exit code 3"),
        (container(status="exited", code=255), None, "Failed", "exit code 255"),
        (container(status="exited", code=137), None, "Failed", "ended by signal 9"),
        (container(status="exited", code=137, oom=True, memory=2**27), None, "Failed", "OOM killed at 128 MiB"),
        (container(status="exited", code=1, oom=True), None, "Failed", "OOM killed"),
        (container(status="exited", code=143), RUN, "Stopped", ""),
        (container(status="exited", code=0), RUN, "Stopped", ""),
        (container(status="exited", code=143), OTHER_RUN, "Failed", "ended by signal 15"),
        (container(status="exited", code=143, flags=TIMED), None, "Failed", "time limit"),
        (container(status="exited", code=137, flags=TIMED), None, "Failed", "time limit"),
        (container(status="exited", code=1, flags=TIMED), None, "Failed", "time limit"),
        (container(status="exited", code=0, flags=TIMED), None, "Failed", "time limit"),
        (container(status="exited", code=143, flags=replace(TIMED, time=61)), None, "Failed", "ended by signal 15"),
        (container(status="exited", code=0, flags=replace(TIMED, argv=())), None, "Succeeded", ""),
        (container(status="exited", code=143, labels={}), None, "Failed", "ended by signal 15"),
        (container(status="created", code=127, error="no /bin/zsh"), None, "Failed", "cannot start: no /bin/zsh"),
        (container(status="exited", code=127, error="no mount"), RUN, "Stopped", "cannot start: no mount"),
    ],
)
def test_the_state_of_a_container(there: dict[str, Any], asked: datetime | None, state: str, reason: str) -> None:
    """The run ran for 60.25 seconds; OTHER_RUN is one before it."""
    job = workload([there], asked)
    assert (job.state, job.reason) == (state, reason)
    assert (job.pods[0].state, job.pods[0].reason) == (state, reason)


def test_a_container_as_a_whole_job() -> None:
    flags = Flags(name="x", gpus=2, train=True)
    there = container(status="exited", code=3, restarts=2, flags=flags, gpus=2)
    created, started, finished = map(parse_time, (CREATED, STARTED, FINISHED))
    assert created
    pod = Pod(
        name="x",
        state="Failed",
        reason="exit code 3",
        restarts=2,
        exit_code=3,
        created=created,
        started=started,
        finished=finished,
    )
    assert workload([there]) == Workload(
        name="x",
        backend="docker",
        user="jdoe",
        kind="training",
        state="Failed",
        reason="exit code 3",
        image="registry.example.org/mlo/base:1",
        gpus=2,
        created=created,
        started=started,
        finished=finished,
        restarts=2,
        exit_code=3,
        pods=(pod,),
        submission='{"gpus": 2, "name": "x", "train": true}',
    )


@pytest.mark.parametrize("there", [container(status="running"), container(status="exited", code=143)])
def test_what_has_not_ended_for_good_has_no_exit_code(there: dict[str, Any]) -> None:
    job = workload([there], RUN)
    assert (job.exit_code, job.finished, job.pods[0].exit_code) == (None, None, None)


def test_events_as_docker_remembers_them() -> None:
    """What programs that somebody ran in the container did is not among them."""
    job = workload([container(status="exited", code=137, restarts=1, oom=True, memory=2**27)])
    remembered = [
        told("create", 0),
        told("start", 1),
        told("exec_die", 2, exitCode="1"),
        told("die", 3, exitCode="3"),
        told("start", 4),
        told("oom", 5),
        told("die", 6, exitCode="137"),
    ]
    assert [(event.text, event.warning) for event in events(job, remembered)] == [
        ("created", False),
        ("started", False),
        ("ended: exit code 3", True),
        ("started again", False),
        ("out of memory", True),
        ("ended: OOM killed at 128 MiB", True),
    ]


def test_events_that_docker_has_forgotten() -> None:
    job = workload([container(status="exited", restarts=1)])
    assert job.started
    assert job.finished
    assert events(job, []) == [
        Event(at=job.created, text="created"),
        Event(at=job.started, text="started again"),
        Event(at=job.finished, text="ended: exit code 0"),
    ]
