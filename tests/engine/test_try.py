"""docker/try.sh as a new user meets it: what the README shows, a command of their own, and a Ctrl-C."""

from __future__ import annotations

import os
import pwd
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.examples import ROOT, of
from tests.reader import Reader

[(README, EXAMPLES)] = of("try").items()


@dataclass(frozen=True)
class Trial:
    """A state directory of its own, and the name of a job that is not taken."""

    state: Path
    name: str

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "XDG_STATE_HOME": str(self.state)}

    def start(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            # A shell without job control starts its children deaf to INT, and so do they theirs.
            ["env", "--default-signal=INT", ROOT / "docker/try.sh", "--name", self.name, *argv],  # noqa: S607
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C reaches all of it, and nothing else
        )

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        with self.start(*argv) as process:
            stdout, stderr = process.communicate(timeout=60)
            return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)

    @property
    def directory(self) -> Path:
        return self.state / "mlo/try"

    @property
    def project(self) -> Path:
        [project] = (self.directory / "scratch/homes").glob("*/example")
        return project


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    if "MLO_IMAGE" not in os.environ:
        pytest.skip("MLO_IMAGE names no image")
    made = Trial(state=tmp_path, name=f"try-{secrets.token_hex(3)}")
    yield made
    subprocess.run(["docker", "rm", "--force", made.name], capture_output=True, check=False)  # noqa: S607


def epochs(log: str) -> list[int]:
    return [int(line.split()[1]) for line in log.splitlines() if line.startswith("epoch ")]


def test_the_first_run_trains_and_the_second_resumes(trial: Trial) -> None:
    """As the README shows, with the image built from this checkout."""
    script = trial.state / "docker/try.sh"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {ROOT}/docker/try.sh --name {trial.name} "$@"\n')
    script.chmod(0o755)
    words = {"/root/.local/state": str(trial.state), "mlo-try": trial.name}
    if os.getuid():
        words |= {"jdoe": pwd.getpwuid(os.getuid()).pw_name, "123456": str(os.getuid()), "83070": str(os.getgid())}
    environ = {name: value for name, value in trial.environ.items() if name != "MLO_IMAGE"}
    reader = Reader(trial.state, environ, words, seconds=1500)

    first, second = EXAMPLES
    reader.follow(README, [first])
    began = time.monotonic()
    reader.follow(README, [second])
    assert time.monotonic() - began < 30, "it takes seconds"

    assert (trial.directory / ".env").stat().st_mode & 0o777 == 0o600
    assert trial.directory.stat().st_mode & 0o777 == 0o700
    assert (trial.project / "checkpoint.json").stat().st_uid == (os.getuid() or 123456)


def test_a_command_of_ones_own(trial: Trial) -> None:
    """As typed, in the project, with its exit code; and the project keeps what its user changes."""
    done = trial.run(
        "--", "sh", "-c", 'pwd; ls; echo edited >train.py; printf "%s\\n" "$@"; exit 7', "x", "it's", "$HOME"
    )
    assert done.returncode == 7, done.stderr
    where, *files, apostrophe, dollar = done.stdout.splitlines()
    assert where.endswith("/example")
    assert files == ["places.txt", "pyproject.toml", "train.py"]
    assert (apostrophe, dollar) == ("it's", "$HOME")
    assert trial.run("--", "cat", "train.py").stdout == "edited\n"


def test_a_ctrl_c_stops_the_job_after_its_checkpoint(trial: Trial) -> None:
    """And the next run completes the training, although it names no number of epochs."""
    with trial.start("--", "uv", "run", "train.py", "--epochs", "60") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch   3"):
                os.killpg(process.pid, signal.SIGINT)
                break
        rest, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    state = subprocess.run(
        ["docker", "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", trial.name],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    assert state.stdout == "exited 143\n"
    assert "told to stop: the checkpoint is at epoch" in rest
    last = epochs(rest)[-1]
    done = trial.run()
    assert done.returncode == 0, done.stderr
    assert epochs(done.stdout) == list(range(last + 1, 61))


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["train.py"], "docker/try.sh -- train.py"), (["--"], "no command"), (["--name"], "needs a value")],
)
def test_a_wrong_command_line_says_what_is_right(argv: list[str], message: str) -> None:
    done = subprocess.run([ROOT / "docker/try.sh", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr
