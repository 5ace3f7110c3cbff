"""The docker backend on a real engine."""

from __future__ import annotations

import socket
import time

import pytest

from tests.engine.laptop import CHECKPOINT, GID, UID, Laptop


@pytest.mark.parametrize("how", ["files", "env"])
def test_the_command_runs_as_the_user_with_their_secrets(laptop: Laptop, how: str) -> None:
    script = 'id -u; id -g; umask; pwd; print -r -- "$HF_TOKEN" "$NOTE" "$@"; exit 7'
    done = laptop.submit(
        "--train", "--follow", "--secrets", how, "--", "zsh", "-c", script, "x", "it's", "$(id)", "=ls"
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout == f"{UID}\n{GID}\n007\n/mloscratch/homes/jdoe\nhf_${{literal}} two\nlines it's $(id) =ls\n"
    assert "WARNING" not in done.stderr
    assert not laptop.secrets.exists()
    home = laptop.scratch / "homes/jdoe"
    assert (home.stat().st_uid, home.stat().st_gid, home.stat().st_mode & 0o777) == (UID, GID, 0o770)


def test_a_stop_lets_a_child_of_the_shell_write_its_checkpoint(laptop: Laptop) -> None:
    done = laptop.submit("--grace", "20s", "-c", f"true && python3 -c '{CHECKPOINT}' && echo more")
    assert (done.returncode, done.stdout) == (0, f"{laptop.name}\n"), done.stderr
    laptop.wait_for_log("started")
    assert laptop.secrets.is_dir()
    laptop.docker("stop", laptop.name)
    assert (laptop.scratch / "homes/jdoe/checkpoint").read_text() == "trained"
    assert laptop.docker("inspect", "--format", "{{.State.ExitCode}}", laptop.name) == "143"
    assert "more" not in laptop.docker("logs", laptop.name)


@pytest.mark.parametrize("command", [("python3", "-c", CHECKPOINT), ("bash", "-c", f"python3 -c '{CHECKPOINT}'; true")])
def test_the_time_limit_stops_the_job(laptop: Laptop, command: tuple[str, ...]) -> None:
    """And waits for its last process, also when the shell in front of that does not. That is no success, whatever the
    job makes of it."""
    began = time.monotonic()
    done = laptop.submit("--train", "--time", "1s", "--follow", "--", *command)
    assert time.monotonic() - began < 20
    assert done.returncode == 143
    assert ": time limit.\n" in done.stderr
    assert (laptop.scratch / "homes/jdoe/checkpoint").read_text() == "trained"


def test_a_training_job_is_retried_and_then_has_failed(laptop: Laptop) -> None:
    done = laptop.submit("--train", "--retries", "2", "--follow", "-c", 'echo try; print -r -- "$HF_TOKEN"; exit 3')
    assert done.returncode == 3, done.stderr
    assert done.stdout == "try\nhf_${literal}\n" * 3


def test_a_finished_job_is_replaced_and_a_running_one_is_not(laptop: Laptop) -> None:
    assert laptop.submit("--replace", "--follow", "--", "true").returncode == 0
    taken = laptop.submit("--", "true")
    assert (taken.returncode, "replace it with --replace" in taken.stderr) == (73, True)
    assert laptop.submit("--replace").returncode == 0
    running = laptop.submit("--replace")
    assert (running.returncode, "it is Running: choose another" in running.stderr) == (73, True)
    laptop.docker("rm", "--force", laptop.name)
    assert laptop.secrets.exists()
    Laptop(home=laptop.home, name=f"{laptop.name}-b").submit("--image", "none.invalid/x", "--", "true")
    assert not laptop.secrets.exists(), "gone with the job, once mlo-submit sees it gone"


def test_nothing_is_left_of_a_job_that_cannot_start(laptop: Laptop) -> None:
    """Docker makes the container before it finds that it cannot start it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = laptop.submit("--port", str(taken.getsockname()[1]))
    assert done.returncode == 73
    assert f"Docker does not start {laptop.name}: " in done.stderr
    assert "already" in done.stderr
    assert laptop.docker("ps", "--all", "--quiet", "--filter", f"name={laptop.name}") == ""
    assert not laptop.secrets.exists()


def test_no_engine_is_one_clear_line(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    done = laptop.submit()
    assert done.returncode == 69
    assert done.stderr.splitlines()[-1].startswith("Error: Docker is not running: start it")
