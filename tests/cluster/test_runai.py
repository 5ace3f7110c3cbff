"""The same job through run:ai's command line, whose stand-in makes on the cluster what run:ai would."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.jobs import REPORT, TRAINING, WORDS, assert_is_the_users, reported
from tests.cluster.lab import USER, Lab, Laptop, until
from tests.cluster.test_forward import forward, page
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
    assert done.returncode == 7, done.stderr  # which the pod tells, not run:ai
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
    assert done.returncode == 143, done.stderr
    assert "the time limit of 3 seconds is over" in done.stdout
    assert scratch(f"{runai_laptop.working_dir}/checkpoint") == "trained"


@pytest.mark.parametrize("runai_laptop", ["v1"], indirect=True)
def test_tasks_of_an_array_claim_their_indices(
    runai_laptop: Laptop, lab: Lab, scratch: Callable[[str], str], tmp_path: Path
) -> None:
    """Each pod another one, as the user; one that fails and one that is killed are taken over, two at a time."""
    (runai_laptop.project / "sweep.csv").write_text(
        "LR,args\n" + "".join(f"0.{row},--seed {row}\n" for row in range(5))
    )
    script = """
        echo "$LR $*" >>done-$MLO_ARRAY_INDEX
        [ $MLO_ARRAY_INDEX != 2 ] || [ -e failed ] || { touch failed; exit 3; }
        [ $MLO_ARRAY_INDEX != 4 ] || [ -e killed ] || { touch killed; echo holding; sleep 600; }
    """
    job = runai_laptop.launch("--sweep", "sweep.csv", "--array", "1-4%2", "--retries", "9", "-c", script)
    lab.kubectl("delete", "pod", lab.wait_for_log(job, "holding"), "--grace-period=0", "--force")
    lab.wait("condition=Complete", f"job/{job}")
    for index in range(1, 5):
        tries = 2 if index in (2, 4) else 1
        assert scratch(f"{runai_laptop.working_dir}/done-{index}").splitlines() == [f"0.{index} --seed {index}"] * tries
    assert (found := listed(runai_laptop))["state"] == "Succeeded"
    assert found["reason"] == "4 of 4 tasks done, 1 pod failed"
    assert "this is task 3 of 1-4" in runai_laptop.submit("logs", job).stdout
    assert "run:ai does not tell" in runai_laptop.submit("logs", job, "--index", "3").stderr


def listed(laptop: Laptop) -> dict[str, Any]:
    """The job as `list` has it; empty when it is not there."""
    done = laptop.submit("list", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return next((job for job in found if job["name"] == laptop.name), {})


def without_kubeconfig(laptop: Laptop) -> Laptop:
    """The same laptop, which has run:ai's command line alone."""
    return replace(laptop, environ={**laptop.environ, "KUBECONFIG": str(laptop.project / "none")})


@pytest.mark.parametrize(
    ("runai_laptop", "kubeconfig", "forwards"),
    [
        ("v1", True, True),
        ("v2.25", True, True),
        ("v1", False, False),
        ("v2.25", False, True),
    ],
    indirect=["runai_laptop"],
)
def test_life_of_a_job(
    runai_laptop: Laptop, lab: Lab, scratch: Callable[[str], str], tmp_path: Path, kubeconfig: bool, forwards: bool
) -> None:
    """It is listed, entered, reached, set aside, resumed, followed to its end, and deleted."""
    option, flag, line = TRAINING
    job = runai_laptop.launch(option, flag, f"python3 -m http.server 8090 & {line}")
    laptop = runai_laptop if kubeconfig else without_kubeconfig(runai_laptop)

    def do(*argv: str, code: int = 0) -> str:
        done = laptop.submit(*argv)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    running = until(lambda: (found := listed(laptop)).get("state") == "Running" and found, "it runs")
    assert (running["kind"], running["user"], running["backend"]) == ("training", USER, "runai")
    assert json.loads(do("describe", "--json", job))["state"] == "Running"
    assert do("exec", job, "--", "sh", "-c", 'echo "$0\'s"\n', "it") == "it's\n"
    assert "started" in until(lambda: do("logs", job), "it prints")
    if forwards:
        with forward(laptop, tmp_path, job, "8090") as program:
            assert page(program.url())
    else:
        assert "kubeconfig" in do("port-forward", job, "8090", code=73)
    do("stop", job)
    if not forwards:  # version 1 alone says at once that it is stopped
        until(lambda: not lab.pods(job), "its pod ends")
    assert scratch(f"{laptop.working_dir}/checkpoint") == "trained"
    assert listed(laptop)["state"] == "Stopped"
    do("resume", job)
    assert "resumed" in do("logs", "--follow", job)
    assert listed(laptop)["exit_code"] == 0
    do("delete", "--yes", job)
    assert listed(laptop) == {}
    assert "there is no job" in do("describe", job, code=73)


@pytest.mark.parametrize("runai_laptop", ["v1"], indirect=True)
def test_job_with_a_wrong_claim_is_found_and_deleted(runai_laptop: Laptop, lab: Lab) -> None:
    """Version 1 neither lists such a job nor deletes it."""
    blind = without_kubeconfig(runai_laptop)
    blind.launch("--pvc", "wrong", "--skip-secret-sync", "--", "true")
    until(lambda: "wrong" in listed(runai_laptop).get("reason", ""), "the claim is named")
    assert listed(blind) == {}
    done = runai_laptop.submit("delete", "--yes", runai_laptop.name)
    assert done.returncode == 0, done.stderr
    assert lab.pods(runai_laptop.name) == []
