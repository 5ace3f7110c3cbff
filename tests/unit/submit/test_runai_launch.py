from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.standins import runai as standin
from tests.unit.submit.conftest import ENV, Api, Fake, Invoke

RUN = ("run", "--backend", "runai", "-n", "x", "--skip-secret-sync")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "runai.log"
    monkeypatch.setenv("MLO_STANDIN_LOG", str(path))
    return path


def calls(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


INTERACTIVE = (
    *("-t", "2h", "--grace", "1m", "--node-type", "h100", "--node-type", "v100", "-p", "8888", "--large-shm"),
    *("--host-ipc", "--mount", "data:/data", "--env", "A=a 'b'\n$(C)", "--", "echo", "it's", "a\nb", "é"),
)
TRAINING = ("--train", "--retries", "2", "-g", "4", "--cpus", "8", "--memory", "64Gi", "-c", 'echo "$(TZ)"')
CASES: list[tuple[str, ...]] = [INTERACTIVE, TRAINING, ("--workers", "2", "--", "torchrun", "train.py")]


@pytest.mark.parametrize("version", ["v1", "v2.18", "v2.25"])
@pytest.mark.parametrize("argv", CASES)
def test_each_version_takes_what_is_sent_and_it_is_what_the_dry_run_shows(
    tmp_path: Path, log: Path, invoke: Invoke, env_file: Path, version: Any, argv: tuple[str, ...]
) -> None:
    standin.install(tmp_path / "bin", version)
    shown = invoke(*RUN, "--dry-run", *argv)
    assert shown.exit_code == 0, shown.output
    result = invoke(*RUN, *argv)
    assert result.exit_code == 0, result.output
    assert "was not checked" in result.stderr
    assert ["runai", *calls(log)[-1]] == shlex.split(shown.stdout)
    assert calls(log)[0] == ["workspace", "--help"]


ARRAY = ("--array", "0-99%8", "--", "train")


def test_version_1_takes_an_array(tmp_path: Path, log: Path, invoke: Invoke, env_file: Path) -> None:
    standin.install(tmp_path / "bin", "v1")
    shown = shlex.split(invoke(*RUN, "--dry-run", *ARRAY).stdout)
    result = invoke(*RUN, *ARRAY)
    assert result.exit_code == 0, result.output
    assert "the first failure ends it, with the tasks that still run" in result.stderr
    sent = calls(log)[-1]
    first = sent.index("--completions")
    assert sent[first : first + 4] == ["--completions", "100", "--parallelism", "8"]
    # The dry run is another submission.
    differ = [word.partition("=")[0] for word, other in zip(sent, shown[1:], strict=True) if word != other]
    assert differ == ["MLO_ARRAY_ID"]
    assert "more than 3 failures end it" in invoke(*RUN, "--dry-run", "--retries", "3", *ARRAY).stderr


@pytest.mark.parametrize("version", ["v2.18", "v2.25"])
def test_version_2_without_the_flags_of_an_array_is_refused(
    tmp_path: Path, log: Path, invoke: Invoke, env_file: Path, version: Any
) -> None:
    standin.install(tmp_path / "bin", version)
    result = invoke(*RUN, *ARRAY)
    assert result.exit_code == 73
    assert "it has no --completions and no --parallelism. Use its version 1, or --backend kubernetes." in result.stderr
    assert all("--help" in call for call in calls(log))


def test_the_stand_in_is_strict(tmp_path: Path, log: Path) -> None:
    program = standin.install(tmp_path / "bin", "v1")
    good = "submit --name x --project p --image i"
    for argv, code in [
        (good.split(), 0),
        (f"{good} --gpus 1".split(), 2),
        (f"{good} stray".split(), 2),
        (f"{good} --name y".split(), 2),
        (f"{good} --gpu".split(), 2),
        (["submit", "--name", "x", "--project", "p"], 2),
        (f"{good} --environment A".split(), 2),
        ([*good.split(), "--", "it's"], 2),
        (["workspace", "--help"], 1),
    ]:
        assert subprocess.run([program, *argv], capture_output=True, check=False).returncode == code, argv


def test_a_dry_run_needs_no_runai(invoke: Invoke, env_file: Path) -> None:
    result = invoke(*RUN, "--dry-run")
    assert result.stdout.startswith("runai submit --name x ")
    assert "runai is not on PATH: this is what its version 1 would get" in result.stderr
    env_file.write_text(ENV + "MLO_RUNAI_VERSION=v2\n")
    assert invoke(*RUN, "--dry-run").stdout.startswith("runai workspace submit x ")


def test_the_checks_are_made_where_a_kubeconfig_lets_them(
    api: Api, invoke: Invoke, env_file: Path, tmp_path: Path, log: Path
) -> None:
    standin.install(tmp_path / "bin", "v1")
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert "no namespace" in result.stderr
    assert not [argv for argv in calls(log) if argv[0] == "submit"]


def test_without_a_kubeconfig_the_secret_cannot_be_mirrored(
    invoke: Invoke, env_file: Path, tmp_path: Path, log: Path
) -> None:
    standin.install(tmp_path / "bin", "v1")
    result = invoke(*RUN[:-1])
    assert result.exit_code == 69
    assert "there is no kubeconfig with a context" in result.stderr
    assert "--skip-secret-sync" in result.stderr


@pytest.mark.parametrize(
    ("err", "code", "says"),
    [
        ("Error: not logged in, please run `runai login`", 77, "Log in with `runai login`"),
        ("the job x already exists", 73, "there is a job x already"),
        ("project mlo-jdoe is forbidden", 77, "Is the project mlo-jdoe yours"),
        ("dial tcp: connection refused", 69, "run:ai cannot be reached"),
        ("something else", 73, "run:ai refuses: something else"),
    ],
)
def test_what_runai_refuses(
    invoke: Invoke, env_file: Path, fake: Callable[[str], Fake], err: str, code: int, says: str
) -> None:
    program = fake("runai")
    program.reply("workspace", code=1)
    program.reply("submit", code=1, err=err)
    result = invoke(*RUN)
    assert result.exit_code == code
    assert says in result.stderr


def test_runai_is_not_installed(invoke: Invoke, env_file: Path) -> None:
    result = invoke(*RUN)
    assert result.exit_code == 69
    assert "`runai` is not on PATH: install the run:ai command line" in result.stderr


TABLE = """\
Showing jobs for project mlo-jdoe
NAME  STATUS  AGE  NODE  IMAGE  TYPE   PROJECT   USER  GPUs Allocated (Requested)
x     Failed  9s   n1    i:1    Train  mlo-jdoe  jdoe  - (1)
"""


def test_follow_ends_with_what_runai_says(invoke: Invoke, env_file: Path, fake: Callable[[str], Fake]) -> None:
    program = fake("runai")
    program.reply("workspace", code=1)
    program.reply("list", "jobs", out=TABLE)
    program.reply("describe", out='{"name": "x", "status": "Failed"}')
    program.reply("logs", out="2026-11-24T12:00:00.5Z epoch 1\n")
    result = invoke(*RUN, "--follow")
    assert result.exit_code == 1
    assert result.stdout == "epoch 1\n"
    (logs,) = [call for call in program.calls if call[0] == "logs"]
    assert logs == ["logs", "x", "--project", "mlo-jdoe", "--timestamps"]


def test_replace(invoke: Invoke, env_file: Path, fake: Callable[[str], Fake]) -> None:
    program = fake("runai")
    program.reply("workspace", code=1)
    program.reply("describe", out='{"status": "Running"}')
    result = invoke(*RUN, "--replace")
    assert result.exit_code == 73
    assert "the job x is Running: --replace only deletes a finished one" in result.stderr
    program.reply("describe", out='{"status": "Failed", "metadata": {"labels": {"app": "theirs"}}}')
    assert "was not made by mlo-submit" in invoke(*RUN, "--replace").stderr
    assert not [call for call in program.calls if call[0] in ("delete", "submit")]
    program.reply("describe", code=1, err="job not found")
    assert invoke(*RUN, "--replace").exit_code == 0


def test_a_finished_job_is_deleted_and_waited_for(
    invoke: Invoke, env_file: Path, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone when `describe` no longer finds it: here, at the second look after its deletion."""
    program = tmp_path / "bin/runai"
    program.write_text(f"""#!/bin/sh
echo "$1" >> {log}
case $1 in
workspace) exit 1 ;;
describe) if [ "$(/usr/bin/grep -c describe {log})" -gt 2 ]; then echo "job not found" >&2; exit 1; fi
    echo '{{"status": "Succeeded", "labels": {{"app.kubernetes.io/managed-by": "mlo-submit"}}}}' ;;
esac
""")
    program.chmod(0o755)
    assert invoke(*RUN, "--replace").exit_code == 0
    assert log.read_text().split() == ["workspace", "describe", "delete", "describe", "describe", "submit"]


@pytest.mark.parametrize(
    "argv",
    [
        ("--secrets", "files"),
        ("--priority", "urgent"),
    ],
)
def test_what_runai_cannot_do(invoke: Invoke, env_file: Path, argv: tuple[str, ...]) -> None:
    assert invoke(*RUN, "--dry-run", *argv).exit_code == 73


def test_a_read_only_claim_needs_version_1(invoke: Invoke, env_file: Path) -> None:
    argv = (*RUN, "--dry-run", "--mount", "data:/data:ro")
    assert "--pvc data:/data:ro" in invoke(*argv).stdout
    env_file.write_text(ENV + "MLO_RUNAI_VERSION=v2\n")
    assert invoke(*argv).exit_code == 73
