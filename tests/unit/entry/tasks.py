"""Runs `mlo-task` as a process of its own, as a pod does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = (sys.executable, "-c", "import sys; from mlo_entry.task import start; sys.exit(start(sys.argv[1:]))")


def start_task(*command: str, **environ: str) -> subprocess.Popen[str]:
    """Start a command as a task, in a process group of its own, as PID 1 does."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ}
    return subprocess.Popen(
        [*PROGRAM, *command],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_task(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The same to its end."""
    with start_task(*command, **environ) as process:
        out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
