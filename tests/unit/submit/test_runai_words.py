from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mlo_submit import labels
from mlo_submit.backends.runai import cli, listing, words
from mlo_submit.backends.runai.listing import Listed
from mlo_submit.job import Flags
from mlo_submit.submission import encode
from tests.unit.submit.runai import HEADER, NO_CLAIM, NOW, ended, job_of, listed, pod, table, unscheduled

# ---- what run:ai lists


def test_table_is_read_by_its_titles_whatever_the_widths() -> None:
    long = "a-name-that-is-as-long-as-names-may-be-" + "x" * 24
    text = table(
        (long, "Running", "68d", "Train", "jane", "2 (2)", "1 (0)"),
        ("b", "ImagePullBackOff", "2h5m", "Interactive", "", "0.50 (0.50)", "0 (1)"),
        ("c", "Failed", "9s", "Pytorch", "jane", "- (16)", "4 (0)"),
    )
    first, second, third = listing.from_table(text, NOW)
    assert (first.name, first.status, first.node, first.image) == (long, "Running", "n1", "lab/mlo:1")
    assert (first.gpus, first.group, first.user) == (2, cli.TRAINING, "jane")
    assert (NOW - first.created, first.late) == (timedelta(days=68), timedelta(days=1))
    assert (second.status, second.group, second.user, second.gpus) == ("ImagePullBackOff", cli.WORKSPACE, "", 1)
    assert (NOW - second.created, second.late) == (timedelta(hours=2, minutes=5), timedelta(minutes=1))
    assert (third.gpus, third.group) == (4, cli.DISTRIBUTED)


def test_table_of_an_older_release_has_other_columns() -> None:
    text = (
        "NAME      STATUS   AGE  NODE        IMAGE  TYPE   GPUs (Allocated/Requested)\n"
        "elastic1  Pending  36s  <multiple>  i      Train  2/1\n"
    )
    (row,) = listing.from_table(text, NOW)
    assert (row.name, row.status, row.node, row.gpus, row.user) == ("elastic1", "Pending", "", 1, "")


@pytest.mark.parametrize("text", ["", "No jobs found in project mlo-jdoe\n", f"{HEADER.format('')}\n"])
def test_table_without_jobs(text: str) -> None:
    assert listing.from_table(text, NOW) == []


@pytest.mark.parametrize(
    "text",
    [
        '[{"name": "x", "type": "Training", "phase": "Running", "createdAt": "2026-11-24T11:00:00.25Z",'
        ' "submittedBy": "jane@lab", "images": ["lab/mlo:1"], "requestedPods": {"count": 2},'
        ' "workloadRequestedResources": {"gpu": {"request": 8.0}, "cpu": {"request": 1}}}]',
        '{"workloads": [{"metadata": {"name": "x", "creationTimestamp": 1795518000250},'
        ' "workload": {"type": "training", "createdBy": "jane@lab", "image": "lab/mlo:1"},'
        ' "status": {"phase": "Running"}, "podsRequestedResources": {"gpu": {"request": 4}}}], "next": 0}',
    ],
)
def test_json_is_read_however_it_is_nested(text: str) -> None:
    (row,) = listing.from_json(text, NOW)
    assert row == Listed(
        name="x",
        status="Running",
        group=cli.TRAINING,
        created=datetime(2026, 11, 24, 11, 0, 0, 250000, tzinfo=timezone.utc),
        user="jane@lab",
        image="lab/mlo:1",
        gpus=4,
    )


@pytest.mark.parametrize("text", ["[]", "null", '{"workloads": []}', "No workloads found\n"])
def test_json_without_workloads(text: str) -> None:
    assert listing.from_json(text, NOW) == []


# ---- what it means


@pytest.mark.parametrize(
    ("status", "state", "reason", "code"),
    [
        ("Pending", "Pending", "", None),
        ("ContainerCreating", "Starting", "", None),
        ("Init:0/1", "Starting", "Init:0/1", None),
        ("ImagePullBackOff", "Starting", "ImagePullBackOff", None),
        ("RUNNING", "Running", "", None),
        ("Degraded", "Running", "Degraded", None),
        ("Preempted", "Preempted", "", None),
        ("Terminating", "Stopping", "", None),
        ("Stopped", "Stopped", "", None),
        ("Suspended", "Stopped", "", None),
        ("Completed", "Succeeded", "", 0),
        ("Error", "Failed", "", 1),
        ("TimedOut", "Failed", "TimedOut", 1),
        ("Quantum", "Pending", "Quantum", None),
    ],
)
def test_words_of_runai(status: str, state: str, reason: str, code: int | None) -> None:
    """Our word for a state, and run:ai's own where it says more; without pods no exit code but 0 and 1."""
    job = job_of(listed(status))
    assert (job.state, job.reason, job.exit_code) == (state, reason, code)
    assert [(pod.name, pod.state) for pod in job.pods] == [("x", state)]


