"""Questions to the Docker Engine, and what it means when it does not answer."""

from __future__ import annotations

from mlo_submit import process
from mlo_submit.errors import UnavailableError
from mlo_submit.machine import Machine

ANSWER = 15.0  # seconds that the engine may take to answer a question


def ask(machine: Machine, *words: str) -> process.Result:
    """Ask the engine.

    Raises:
        UnavailableError: it does not run, or does not answer.
    """
    result = process.run(machine, ["docker", *words], timeout=ANSWER)
    if result.code and down(result.stderr):
        raise UnavailableError(no_engine(result.stderr))
    return result


def down(stderr: str) -> bool:
    """Whether docker says that it did not reach its engine."""
    return any(
        sign in stderr for sign in ("Cannot connect to the Docker daemon", "error during connect", "docker.sock")
    )


def no_engine(stderr: str) -> str:
    """Why not, and what to do."""
    if "permission denied" in stderr:
        return (
            "Docker does not let you in: add yourself to its group (`sudo usermod -aG docker $USER`), and log in anew."
        )
    return "Docker is not running: start it (Docker Desktop, or `sudo systemctl start docker`), and try again."
