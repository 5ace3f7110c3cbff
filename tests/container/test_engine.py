"""What only an engine shows: its seccomp profile, capabilities, stop, exec, restart and limits. Runs on the host."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest

IMAGE = os.environ.get("MLO_IMAGE", "mlo:dev")
DOCKER = os.environ.get("DOCKER", "docker")
UID, GID = 123456, 83070
SCRATCH_HOME = "/mloscratch/homes/jdoe"
ENVIRON = {
    "NB_USER": "jdoe",
    "NB_UID": str(UID),
    "NB_GROUP": "MLO-unit",
    "NB_GID": str(GID),
    "SCRATCH_HOME_ROOT": "/mloscratch/homes",
    "WORKING_DIR": SCRATCH_HOME,
}
CHECKPOINT = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), os.write(1, b"checkpoint\\n"), sys.exit(0)))
os.write(1, b"up\\n")
while True:
    time.sleep(0.05)  # short: a signal just before a sleep does not end it
"""


def docker(*arguments: str, code: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run([DOCKER, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert code is None or done.returncode == code, f"{arguments}: {done}"
    return done


SCRATCH = ("--tmpfs", "/mloscratch:mode=1777")


def options(start: str, *extra: str, scratch: tuple[str, ...] = SCRATCH) -> list[str]:
    user = {"root": "0", "uid": f"{UID}:{GID}"}[start]
    variables = [word for name, value in ENVIRON.items() for word in ("--env", f"{name}={value}")]
    return ["--user", user, "--network=none", *scratch, *variables, *extra, IMAGE]


def run(start: str, *command: str, extra: tuple[str, ...] = (), code: int = 0) -> subprocess.CompletedProcess[str]:
    done = docker("run", "--rm", *options(start, *extra), *command, code=code)
    if code not in (64, 71, 73):
        assert "WARNING" not in done.stderr
        assert "ERROR" not in done.stderr
    return done


@pytest.fixture(params=["root", "uid"])
def start(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a container and a volume, which are removed."""
    name = f"mlo-test-{uuid.uuid4().hex[:12]}"
    yield name
    docker("rm", "--force", name, code=None)
    docker("volume", "rm", "--force", name, code=None)


def start_and_wait(name: str, start: str, *command: str, scratch: tuple[str, ...] = SCRATCH) -> None:
    docker("run", "--detach", "--name", name, *options(start, scratch=scratch), *command)
    deadline = time.monotonic() + 30
    while "up" not in docker("logs", name).stdout.splitlines():
        assert time.monotonic() < deadline, docker("logs", name)
        time.sleep(0.05)


def test_both_starts(start: str) -> None:
    """The engine's default capabilities and seccomp profile are enough, and the exit code is the command's."""
    script = "id -un; id -gn; pwd; umask; sudo -n id -u; echo $ZDOTDIR; grep -c . /proc/self/mounts >/dev/null; exit 7"
    done = run(start, "sh", "-c", script, code=7)
    assert done.stdout == f"jdoe\nMLO-unit\n{SCRATCH_HOME}\n0007\n0\n{SCRATCH_HOME}/.shell\n"


def test_stop_waits_for_a_checkpoint(name: str, start: str) -> None:
    """`docker stop`: TERM, and as long as the job needs within the grace period."""
    start_and_wait(name, start, "zsh", "-c", 'true && python3 -c "$1"; true', "zsh", CHECKPOINT)
    began = time.monotonic()
    docker("stop", "--time", "20", name)
    assert time.monotonic() - began < 10
    assert "checkpoint" in docker("logs", name).stdout


def test_stop_of_a_command_without_a_handler(name: str, start: str) -> None:
    """It ends at once, with 143, as if it were not PID 1's child."""
    start_and_wait(name, start, "sh", "-c", "echo up; exec sleep 100")
    began = time.monotonic()
    docker("stop", "--time", "20", name)
    assert time.monotonic() - began < 10
    assert docker("inspect", "--format", "{{.State.ExitCode}}", name).stdout == "143\n"


@pytest.mark.parametrize("shell", ["zsh", "bash"])
def test_exec(name: str, start: str, shell: str) -> None:
    """A session of the user by name, and of a bare start's own user without one."""
    start_and_wait(name, start, "sh", "-c", "echo up; exec sleep 100")
    for user in ([], ["--user", "jdoe"]) if start == "uid" else (["--user", "jdoe"],):
        done = docker("exec", *user, name, shell, "-lc", "id -un; echo $HOME $GIT_CONFIG_GLOBAL; umask; sudo -n id -u")
        assert done.stdout.replace("0007", "007") == f"jdoe\n/home/jdoe {SCRATCH_HOME}/.gitconfig\n007\n0\n"
    again = docker("exec", "--user", "4242:4242", name, "/usr/local/bin/mlo-entry", "id", "-u")
    assert again.stdout == "4242\n"


def test_a_container_that_starts_again(name: str, start: str) -> None:
    """`docker restart`: the second boot in the same container is as good as the first."""
    volume = f"{name}:/mloscratch"  # it lasts, and has its first owner and mode: the image's
    docker(
        "run",
        "--rm",
        "--user=0",
        "--network=none",
        "--volume",
        volume,
        "--entrypoint=/bin/chmod",
        IMAGE,
        "1777",
        "/mloscratch",
    )
    start_and_wait(name, start, "sh", "-c", "id -un; echo up; exec sleep 100", scratch=("--volume", volume))
    docker("restart", "--time", "10", name)
    deadline = time.monotonic() + 30
    while (log := docker("logs", name)).stdout.splitlines().count("up") < 2:
        assert time.monotonic() < deadline, log
        time.sleep(0.05)
    assert log.stdout == "jdoe\nup\n" * 2
    assert "WARNING" not in log.stderr


def test_no_new_privileges() -> None:
    """71, and one line that names it."""
    done = run("uid", "echo", "ran", extra=("--security-opt", "no-new-privileges"), code=71)
    assert done.stdout == ""
    assert "no_new_privs" in done.stderr


def test_a_read_only_container(start: str) -> None:
    """71."""
    assert run(start, "echo", "ran", extra=("--read-only",), code=71).stdout == ""


def test_groups_and_limits(start: str) -> None:
    """--group-add and --ulimit reach the command."""
    extra = ("--group-add", "5000", "--ulimit", "nofile=700:900", "--ulimit", "core=4096:4096")
    done = run(start, "bash", "-c", "id -G; ulimit -Sn; ulimit -Hn; ulimit -c", extra=extra)
    groups, *limits = done.stdout.splitlines()
    assert "5000" in groups.split()
    assert limits == ["700", "900", "4"]


def test_a_terminal_and_stdin(start: str) -> None:
    """-i passes stdin, -t gives a terminal, and both of them a shell."""
    options_ = options(start, "-i")
    assert docker("run", "--rm", *options_, "cat", stdin="through\n").stdout == "through\n"
    command = [DOCKER, "run", "--rm", *options(start, "-t"), "sh", "-c", "test -t 0 && test -t 1 && tty"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
    assert "/dev/pts/0" in done.stdout


def test_out_of_memory_is_named() -> None:
    """A limit of the engine's: 137, and the log says why."""
    done = run(
        "uid", "python3", "-c", "x = bytearray(500 << 20)", extra=("--memory", "64m", "--memory-swap", "64m"), code=137
    )
    assert "out of memory (limit 64 MiB)" in done.stderr


def test_another_init() -> None:
    """`docker --init`, where the engine has one: as root it works, as a bare UID it says why not."""
    probe = docker("run", "--rm", "--init", "--network=none", "--entrypoint", "/bin/true", IMAGE, code=None)
    if probe.returncode:
        pytest.skip("this engine has no init")
    assert run("root", "id", "-un", extra=("--init",)).stdout == "jdoe\n"
    assert "PID 1" in run("uid", "id", extra=("--init",), code=71).stderr


def test_without_the_variables(start: str) -> None:
    """The image is a plain image too."""
    user = {"root": "0", "uid": f"{UID}:{GID}"}[start]
    done = docker("run", "--rm", "--network=none", "--user", user, IMAGE, "id", "-u")
    assert done.stdout == user.split(":")[0] + "\n"
    assert "WARNING" in done.stderr
