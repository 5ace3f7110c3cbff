"""The docker backend on a real engine: `MLO_IMAGE=mlo:dev pytest tests/engine`."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The files of a test belong to who runs it, or to nobody on this machine when that is root.
UID, GID = (os.getuid(), os.getgid()) if os.getuid() else (123456, 83070)

CHECKPOINT = """
import os, signal, sys, time
def stop(*_):
    time.sleep(0.3)
    open("checkpoint", "w").write("trained")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
os.write(1, b"started\\n")
while True:
    time.sleep(0.05)  # short: a signal just before a sleep does not end it
"""


@dataclass(frozen=True)
class Laptop:
    """A home with a .env, and the name of a job that is not taken."""

    home: Path
    name: str

    def submit(self, *argv: str) -> subprocess.CompletedProcess[str]:
        environ = {"HOME": str(self.home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        environ |= {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
        command = [sys.executable, "-m", "mlo_submit", "--backend", "docker", "run", "--name", self.name, *argv]
        return subprocess.run(command, env=environ, cwd=self.home, capture_output=True, text=True, timeout=60)

    def docker(self, *argv: str) -> str:
        done = subprocess.run(["docker", *argv], capture_output=True, text=True, check=True, timeout=60)  # noqa: S607
        return done.stdout.strip()

    @property
    def secrets(self) -> Path:
        return self.home / ".local/state/mlo/secrets" / self.name

    @property
    def scratch(self) -> Path:
        return self.home / ".local/share/mlo/scratch"

    def wait_for_log(self, text: str) -> None:
        deadline = time.monotonic() + 30
        while text not in self.docker("logs", self.name):
            assert time.monotonic() < deadline, f"no {text!r} in the log"
            time.sleep(0.1)


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    image = os.environ.get("MLO_IMAGE") or pytest.skip("MLO_IMAGE names no image")
    (tmp_path / ".env").write_text(
        f"LDAP_USERNAME=jdoe\nLDAP_UID={UID}\nLDAP_GROUPNAME=lab\nLDAP_GID={GID}\nRUNAI_IMAGE={image}\n"
        "HF_TOKEN='hf_${literal}'\nEXTRA_SECRET_KEYS=NOTE\nNOTE=\"two\nlines\"\n"
    )
    (tmp_path / ".env").chmod(0o600)
    made = Laptop(home=tmp_path, name=f"engine-{secrets.token_hex(3)}")
    yield made
    subprocess.run(["docker", "rm", "--force", made.name], capture_output=True, check=False)  # noqa: S607


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


def test_the_time_limit_stops_the_job(laptop: Laptop) -> None:
    began = time.monotonic()
    done = laptop.submit("--train", "--time", "1s", "--follow", "--", "python3", "-c", CHECKPOINT)
    assert time.monotonic() - began < 20
    assert "the time limit of 1 seconds is over" in done.stderr
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
    assert (running.returncode, "still runs" in running.stderr) == (73, True)
    laptop.docker("rm", "--force", laptop.name)
    assert laptop.secrets.exists()
    Laptop(home=laptop.home, name=f"{laptop.name}-b").submit("--image", "none.invalid/x", "--", "true")
    assert not laptop.secrets.exists(), "gone with the job, once mlo-submit sees it gone"


def test_no_engine_is_one_clear_line(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    done = laptop.submit()
    assert done.returncode == 69
    assert done.stderr.splitlines()[-1].startswith("Error: Docker is not running: start it")
