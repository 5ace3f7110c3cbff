"""Jobs that are started in Docker, and what it may answer."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlo_submit.backends.docker import stops, words
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, Fake, Invoke
from tests.unit.submit.containers import container

RUN = ("run", "--backend", "docker", "-n", "x")


@pytest.fixture
def engine(fake: Callable[[str], Fake]) -> Fake:
    """A Docker that has no containers, and starts what it is told to."""
    program = fake("docker")
    program.reply("container", "inspect", code=1, err="Error: No such container: x")
    return program


def secrets_of(machine: Machine, name: str) -> Path:
    return machine.home / ".local/state/mlo/secrets" / name


def test_what_is_started_is_what_the_dry_run_shows(
    invoke: Invoke, env_file: Path, engine: Fake, laptop: Machine
) -> None:
    shown = invoke(*RUN, "--dry-run", "--", "echo", "it's")
    assert engine.calls == []
    assert not (laptop.home / ".local").exists()
    result = invoke(*RUN, "--", "echo", "it's")
    assert result.exit_code == 0, result.output
    assert ["docker", *engine.calls[-1]] == shlex.split(shown.stdout)
    assert result.stdout == "x\n"
    for command in ("logs -f x", "shell x", "describe x", "delete x"):
        assert f"mlo-submit --backend docker {command}" in result.stderr


def test_secrets_lie_in_files_that_nobody_else_can_read(
    invoke: Invoke, env_file: Path, engine: Fake, laptop: Machine
) -> None:
    invoke(*RUN)
    directory = secrets_of(laptop, "x")
    assert (directory.parent.stat().st_mode & 0o777, directory.stat().st_mode & 0o777) == (0o700, 0o700)
    assert {file.name: file.read_text() for file in directory.iterdir()} == {
        "HF_TOKEN": "hf_hidden",
        "WANDB_API_KEY": "wandb_hidden",
    }
    assert {file.stat().st_mode & 0o777 for file in directory.iterdir()} == {0o600}
    assert "hidden" not in str(engine.calls)


def test_secrets_as_variables_are_in_no_argv(invoke: Invoke, env_file: Path, engine: Fake, laptop: Machine) -> None:
    invoke(*RUN, "--secrets", "env")
    assert not secrets_of(laptop, "x").exists()
    assert "hidden" not in str(engine.calls)
    assert engine.environs[-1]["HF_TOKEN"] == "hf_hidden"


def test_secrets_go_with_the_job(invoke: Invoke, env_file: Path, engine: Fake, laptop: Machine) -> None:
    """The next mlo-submit removes those of jobs that ended or are gone; not of one that runs, or is being submitted."""
    for name in ("gone", "ended", "runs", "starts"):
        secrets_of(laptop, name).mkdir(parents=True)
        (secrets_of(laptop, name) / "KEY").touch()
    engine.reply("ps", out="exited ended\nrunning runs\n")
    lock = os.open(secrets_of(laptop, "starts"), os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    invoke(*RUN)
    os.close(lock)
    assert sorted(path.name for path in secrets_of(laptop, "x").parent.iterdir()) == ["runs", "starts", "x"]


def test_scratch_is_open_to_the_pod_and_closed_to_the_machine(
    invoke: Invoke, env_file: Path, engine: Fake, laptop: Machine
) -> None:
    invoke(*RUN)
    scratch = laptop.home / ".local/share/mlo/scratch"
    assert scratch.stat().st_mode & 0o7777 == 0o1777
    assert scratch.parent.stat().st_mode & 0o777 == 0o700


def test_a_scratch_of_ones_own_is_left_as_it_is(invoke: Invoke, env_file: Path, engine: Fake, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir(mode=0o755)
    env_file.write_text(ENV + f"MLO_LOCAL_SCRATCH={own}\n")
    result = invoke(*RUN)
    assert "does not let the pod's user (123456:83070) write there: chmod 1777" in result.stderr
    assert own.stat().st_mode & 0o777 == 0o755
    own.chmod(0o1777)
    assert "does not let" not in invoke(*RUN).stderr


def test_gpus_only_where_there_are_any(invoke: Invoke, env_file: Path, engine: Fake, monkeypatch: object) -> None:
    result = invoke(*RUN, "-g", "2")
    assert "this machine has no NVIDIA GPU: x runs without the 2 that it asks for" in result.stderr
    assert "--gpus" not in engine.calls[-1]


def test_docker_has_no_priorities(invoke: Invoke, env_file: Path, engine: Fake) -> None:
    result = invoke(*RUN, "--priority", "urgent")
    assert (result.exit_code, "leave --priority out" in result.stderr, engine.calls) == (73, True, [])


def test_directories_are_mounted_by_their_whole_path(
    invoke: Invoke, env_file: Path, engine: Fake, laptop: Machine
) -> None:
    result = invoke(*RUN, "--mount", "data:/data")
    assert result.exit_code == 73
    assert f"there is no {laptop.cwd}/data on this machine" in result.stderr
    (laptop.cwd / "data").mkdir()
    assert invoke(*RUN, "--mount", "data:/data").exit_code == 0
    assert f"type=bind,source={laptop.cwd}/data,target=/data" in engine.calls[-1]


def test_an_env_for_docker_alone_needs_no_cluster(invoke: Invoke, env_file: Path, engine: Fake) -> None:
    env_file.write_text("LDAP_USERNAME=a\nLDAP_UID=1\nLDAP_GROUPNAME=g\nLDAP_GID=2\nRUNAI_IMAGE=i\n")
    assert invoke(*RUN).exit_code == 0


def inspected(*containers: dict[str, Any]) -> str:
    return json.dumps(containers)


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (
            container(status="running"),
            "there is a job x already, and it is Running: choose another --name, or delete it",
        ),
        (container(status="restarting"), "it is Starting"),
        (container(status="created"), "it is Starting"),
        (container(status="exited"), "there is a finished job x already: replace it with --replace"),
        (container(status="exited", labels={}), "there is a container x already, not made by mlo-submit"),
    ],
)
def test_a_name_that_is_taken(invoke: Invoke, env_file: Path, engine: Fake, there: dict[str, Any], says: str) -> None:
    engine.reply("container", "inspect", out=inspected(there))
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert says in result.stderr
    assert not [call for call in engine.calls if call[0] in ("run", "rm")]


def test_a_container_whose_id_starts_with_the_name_is_another_one(invoke: Invoke, env_file: Path, engine: Fake) -> None:
    engine.reply("container", "inspect", out=inspected(container(name="other", labels={}, container_id="xabc")))
    engine.reply("run", code=125, err="docker: Error response from daemon: no.")
    assert "Docker does not start x: no." in invoke(*RUN).stderr
    assert "rm" not in [call[0] for call in engine.calls]


def test_replace(invoke: Invoke, env_file: Path, engine: Fake, laptop: Machine) -> None:
    """Only what has ended, and not what is set aside."""
    engine.reply("container", "inspect", out=inspected(container(status="running")))
    assert invoke(*RUN, "--replace").exit_code == 73
    ended = container(status="exited", code=143)
    engine.reply("container", "inspect", out=inspected(ended))
    stops.write(laptop, words.workload([ended]))
    assert "it is Stopped" in invoke(*RUN, "--replace").stderr
    stops.remove(laptop, "x")
    assert invoke(*RUN, "--replace").exit_code == 0
    assert ["rm", ended["Id"]] in engine.calls


@pytest.mark.parametrize(
    ("err", "code", "says"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?",
            69,
            "Docker is not running",
        ),
        ("permission denied while trying to connect to /var/run/docker.sock", 69, "Docker does not let you in"),
    ],
)
def test_no_engine(invoke: Invoke, env_file: Path, engine: Fake, err: str, code: int, says: str) -> None:
    engine.reply(code=1, err=err)
    result = invoke(*RUN)
    assert result.exit_code == code
    assert says in result.stderr


@pytest.mark.parametrize(
    ("err", "says"),
    [
        (
            "Unable to find image 'i' locally\n"
            "docker: Error response from daemon: pull access denied for i, repository does not exist.\n"
            "See 'docker run --help'.\n",
            "cannot be pulled: pull access denied for i, repository does not exist. Check its name",
        ),
        (
            "docker: Error response from daemon: could not select device driver.\n\nRun 'docker run --help' for more",
            "Docker does not start x: could not select device driver.",
        ),
        (
            'docker: Error response from daemon: failed to create task: exec: "/bin/zsh": stat /bin/zsh: no such file.',
            "the image registry.example.org/mlo/base:1 has no /bin/zsh",
        ),
    ],
)
def test_what_docker_refuses(
    invoke: Invoke, env_file: Path, engine: Fake, laptop: Machine, err: str, says: str
) -> None:
    engine.reply("run", code=125, err=err)
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert says in result.stderr
    assert not secrets_of(laptop, "x").exists()


def test_a_ctrl_c_while_it_starts_leaves_neither_container_nor_secrets(
    invoke: Invoke, env_file: Path, laptop: Machine, tmp_path: Path
) -> None:
    program, made = tmp_path / "bin/docker", tmp_path / "made"
    (tmp_path / "x.json").write_text(inspected(container("x")))
    program.write_text(f"""#!/bin/sh
