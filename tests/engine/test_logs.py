"""What a job prints, as `mlo-submit logs` shows it on a real engine."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import psutil

from tests.engine.laptop import Laptop

# Lines on both streams, some alike; one so long that Docker cuts it; and one that has no end.
PRINT = """
import os, time
for number in range(1500):
    os.write(1, b"%d out\\n" % number)
    os.write(2, b"%d err\\n" % number)
    os.write(1, b"same\\n")
    time.sleep(0.001)
os.write(1, b"l" * 40_000 + b"\\n" + b"\\r50%\\r100%\\n\\n")
os.write(1, b"no end")
"""


def wait_for(text: bytes, file: Path) -> None:
    deadline = time.monotonic() + 30
    while text not in file.read_bytes():
        assert time.monotonic() < deadline, f"no {text!r} within 30 s"
        time.sleep(0.02)


def test_every_line_comes_once_on_its_stream(laptop: Laptop) -> None:
    """Byte for byte, although `docker logs` is killed three times, and Docker cuts long lines and stamps the pieces."""
    assert laptop.submit("--train", "--", "python3", "-c", PRINT).returncode == 0
    out, err = laptop.home / "out", laptop.home / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        argv = laptop.command("logs", "-f", "--exit-code", laptop.name)
        with subprocess.Popen(argv, env=laptop.environ, cwd=laptop.home, stdout=stdout, stderr=stderr) as process:
            for number in (100, 500, 1200):
                wait_for(b"\n%d out\n" % number, out)
                children = psutil.Process(process.pid).children()
                for child in (each for each in children if "logs" in each.cmdline()):
                    child.kill()
            assert process.wait(30) == 0
    numbers = b"".join(b"%d out\nsame\n" % number for number in range(1500))
    assert out.read_bytes() == numbers + b"l" * 40_000 + b"\n\r50%\r100%\n\nno end"
    told = [line for line in err.read_bytes().splitlines() if not line.startswith(b"[mlo]")]
    assert told[:-1] == [b"%d err" % number for number in range(1500)]
    assert re.fullmatch(rb"engine-\w+ succeeded after \d+s\.", told[-1])


def test_a_part_of_the_log(laptop: Laptop) -> None:
    script = "seq 5; sleep 2.1; echo last"
    assert laptop.submit("--train", "--follow", "-c", script).stdout.splitlines() == [*"12345", "last"]
    assert laptop.mlo("logs", "--since", "1s", laptop.name).stdout in (b"last\n", b"")
    assert laptop.mlo("logs", laptop.name).stdout == b"1\n2\n3\n4\n5\nlast\n"
    (stamped,) = laptop.mlo("logs", "--timestamps", "--tail", "2", laptop.name).stdout.splitlines()
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z last", stamped)


def test_a_restarted_container_goes_on(laptop: Laptop) -> None:
    """A run that fails is tried again, and its lines come once; the exit code is the job's, if it is asked for."""
    assert laptop.submit("--train", "--retries", "2", "-c", "echo try; sleep 0.2; exit 3").returncode == 0
    followed = laptop.mlo("logs", "-f", "--exit-code", laptop.name)
    assert (followed.returncode, followed.stdout) == (3, b"try\n" * 3)
    assert laptop.mlo("logs", "-f", laptop.name).returncode == 0


def test_a_ctrl_c_on_a_terminal_leaves_the_job(laptop: Laptop) -> None:
    assert laptop.submit("-c", "echo here; sleep 60").returncode == 0
    with laptop.terminal("logs", "-f", laptop.name) as terminal:
        terminal.expect("here")
        terminal.type("\x03")
        terminal.expect(f"{laptop.name} goes on.")
        assert terminal.wait() == 130
        assert terminal.restored()
    assert laptop.docker("inspect", "--format", "{{.State.Status}}", laptop.name) == "running"


def test_a_deletion_is_told(laptop: Laptop) -> None:
    assert laptop.submit("-c", "echo here; sleep 60").returncode == 0
    argv = laptop.command("logs", "-f", laptop.name)
    with subprocess.Popen(
        argv, env=laptop.environ, cwd=laptop.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"here\n"
        laptop.docker("rm", "--force", laptop.name)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == 73
        assert f"{laptop.name} was deleted while it was followed." in stderr.decode()
