"""The same job through run:ai's command line, whose stand-in makes on the cluster what run:ai would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster.jobs import REPORT, TRAINING, WORDS, assert_is_the_users, reported
from tests.cluster.lab import Lab, Laptop
from tests.standins import runai


@pytest.fixture(params=["v1", "v2.18", "v2.25"])
def runai_laptop(request: pytest.FixtureRequest, laptop: Laptop, lab: Lab, tmp_path: Path) -> Laptop:
    """A laptop with `runai` on PATH."""
    if not lab.namespace.startswith("runai-"):
        pytest.skip("run:ai has a project's jobs in the namespace runai-PROJECT")
    directory = tmp_path / "runai"
    directory.mkdir()
    runai.install(directory, request.param)
    made = replace(
        laptop,
        path=(directory, *laptop.path),
        environ={"MLO_STANDIN_KUBECONFIG": str(lab.kubeconfig)},
    )
    made.write_env(RUNAI_PROJECT=lab.namespace.removeprefix("runai-"), MLO_BACKEND=None)
    return made


def test_command_runs_as_the_user(runai_laptop: Laptop, ssh_key: str) -> None:
    done = runai_laptop.submit(
        *("run", "--name", runai_laptop.name, "--train", "--gpus", "1", "--follow", "--"),
        *("python3", "-c", REPORT + "sys.exit(7)", *WORDS),
    )
    assert "Backend: runai" in done.stderr
    assert done.returncode == 1, done.stderr  # run:ai tells no exit code
    assert_is_the_users(reported(done.stdout), runai_laptop, ssh_key)
    assert "WARNING" not in done.stdout + done.stderr


@pytest.mark.parametrize("runai_laptop", ["v1", "v2.25"], indirect=True)
def test_deleted_job_writes_its_checkpoint(runai_laptop: Laptop, lab: Lab, scratch: Callable[[str], str]) -> None:
    job = runai_laptop.launch(*TRAINING)
    pod = lab.wait_for_log(job, "started")
    lab.kubectl("delete", "job", job)
    lab.wait("delete", f"pod/{pod}")
    assert scratch(f"{runai_laptop.working_dir}/checkpoint") == "trained"


@pytest.mark.parametrize("runai_laptop", ["v1"], indirect=True)
def test_time_limit_stops_the_job(runai_laptop: Laptop, lab: Lab, scratch: Callable[[str], str]) -> None:
    """run:ai has no time limit: the job keeps its own."""
    done = runai_laptop.submit("run", "--name", runai_laptop.name, "--time", "3s", "--follow", *TRAINING)
    assert done.returncode == 1, done.stderr
    assert "the time limit of 3 seconds is over" in done.stdout
    assert scratch(f"{runai_laptop.working_dir}/checkpoint") == "trained"
