"""Jobs with workers as a JobSet and as a PyTorchJob: which kind it is, and what is sent for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, Api, Invoke, status
from tests.unit.submit.kinds import JOBSETS
from tests.unit.submit.kubejobs import CORE, JOBS, NAMESPACE

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

# ---- which kind


def test_the_kind_of_env_and_of_the_command_line(invoke: Invoke, laptop: Machine) -> None:
    """MLO_KIND is for jobs with workers alone, and --kind wins."""
    (laptop.cwd / ".env").write_text(ENV + "MLO_KIND=jobset\n")
    for argv, kind in (
        (("--workers", "1"), "JobSet"),
        (("--workers", "1", "--kind", "pytorchjob"), "PyTorchJob"),
        (("--workers", "1", "--kind", "job"), "Job"),
        ((), "Job"),
    ):
        dry = invoke("run", "--backend", "kubernetes", "--dry-run", "-n", "x", *argv, "--", "true")
        assert next(yaml.safe_load_all(dry.stdout))["kind"] == kind


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("--backend", "docker", "--workers", "1"), "--kind is for the backend kubernetes, and this job is for docker"),
        (("--backend", "runai", "--workers", "1"), "--kind is for the backend kubernetes, and this job is for runai"),
        (("--backend", "kubernetes"), "--kind is for a job with --workers"),
    ],
)
def test_where_there_is_no_other_kind(invoke: Invoke, env_file: object, argv: tuple[str, ...], why: str) -> None:
    result = invoke("run", "--kind", "jobset", "--dry-run", *argv, "--", "true")
    assert result.exit_code == 2
    assert why in result.stderr


@pytest.mark.parametrize(("kind", "longest"), [("jobset", 47), ("pytorchjob", 54)])
def test_a_name_leaves_room_for_that_of_a_pod(invoke: Invoke, env_file: object, kind: str, longest: int) -> None:
    run = ("run", "--backend", "kubernetes", "--dry-run", "--workers", "1", "--kind", kind)
    assert invoke(*run, "-n", "x" * longest).exit_code == 0
    result = invoke(*run, "-n", "x" * (longest + 1))
    assert result.exit_code == 73
    assert f"Choose a --name of at most {longest}" in result.stderr


# ---- run


@pytest.fixture
def cluster(api: Api, env_file: object) -> Api:
    api.answers["GET", f"{CORE}/persistentvolumeclaims/mlo-scratch"] = 200, {"kind": "PersistentVolumeClaim"}
    api.answers["GET", "/apis/jobset.x-k8s.io/v1alpha2"] = 200, {"resources": [{"name": "jobsets"}]}
    api.answers["POST", REVIEWS] = 201, {"status": {"allowed": True}}
    return api


RUN = ("run", "--backend", "kubernetes", "-n", "x", "--workers", "1", "--kind", "jobset", "--skip-secret-sync")


def test_a_kind_that_the_cluster_has_is_created_there(invoke: Invoke, cluster: Api) -> None:
    cluster.answers["POST", JOBSETS] = 201, {}
    assert invoke(*RUN, "--", "true").exit_code == 0
    assert cluster.paths()[-1] == ("POST", JOBSETS), "its controller makes the Service"
    (review,) = (body for _, path, body in cluster.requests if path == REVIEWS)
    asked = {"namespace": NAMESPACE, "verb": "create", "group": "jobset.x-k8s.io", "resource": "jobsets"}
    assert review["spec"]["resourceAttributes"] == asked


@pytest.mark.parametrize(
    ("asked", "answer", "why"),
    [
        (("GET", "/apis/jobset.x-k8s.io/v1alpha2"), status(404, ""), "the cluster has no JobSet (jobset.x-k8s.io/v1al"),
        (
            ("POST", REVIEWS),
            (201, {"status": {}}),
            f"you may not create a JobSet in {NAMESPACE}: ask the ad",
        ),
        (("GET", f"{JOBS}/x"), (200, {"metadata": {}}), f"there is a Job x already in {NAMESPACE}: choose another"),
    ],
    ids=["type", "right", "name"],
)
def test_what_is_missing_is_told_before_anything_is_sent(
    invoke: Invoke, cluster: Api, asked: tuple[str, str], answer: Any, why: str
) -> None:
    cluster.answers[asked] = answer
    result = invoke(*RUN, "--", "true")
    assert result.exit_code == 73
    assert why in result.stderr
    assert ("POST", JOBSETS) not in cluster.paths()


def test_a_job_does_not_take_the_name_of_another_kind(invoke: Invoke, cluster: Api, env_file: Path) -> None:
    """Where MLO_KIND says that the cluster has it; else nobody asks."""
    cluster.answers["GET", f"{JOBSETS}/x"] = 200, {"metadata": {}}
    cluster.answers["POST", JOBS] = 201, {"metadata": {"uid": "1"}}
    run = ("run", "--backend", "kubernetes", "-n", "x", "--skip-secret-sync", "--", "true")
    assert invoke(*run).exit_code == 0
    assert ("GET", f"{JOBSETS}/x") not in cluster.paths()
    cluster.requests.clear()
    env_file.write_text(env_file.read_text() + "MLO_KIND=jobset\n")
    result = invoke(*run)
    assert (result.exit_code, ("POST", JOBS) in cluster.paths()) == (73, False)
    assert f"there is a JobSet x already in {NAMESPACE}: choose another --name" in result.stderr
