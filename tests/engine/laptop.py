"""What the tests on a real engine work with: a member's laptop, and a job that trains."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.terminal import Terminal

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

    @property
    def environ(self) -> dict[str, str]:
        environ = {"HOME": str(self.home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        return environ | {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}

    def command(self, *argv: str) -> list[str]:
        """`mlo-submit`, as an argv."""
        return [sys.executable, "-m", "mlo_submit", "--backend", "docker", *argv]

    def mlo(self, *argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run mlo-submit, through pipes."""
        command = self.command(*argv)
        return subprocess.run(command, env=self.environ, cwd=self.home, input=stdin, capture_output=True, timeout=60)

    def submit(self, *argv: str) -> subprocess.CompletedProcess[str]:
        command = self.command("run", "--name", self.name, *argv)
        return subprocess.run(command, env=self.environ, cwd=self.home, capture_output=True, text=True, timeout=60)

    def terminal(self, *argv: str, rows: int = 24, columns: int = 80) -> Terminal:
        """Run mlo-submit on a terminal."""
        env = {**self.environ, "TERM": "screen-256color"}
        return Terminal(self.command(*argv), env=env, cwd=self.home, rows=rows, columns=columns)

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
