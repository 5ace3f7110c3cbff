"""Jobs that are sent to an API server, and what it may answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml

from mlo_submit import kube, secret
from mlo_submit.env import Config
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, Api, Invoke, status, write_kubeconfig

NAMESPACE = "runai-mlo-jdoe"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
SECRET = f"{SECRETS}/jdoe-env"
CLAIMS = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
CLAIM = f"{CLAIMS}/mlo-scratch"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"


def ok(api: Api) -> None:
    api.answers["GET", CLAIM] = 200, {"kind": "PersistentVolumeClaim"}
    api.answers["POST", SECRETS] = 201, {"kind": "Secret"}
    api.answers["POST", JOBS] = 201, {"kind": "Job"}


RUN = ("run", "--backend", "kubernetes", "-n", "x")


def test_a_submission_sends_what_the_dry_run_shows(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    shown = invoke(*RUN, "--dry-run", "--", "python", "train.py")
    assert api.requests == []
    result = invoke(*RUN, "--", "python", "train.py")
    assert result.exit_code == 0, result.output
    assert sorted(api.paths()[:2]) == [("GET", CLAIM), ("GET", SECRET)]
    assert api.paths()[2:] == [("POST", SECRETS), ("POST", JOBS)]
    assert api.requests[3][2] == pyyaml.safe_load(shown.stdout)
    assert result.stdout == "x\n"
    for command in ("shell", "describe", "delete"):
        assert f"mlo-submit --backend kubernetes {command} x" in result.stderr


def stored(config: Config) -> dict[str, Any]:
    found = secret.manifest(secret.from_config(config, None))
    found["metadata"]["resourceVersion"] = "7"
    return found


def test_an_unchanged_secret_is_not_written(api: Api, invoke: Invoke, env_file: Path, config: Config) -> None:
    """Two requests beside the Job itself."""
    ok(api)
    api.answers["GET", SECRET] = 200, stored(config)
    assert invoke(*RUN).exit_code == 0
    assert sorted(api.paths()) == [("GET", CLAIM), ("GET", SECRET), ("POST", JOBS)]


def test_the_secret_can_be_left_alone(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    assert invoke(*RUN, "--skip-secret-sync").exit_code == 0
    assert api.paths() == [("GET", CLAIM), ("POST", JOBS)]


def test_a_claim_that_does_not_exist_is_found_before(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    del api.answers["GET", CLAIM]
    api.answers["GET", f"/api/v1/namespaces/{NAMESPACE}"] = 200, {}
    api.answers["GET", CLAIMS] = 200, {"items": [{"metadata": {"name": "home"}}, {"metadata": {"name": "data"}}]}
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert "the PVC mlo-scratch does not exist in runai-mlo-jdoe" in result.stderr
    assert "PVCs there: home, data. Set SCRATCH_PVC" in result.stderr
    assert {method for method, _ in api.paths()} == {"GET"}


def test_a_namespace_that_does_not_exist(api: Api, invoke: Invoke, env_file: Path) -> None:
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert "the cluster has no namespace runai-mlo-jdoe. Set K8S_NAMESPACE" in result.stderr
    for argv in (("sync-secret",), (*RUN, "--sync-secret-only")):
        api.answers["POST", SECRETS] = status(404, f'namespaces "{NAMESPACE}" not found')
        result = invoke(*argv)
        assert result.exit_code == 73
        assert "no namespace" in result.stderr


@pytest.mark.parametrize(
    ("queue", "kind", "place"),
    [
        ("", "PriorityClass", "/apis/scheduling.k8s.io/v1/priorityclasses/urgent"),
        ("q", "WorkloadPriorityClass", "/apis/kueue.x-k8s.io/v1beta1/workloadpriorityclasses/urgent"),
    ],
)
def test_a_priority_that_does_not_exist_is_found_before(
    api: Api, invoke: Invoke, env_file: Path, queue: str, kind: str, place: str
) -> None:
    """Whoever may not look, which is most members, may still ask for it."""
    ok(api)
    env_file.write_text(ENV + f"MLO_QUEUE={queue}\n")
    result = invoke(*RUN, "--priority", "urgent")
    assert result.exit_code == 73
    assert f"there is no {kind} urgent" in result.stderr
    assert ("POST", JOBS) not in api.paths()
    for answer in (status(403, "no"), (200, {"kind": kind})):
        api.answers["GET", place] = answer
        assert invoke(*RUN, "--priority", "urgent").exit_code == 0


def test_claims_that_may_not_be_read_are_a_warning(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    api.answers["GET", CLAIM] = status(403, "persistentvolumeclaims is forbidden")
    result = invoke(*RUN)
    assert result.exit_code == 0
    assert "whether the PVC mlo-scratch exists was not checked" in result.stderr
    api.answers["GET", SECRET] = status(403, "secrets is forbidden")
    result = invoke(*RUN)
    assert result.exit_code == 77
    assert "not checked" not in result.stderr, "one line is enough"


def test_what_is_not_allowed(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    api.answers["POST", JOBS] = status(403, 'User "jdoe" cannot create resource "jobs"')
    result = invoke(*RUN)
    assert result.exit_code == 77
    assert 'the cluster does not allow it: User "jdoe" cannot create resource "jobs"' in result.stderr


def test_a_login_that_the_server_does_not_take(api: Api, invoke: Invoke, env_file: Path) -> None:
    for path in (CLAIM, SECRET):
        api.answers["GET", path] = status(401, "Unauthorized")
    result = invoke(*RUN)
    assert result.exit_code == 77
    assert "you are not logged in to the cluster" in result.stderr


def test_what_the_server_finds_invalid_is_told(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    api.answers["POST", JOBS] = status(422, 'Job.batch "x" is invalid: spec.template')
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert 'the Kubernetes API refuses: Job.batch "x" is invalid: spec.template' in result.stderr


@pytest.mark.parametrize("answer", [status(500, "etcd"), status(503, "down"), (200, b"<html>log in</html>")])
def test_a_server_in_trouble(api: Api, invoke: Invoke, env_file: Path, answer: Any) -> None:
    ok(api)
    api.answers["GET", CLAIM] = answer
    result = invoke(*RUN)
    assert result.exit_code == 69
    assert api.url in result.stderr


def job_with(condition: str | None, managed_by: str = "mlo-submit") -> tuple[int, dict[str, Any]]:
    conditions = [{"type": condition, "status": "True"}] if condition else []
    labels = {"app.kubernetes.io/managed-by": managed_by}
    return 200, {"metadata": {"labels": labels}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (job_with("Complete"), "there is a finished job x already: replace it with --replace"),
        (job_with(None), "there is a job x already in runai-mlo-jdoe: choose another --name"),
        (job_with("Failed", "helm"), "there is a job x already in runai-mlo-jdoe: choose another --name"),
    ],
)
def test_a_name_that_is_taken(api: Api, invoke: Invoke, env_file: Path, found: Any, says: str) -> None:
    ok(api)
    api.answers["POST", JOBS] = status(409, 'jobs.batch "x" already exists', reason="AlreadyExists")
    api.answers["GET", f"{JOBS}/x"] = found
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert says in result.stderr


def test_replace_deletes_a_finished_job_and_waits_for_it(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    answers = iter([job_with("Failed"), job_with("Failed"), status(404, "gone")])
    api.answers["GET", f"{JOBS}/x"] = lambda: next(answers)
    api.answers["DELETE", f"{JOBS}/x"] = 200, {}
    result = invoke(*RUN, "--replace")
    assert result.exit_code == 0, result.output
    assert "waiting for the deletion of the finished job x" in result.stderr
    assert api.paths()[-5:] == [
        ("GET", f"{JOBS}/x"),
        ("DELETE", f"{JOBS}/x"),
        ("GET", f"{JOBS}/x"),
        ("GET", f"{JOBS}/x"),
        ("POST", JOBS),
    ]


def test_replace_is_no_error_when_there_is_none(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    assert invoke(*RUN, "--replace").exit_code == 0


@pytest.mark.parametrize(
    ("found", "says"),
    [(job_with(None), "the job x still runs"), (job_with("Failed", "helm"), "was not made by mlo-submit")],
)
def test_replace_leaves_alone_what_runs_and_what_is_not_ours(
    api: Api, invoke: Invoke, env_file: Path, found: Any, says: str
) -> None:
    ok(api)
    api.answers["GET", f"{JOBS}/x"] = found
    result = invoke(*RUN, "--replace")
    assert result.exit_code == 73
    assert says in result.stderr
    assert not {"DELETE"} & {method for method, _ in api.paths()}
    assert ("POST", JOBS) not in api.paths()


def test_nobody_listens(laptop: Machine, invoke: Invoke, env_file: Path) -> None:
    write_kubeconfig(laptop, "http://127.0.0.1:9")
    result = invoke(*RUN)
    assert result.exit_code == 69
    assert "the Kubernetes API at http://127.0.0.1:9 cannot be reached" in result.stderr
    assert "0x" not in result.stderr


@pytest.fixture
def silence() -> Iterator[str]:
    """A server that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_never_answers_is_not_waited_for(
    laptop: Machine, invoke: Invoke, env_file: Path, silence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits, shortened here, stay under 15 seconds also where the server's name has two addresses."""
    assert 2 * kube.CONNECT_TIMEOUT + kube.READ_TIMEOUT < 15
    monkeypatch.setattr(kube, "READ_TIMEOUT", 0.5)
    write_kubeconfig(laptop, silence)
    began = time.monotonic()
    result = invoke(*RUN)
    assert result.exit_code == 69
    assert "does not answer. Are you on the VPN" in result.stderr
    assert time.monotonic() - began < 5


def test_bytes_that_kubernetes_cannot_carry(invoke: Invoke, env_file: Path) -> None:
    result = invoke(*RUN, "--dry-run", "--", "echo", "\udcff")
    assert result.exit_code == 73
    assert "is not UTF-8" in result.stderr
    assert invoke(*RUN, "--dry-run", "--", "echo", "é").exit_code == 0
