"""`mlo-idle`: ends a job when nobody has used its pod for long enough.

Used means: a processor, a GPU or the network was busy, or somebody typed in a terminal. The watcher runs beside the
job, as the user and in a session of its own; it tells of itself in /run/mlo/idle.json, which the boot makes for it.
"""

from __future__ import annotations

import glob
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from . import report, supervise

if TYPE_CHECKING:
    from collections.abc import Callable

WARN_AHEAD = 600.0  # seconds

# What a forgotten notebook and an editor's server do by themselves stays below.
CPU = 0.05  # processors
NETWORK = 10_000.0  # bytes a second
GPU = 5  # percent

PERIOD = 30.0  # seconds between looks, at most; a twentieth of the time otherwise


class Sample(NamedTuple):
    """The pod at a moment: seconds of processor time and bytes of network so far, GPU use in percent, the last key."""

    at: float
    cpu: float
    network: int
    gpu: int
    typed: float


def activity(before: Sample, after: Sample) -> str:
    """What was busy between two looks; empty for nothing."""
    seconds = max(after.at - before.at, 1e-3)
    if after.typed > before.typed:  # the kernel keeps it in steps of 8 s: no comparison with a clock
        return "a terminal"
    if (cpu := (after.cpu - before.cpu) / seconds) > CPU:
        return f"processors ({cpu:.2f} of one)"
    if after.gpu > GPU:
        return f"a GPU ({after.gpu} %)"
    if (rate := (after.network - before.network) / seconds) > NETWORK:
        return f"the network ({rate / 1000:.0f} kB/s)"
    return ""


def main(argv: list[str]) -> int:
    """Watch the process group argv[0], which has argv[1] seconds to end when it is told to. Returns the exit code."""
    group, grace = int(argv[0]), float(argv[1])
    limit = float(os.environ[report.IDLE_VARIABLE])
    look = _eye()
    before = look()
    used, busy, warned = before.at, "", False
    while supervise.is_alive(group):
        idle = time.time() - used
        _tell({"idle_seconds": round(idle, 1), "stop_after": limit, "why_busy": busy, "stopped": idle >= limit})
        if idle >= limit:
            report.log(f"not used for {_span(limit)}: the job ends now")
            _end(group, grace)
            return 0
        if idle >= limit - min(WARN_AHEAD, limit / 2) and not warned:
            warned = True
            _warn(
                f"not used for {_span(idle)}: the job ends in {_span(limit - idle)}, unless you type or run something"
            )
        time.sleep(min(PERIOD, limit / 20))
        after = look()
        if busy := activity(before, after):
            used, warned = after.at, False
        before = after
    return 0


def _eye() -> Callable[[], Sample]:
    import psutil

    gpus = _gpus()
    me = os.getpid()

    def look() -> Sample:
        times = [each.info["cpu_times"] for each in psutil.process_iter(["cpu_times"]) if each.pid != me]
        network = psutil.net_io_counters(pernic=True)
        return Sample(
            at=time.time(),
            cpu=sum(sum(each[:4]) for each in times if each),  # with the children that have ended
            network=sum(each.bytes_sent + each.bytes_recv for name, each in network.items() if name != "lo"),
            gpu=gpus(),
            # Read, not written: what a forgotten program prints is no use of the terminal.
            typed=max(map(_last_read, _terminals()), default=0.0),
        )

    return look


def _terminals() -> list[str]:
    return glob.glob("/dev/pts/[0-9]*")


def _last_read(path: str) -> float:
    try:
        return os.stat(path).st_atime
    except FileNotFoundError:  # closed since it was listed
        return 0.0


def _gpus() -> Callable[[], int]:
    """The busiest GPU that the driver's library (NVML) tells of, in percent; 0 without one."""
    import ctypes

    class Use(ctypes.Structure):
        _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))

    count = ctypes.c_uint()
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return lambda: 0
    except (OSError, AttributeError):
        return lambda: 0
    handles: list[ctypes.c_void_p] = []
    for number in range(count.value):
        handle = ctypes.c_void_p()
        if not nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(handle)):
            handles.append(handle)

    def busiest() -> int:
        found = [0]
        for handle in handles:
            use = Use()
            if not nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(use)):
                found.append(use.gpu)
        return max(found)

    return busiest


def _end(group: int, grace: float) -> None:
    """Stop the pod as its runtime would, by PID 1, which waits for the job's last process; KILL after the grace."""
    deadline = time.monotonic() + grace
    asked = subprocess.run(["/usr/bin/sudo", "-n", "kill", "-TERM", "1"], stderr=subprocess.DEVNULL, check=False)
    try:
        if asked.returncode:
            os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            if not supervise.is_alive(group):
                return
            time.sleep(0.1)
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _tell(state: dict[str, object]) -> None:
    """Written in place, in one piece: the directory is root's."""
    try:
        with open(report.IDLE_JSON, "r+b", buffering=0) as file:
            file.write(json.dumps(state).encode().ljust(256))
    except OSError:
        pass  # a boot that made no file; the job is watched all the same


def _warn(text: str) -> None:
    report.log(text)
    for path in _terminals():
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            os.write(fd, f"\r\n[mlo] {text}\a\r\n".encode())
        except OSError:
            pass
        finally:
            os.close(fd)


def _span(seconds: float) -> str:
    """A duration for people."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