def test_pods_tell_why() -> None:
    pending = job_of(listed("Pending", message="Pod is pending"), pod(**unscheduled(NO_CLAIM)))
    assert (pending.state, "wrong" in pending.reason, pending.gpus) == ("Pending", True, 4)
    failed = job_of(listed("Failed"), pod(**ended(7)))
    assert (failed.state, failed.reason, failed.exit_code) == ("Failed", "exit code 7", 7)
    assert failed.finished == datetime(2026, 11, 24, 11, 30, tzinfo=timezone.utc)
    running = job_of(listed("Running"), pod("x-worker-0", **ended(1)), pod("x-master-0", phase="Running"))
    assert (running.state, running.reason) == ("Running", "")
    assert job_of(listed("Pending"), pod(**ended(7))).reason == "is tried again after exit code 7"
    assert job_of(listed("Failed", message="Deadline")).reason == "Deadline"


def test_newest_pod_of_each_rank() -> None:
    job = job_of(
        listed("Running"),
        pod("x-worker-1", phase="Running"),
        pod("x-worker-0", phase="Running", created="2026-11-24T11:05:00Z"),
        pod("old", **ended(1), labels={words.REPLICA_TYPE: "worker", words.REPLICA_INDEX: "0"}),
        pod("x-master-0", phase="Running", labels={words.REPLICA_TYPE: "Master", words.REPLICA_INDEX: "0"}),
    )
    assert [(pod.rank, pod.name) for pod in job.pods] == [(0, "x-master-0"), (1, "x-worker-0"), (2, "x-worker-1")]
    assert job.restarts == 1


def test_an_array_tells_how_far_it_is_by_its_pods() -> None:
    """None stands for another, and which task each is only the pod knows."""
    note = {labels.SUBMISSION: words.pack(encode(Flags(array="0-9%2", argv=("train",))))}

    def task(second: int, **status: Any) -> dict[str, Any]:
        created = f"2026-11-24T11:00:{second:02}Z"
        return pod(f"x-{second}", labels={labels.ARRAY: "task"}, annotations=note, created=created, **status)

    pods = [task(3, phase="Running"), task(1, phase="Succeeded"), task(2, **ended(1))]
    job = job_of(listed("Running"), *pods)
    assert (job.state, job.reason, job.restarts) == ("Running", "1 of 10 tasks done, 1 pod failed", 0)
    assert [(pod.rank, pod.name) for pod in job.pods] == [(0, "x-1"), (1, "x-2"), (2, "x-3")]
    failed = job_of(listed("Failed"), *pods, task(4, **ended(1)))
    assert (failed.reason, failed.exit_code) == ("1 of 10 tasks done, 2 pods failed; exit code 1", 1)
    pods[1]["metadata"]["annotations"] = pods[2]["metadata"]["annotations"] = {}
    del note[labels.SUBMISSION]
    assert job_of(listed("Running"), *pods).reason == "1 tasks done, 1 pod failed"


@pytest.mark.parametrize(
    "annotations",
    [{"annotations": {}}, {"annotations": {labels.SUBMISSION: "no base64!"}}, {}, None],
)
def test_submission_that_cannot_be_found_is_empty(annotations: object) -> None:
    assert job_of(listed("Running"), detail=annotations).submission == ""


def test_submission_comes_from_the_pods_or_from_describe() -> None:
    text = encode(Flags(argv=("echo", "it's", "ünï", "=")))
    note = {labels.SUBMISSION: words.pack(text)}
    assert "=" not in words.pack(text)
    assert job_of(listed("Running"), pod(annotations=note)).submission == text
    assert job_of(listed("Running"), detail={"general": {"annotations": note}}).submission == text
    pairs = [{"name": key, "value": value} for key, value in note.items()]
    assert job_of(listed("Running"), detail={"spec": {"annotations": pairs}}).submission == text


@pytest.mark.parametrize(
    ("told", "project", "owner"),
    [
        ("jane@lab", "mlo-jdoe", "jdoe"),
        ("jdoe@lab", "shared", "jdoe"),
        ("jane@lab", "shared", "jane@lab"),
        ("", "shared", ""),
        ("", "mlo-mjdoe", ""),
    ],
)
def test_whose_a_job_without_labels_is(told: str, project: str, owner: str) -> None:
    """Mine in a project of my own; elsewhere only if run:ai says so: what is mine, cleanup may delete."""
    assert words.owner(told, "jdoe", project) == owner
