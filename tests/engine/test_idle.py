"""`run --stop-when-idle` on a real engine: what ends a pod, and what keeps it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.engine.laptop import CHECKPOINT, Laptop

LIMIT = 4.0  # seconds
IDLE = ("--stop-when-idle", "4s")
NVML = """
#include <stdio.h>
typedef struct { unsigned gpu, memory; } use;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = (void *)1; return index; }
int nvmlDeviceGetUtilizationRates(void *handle, use *found) {
    FILE *file = fopen("/nvml/use", "r");
    found->gpu = found->memory = 0;
    if (file) { fscanf(file, "%u", &found->gpu); fclose(file); }
    return handle != (void *)1;
}
"""


def state(laptop: Laptop) -> str:
    return laptop.docker("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", laptop.name)


def wait(condition: Callable[[], bool], seconds: float = 30) -> float:
    """Wait for a condition; returns how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "timed out"
        time.sleep(0.1)
    return time.monotonic() - began


def test_a_pod_that_nobody_uses_ends_well(laptop: Laptop) -> None:
    began = time.monotonic()
    done = laptop.submit(*IDLE, "--follow")
    assert LIMIT < time.monotonic() - began < 3 * LIMIT
    assert done.returncode == 0
    assert "the job ends in 2 s, unless you type or run something" in done.stderr
    assert "the job was stopped: its pod was not used" in done.stderr


def test_the_last_process_of_the_job_may_end_in_order(laptop: Laptop) -> None:
    """A shell that does not wait for its child is no reason to cut the child's checkpoint short."""
    script = f"python3 -c '{CHECKPOINT}'; echo more"
    assert laptop.submit(*IDLE, "--follow", "--", "bash", "-c", script).returncode == 0
    assert (laptop.scratch / "homes/jdoe/checkpoint").read_text() == "trained"


def test_typing_in_a_terminal_keeps_the_pod(laptop: Laptop) -> None:
    """And the terminal is told before the end."""
    laptop.submit("--stop-when-idle", "10s")  # the kernel tells of keys in steps of 8 s
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(["docker", "exec", "-it", laptop.name, "cat"], stdin=theirs, stdout=theirs, stderr=theirs)  # noqa: S607
    os.close(theirs)
    end = time.monotonic() + 15
    while time.monotonic() < end:
        os.write(ours, b"x\n")
        assert state(laptop) == "running 0"
        time.sleep(0.5)
    seen = b""
    while b"the job ends in 5 s" not in seen:
        seen += os.read(ours, 4096)
    wait(lambda: state(laptop) == "exited 0")
    shell.wait(10)
    os.close(ours)


def test_work_keeps_the_pod(laptop: Laptop) -> None:
    spin = "import time; end = time.time() + 8; [0 for _ in iter(lambda: time.time() < end, False)]"
    laptop.submit(*IDLE, "-c", f"python3 -c '{spin}'; sleep 60")
    told = json.loads("{}")
    while not told.get("why_busy"):
        told = json.loads(laptop.docker("exec", laptop.name, "sh", "-c", "cat /run/mlo/idle.json || echo '{}'"))
    assert told["why_busy"].startswith("processors (")
    assert (told["stop_after"], told["stopped"]) == (LIMIT, False)
    assert wait(lambda: state(laptop) == "exited 0") > LIMIT
    assert laptop.docker("logs", laptop.name) == ""


def test_a_busy_gpu_keeps_the_pod(laptop: Laptop, tmp_path: Path) -> None:
    """As the driver's library tells it; this one reads a file."""
    (tmp_path / "nvml.c").write_text(NVML)
    (tmp_path / "use").write_text("80")
    image = os.environ["MLO_IMAGE"]
    compiler = ("--entrypoint", "gcc", image, "-shared", "-o", "/nvml/libnvidia-ml.so.1", "/nvml/nvml.c")
    laptop.docker("run", "--rm", "--volume", f"{tmp_path}:/nvml", *compiler)
    (tmp_path / "libnvidia-ml.so.1").chmod(0o755)
    tmp_path.chmod(0o755)
    laptop.submit(*IDLE, "--mount", f"{tmp_path}:/nvml:ro", "--env", "LD_LIBRARY_PATH=/nvml")
    time.sleep(1.5 * LIMIT)
    assert state(laptop) == "running 0"
    (tmp_path / "use").write_text("0")
    wait(lambda: state(laptop) == "exited 0")
