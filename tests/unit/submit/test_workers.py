"""Multi-node jobs: what is sent for them on each backend, and that their pods can find each other by it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlo_entry import network
from mlo_submit.backends.docker import command
from mlo_submit.backends.kubernetes.manifest import render, service
from mlo_submit.backends.kubernetes.words import workload
from mlo_submit.backends.runai.command import _environ
from mlo_submit.env import Config
from mlo_submit.job import Flags, from_flags
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, Api, Invoke, config_of, status

NOW = datetime(2026, 11, 24)
JOBS = "/apis/batch/v1/namespaces/runai-mlo-jdoe/jobs"
CORE = "/api/v1/namespaces/runai-mlo-jdoe"
SERVICES = f"{CORE}/services"
WAIT = Path(__file__).parents[3] / "docker/bin/mlo-wait-for-master"
RUN = ("run", "--backend", "kubernetes", "--name", "x", "--workers", "3", "--skip-secret-sync")
ALL = {
    *("PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"),
    *("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "RUNAI_NUM_OF_GPUS"),
}


def flags(**more: Any) -> Flags:
    return Flags(name="x", workers=3, gpus=2, argv=("torchrun", "train.py"), **more)


def environ_of(job: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in job["spec"]["template"]["spec"]["containers"][0]["env"]}


def in_pod(backend: str, config: Config, rank: int) -> dict[str, str]:
    """The environment from which the pod of a rank boots."""
    job = from_flags(config, flags(), NOW)
    if backend == "kubernetes":
        return {**environ_of(render(job)), "JOB_COMPLETION_INDEX": str(rank)}
    if backend == "docker":
        argv = command.render(job, None, rank)
        return dict(word.split("=", 1) for flag, word in zip(argv, argv[1:]) if flag == "--env")  # noqa: B905, RUF007
    runai = {"PET_NNODES": "4", "RUNAI_NUM_OF_GPUS": "2", "WORLD_SIZE": "8", "RANK": str(rank)}
    return {**_environ(job), **runai, "MASTER_ADDR": "x-master-0", "MASTER_PORT": "23456"}


@pytest.mark.parametrize("backend", ["kubernetes", "docker", "runai"])
def test_every_pod_has_all_that_torchrun_reads(config: Config, backend: str) -> None:
    for rank in (0, 3):
        given = in_pod(backend, config, rank)
        found = {**given, **network.rendezvous(given)}
        assert found.keys() >= ALL
        assert (found["RANK"], found["PET_NODE_RANK"], found["PET_NNODES"]) == (str(rank), str(rank), "4")
        assert (found["WORLD_SIZE"], found["PET_NPROC_PER_NODE"]) == ("8", "2")
        assert found["MASTER_ADDR"] == ("x-master-0" if backend == "runai" else "x-0.x")


def test_a_job_with_workers_is_indexed_and_has_a_domain(config: Config) -> None:
    job = from_flags(config, flags(retries=2), NOW)
    spec = render(job)["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (4, 4, "Indexed")
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"], spec["backoffLimit"]) == (2, 0, 8)
    assert spec["template"]["spec"]["subdomain"] == "x"
    assert service(job)["spec"] == {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"job-name": "x"},
    }


def test_a_job_without_workers_knows_of_none(config: Config) -> None:
    job = render(from_flags(config, Flags(name="x"), NOW))
    assert not environ_of(job).keys() & {*ALL, "MLO_RDMA"}
    assert "subdomain" not in job["spec"]["template"]["spec"]


def test_rdma_is_asked_for_on_kubernetes_only_where_env_says_so(laptop: Machine) -> None:
    text = "MLO_WORKER_ANNOTATIONS=cni/networks=roce\nMLO_WORKER_RESOURCES=rdma/hca=2\n"
    for more, resources, marks, asked in (
        ("", {"nvidia.com/gpu": "2"}, None, None),
        (text, {"nvidia.com/gpu": "2", "rdma/hca": "2"}, {"cni/networks": "roce"}, "rdma/hca=2"),
    ):
        config = config_of(laptop, ENV + more)
        job = render(from_flags(config, flags(), NOW))
        template = job["spec"]["template"]
        assert template["spec"]["containers"][0]["resources"] == {"requests": resources, "limits": resources}
        assert template["metadata"].get("annotations") == marks
        assert environ_of(job).get("MLO_RDMA") == asked
    alone = render(from_flags(config, Flags(name="x", gpus=1), NOW))["spec"]["template"]
    assert "annotations" not in alone["metadata"]
    assert "rdma/hca" not in str(alone)


@pytest.mark.parametrize(
    ("name", "why"),
    [("x" * 61, "Choose a --name of at most 60"), ("1x", "that of their Service starts with a letter")],
)
def test_names_that_cannot_be_a_domain(invoke: Invoke, env_file: Path, name: str, why: str) -> None:
    result = invoke("run", "--backend", "kubernetes", "--dry-run", "--name", name, "--workers", "10")
    assert result.exit_code == 73
    assert why in result.stderr


def test_a_dry_run_prints_the_job_and_its_service(invoke: Invoke, env_file: Path) -> None:
    job, found = yaml.safe_load_all(invoke(*RUN, "--dry-run", "--", "true").stdout)
    assert (job["kind"], found["kind"]) == ("Job", "Service")
    assert job["metadata"]["name"] == found["metadata"]["name"] == job["spec"]["template"]["spec"]["subdomain"]
    assert found["metadata"]["labels"]["mlo-submit/user"] == "jdoe"


@pytest.fixture
def cluster(api: Api) -> Api:
    api.answers["GET", f"{CORE}/persistentvolumeclaims/mlo-scratch"] = 200, {"kind": "PersistentVolumeClaim"}
    api.answers["POST", JOBS] = 201, {"metadata": {"name": "x", "uid": "uid-of-x"}}
    return api


def test_the_service_belongs_to_the_job(invoke: Invoke, env_file: Path, cluster: Api) -> None:
    cluster.answers["POST", SERVICES] = 201, {}
    assert invoke(*RUN, "--", "true").exit_code == 0
    assert cluster.paths()[-2:] == [("POST", JOBS), ("POST", SERVICES)]
    (owner,) = cluster.requests[-1][2]["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "batch/v1", "kind": "Job", "name": "x", "uid": "uid-of-x"}


def test_without_its_service_there_is_no_job(invoke: Invoke, env_file: Path, cluster: Api) -> None:
    cluster.answers["POST", SERVICES] = status(403, 'User "jdoe" cannot create resource "services"')
    cluster.answers["DELETE", f"{JOBS}/x"] = 200, {}
    result = invoke(*RUN, "--", "true")
    assert result.exit_code == 77
    assert 'cannot create resource "services"' in result.stderr
    assert cluster.paths()[-1] == ("DELETE", f"{JOBS}/x")


def test_a_service_of_that_name_that_is_not_ours_stays(invoke: Invoke, env_file: Path, cluster: Api) -> None:
    cluster.answers["POST", SERVICES] = status(409, "services x already exists")
    cluster.answers["GET", f"{SERVICES}/x"] = 200, {"metadata": {"name": "x"}}
    cluster.answers["DELETE", f"{JOBS}/x"] = 200, {}
    result = invoke(*RUN, "--", "true")
    assert result.exit_code == 73
    assert "there is a Service x already" in result.stderr
    assert ("DELETE", f"{SERVICES}/x") not in cluster.paths()
    assert cluster.paths()[-1] == ("DELETE", f"{JOBS}/x")


def test_a_service_that_an_earlier_job_left_is_replaced(invoke: Invoke, env_file: Path, cluster: Api) -> None:
    answers = iter([status(409, "services x already exists"), (201, {})])
    cluster.answers["POST", SERVICES] = lambda *_: next(answers)
    labels = {"app.kubernetes.io/managed-by": "mlo-submit"}
    cluster.answers["GET", f"{SERVICES}/x"] = 200, {"metadata": {"name": "x", "labels": labels}}
    cluster.answers["DELETE", f"{SERVICES}/x"] = 200, {}
    assert invoke(*RUN, "--", "true").exit_code == 0
    assert cluster.paths()[-2:] == [("DELETE", f"{SERVICES}/x"), ("POST", SERVICES)]


def test_a_service_of_an_earlier_job_may_go_while_it_is_looked_at(invoke: Invoke, env_file: Path, cluster: Api) -> None:
    answers = iter([status(409, "services x already exists"), (201, {})])
    cluster.answers["POST", SERVICES] = lambda *_: next(answers)
    result = invoke(*RUN, "--", "true")
    assert result.exit_code == 0, result.output
    assert cluster.paths()[-1] == ("POST", SERVICES)


def test_a_ctrl_c_between_the_job_and_its_service_leaves_neither(invoke: Invoke, env_file: Path, cluster: Api) -> None:
    def interrupted() -> tuple[int, Any]:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return 201, {}

    cluster.answers["POST", SERVICES] = interrupted
    cluster.answers["DELETE", f"{JOBS}/x"] = 200, {}
    assert invoke(*RUN, "--", "true").exit_code == 130
    assert cluster.paths()[-2:] == [("POST", SERVICES), ("DELETE", f"{JOBS}/x")]


def pod(rank: int, phase: str, code: int, second: int) -> dict[str, Any]:
    ended = {"exitCode": code, "reason": "Error", "finishedAt": f"2026-11-24T10:00:{second:02}Z"}
    return {
        "metadata": {
            "name": f"x-{rank}-abcde",
            "creationTimestamp": "2026-11-24T09:00:00Z",
            "annotations": {"batch.kubernetes.io/job-completion-index": str(rank)},
        },
        "spec": {"containers": [{"name": "job"}], "nodeName": "n"},
        "status": {"phase": phase, "containerStatuses": [{"name": "job", "state": {"terminated": ended}}]},
    }


def test_a_failed_job_names_the_rank_that_failed_first(config: Config) -> None:
    """The others were ended for its sake, one of them within the same second."""
    job = render(from_flags(config, flags(), NOW))
    job["metadata"] |= {"creationTimestamp": "2026-11-24T09:00:00Z", "uid": "u"}
    condition = {"type": "Failed", "status": "True", "reason": "MaxFailedIndexesExceeded", "message": "too many"}
    job["status"] = {"conditions": [{**condition, "lastTransitionTime": "2026-11-24T10:00:09Z"}]}
    pods = [pod(0, "Failed", 143, 5), pod(1, "Failed", 1, 7), pod(2, "Failed", 3, 5), pod(3, "Succeeded", 0, 1)]
    found = workload(job, pods)
    assert (found.state, found.reason, found.exit_code) == ("Failed", "exit code 3 (rank 2)", 3)


def test_ranks_whose_time_was_over(config: Config) -> None:
    """It was over for all, and no rank is to blame: not the one that lost its peer within that second either."""
    job = render(from_flags(config, flags(time=60), NOW))
    job["metadata"] |= {"creationTimestamp": "2026-11-24T09:00:00Z", "uid": "u"}
    job["status"] = {"conditions": [{"type": "FailureTarget", "status": "True", "message": "Container job failed"}]}
    pods = [pod(0, "Failed", 1, 5), pod(1, "Failed", 143, 5), pod(2, "Failed", 3, 7)]
    pods[1]["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = "its time limit was over"
    assert (workload(job, pods).state, workload(job, pods).reason) == ("Stopping", "time limit")
    job["status"]["conditions"][0] |= {"type": "Failed", "lastTransitionTime": "2026-11-24T10:00:09Z"}
    assert (workload(job, pods).reason, workload(job, pods).exit_code) == ("time limit", 143)


# ---- waiting for the master


def test_waiting_is_for_the_command_of_a_multi_node_job(invoke: Invoke, env_file: Path) -> None:
    args = invoke(*RUN, "--dry-run", "--wait-for-master", "--", "train").stdout
    assert "mlo-wait-for-master 600 || exit" in args
    for words in (("--workers", "0", "--", "true"), ("--workers", "1")):
        result = invoke("run", "--dry-run", "--wait-for-master", "5m", *words)
        assert result.exit_code == 2
        assert "--wait-for-master is for a command that runs with --workers" in result.stderr


def wait_for_master(seconds: int, port: int, rank: int = 1) -> subprocess.CompletedProcess[str]:
    environ = {"PET_NODE_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **os.environ}
    argv = [sys.executable, "-IS", str(WAIT), str(seconds)]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=20, check=False)


def test_a_worker_waits_until_the_master_accepts_connections() -> None:
    with socket.socket() as master:
        master.bind(("127.0.0.1", 0))
        port = master.getsockname()[1]
        late = wait_for_master(1, port)
        assert late.returncode == 75
        assert f"waiting for the master at 127.0.0.1:{port} (0 of 1 s): Connection refused" in late.stderr
        assert "did not answer within 1 s" in late.stderr
        assert wait_for_master(1, port, rank=0).returncode == 0, "the master waits for nobody"
        master.listen()
        found = wait_for_master(1, port)
        assert (found.returncode, found.stderr) == (0, "")