case "$1 $2" in
"container inspect") [ -e {made} ] && exec /bin/cat {made}; echo "Error: No such container: x" >&2; exit 1 ;;
"run "*) /bin/cp {tmp_path}/x.json {made}; kill -INT $PPID ;;
"rm --force") /bin/rm {made} ;;
esac
""")
    program.chmod(0o755)
    assert invoke(*RUN).exit_code == 130
    assert not made.exists()
    assert not secrets_of(laptop, "x").exists()


def test_a_race_for_a_name_leaves_the_winner_alone(
    invoke: Invoke, env_file: Path, engine: Fake, laptop: Machine
) -> None:
    conflict = (
        'docker: Error response from daemon: Conflict. The container name "/x" is already in use by container "1".'
    )
    engine.reply("run", code=125, err=conflict)
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert "already in use" in result.stderr
    assert "rm" not in [call[0] for call in engine.calls]
    secrets_of(laptop, "x").mkdir(parents=True)
    lock = os.open(secrets_of(laptop, "x"), os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    engine.reply("run")
    assert "another mlo-submit is starting x" in invoke(*RUN).stderr
    os.close(lock)


def test_an_image_that_is_not_here_is_pulled_in_sight(
    invoke: Invoke, env_file: Path, engine: Fake, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.reply("image", "inspect", code=1, err="No such image")
    engine.reply("pull", out="layer 1\n")
    assert invoke(*RUN).exit_code == 0
    assert capfd.readouterr() == ("", "layer 1\n")
    engine.reply("pull", code=1, err="manifest unknown")
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert "the image registry.example.org/mlo/base:1 cannot be pulled: see above. Check its name" in result.stderr


def test_docker_is_not_installed(invoke: Invoke, env_file: Path) -> None:
    result = invoke(*RUN)
    assert result.exit_code == 69
    assert "`docker` is not on PATH: install Docker" in result.stderr


def test_follow_ends_with_the_jobs_exit_code(invoke: Invoke, env_file: Path, engine: Fake, laptop: Machine) -> None:
    engine.reply("container", "inspect", out=inspected(container(status="exited", code=42)))
    engine.reply("logs", out="2026-11-24T10:00:02.000000000Z epoch 1\n")
    result = invoke(*RUN, "--replace", "--follow")
    assert result.exit_code == 42
    assert result.stdout == "epoch 1\n"
    assert not secrets_of(laptop, "x").exists()
