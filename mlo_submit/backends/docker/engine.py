"""Questions to the Docker Engine, and what it means when it does not answer."""

from __future__ import annotations

import json
from typing import Any

from mlo_submit import process
from mlo_submit.errors import UnavailableError
from mlo_submit.labels import INSTANCE, MANAGED_BY, OURS, RANK
from mlo_submit.machine import Machine

Container = dict[str, Any]
"""What `docker inspect` tells of one."""

ANSWER = 15.0  # seconds that the engine may take to answer a question
REFUSAL = "Error response from daemon: "


def ask(machine: Machine, *words: str, timeout: float | None = ANSWER) -> process.Result:
    """Ask the engine. `timeout` is in seconds; None where it has to do as much as it takes.

    Raises:
        UnavailableError: it does not run, or does not answer.
    """
    result = process.run(machine, ["docker", *words], timeout=timeout)
    if result.code and down(result.stderr):
        raise UnavailableError(no_engine(result.stderr))
    return result


def containers(machine: Machine, *ids: str) -> list[Container]:
    """What the engine tells of those of these containers that there are.

    Raises:
        UnavailableError: it tells nothing.
    """
    if not ids:
        return []
    answer = ask(machine, "container", "inspect", *ids)  # prints those that it finds, also when one is gone
    if answer.code and "no such container" not in answer.stderr.lower():
        raise UnavailableError(f"Docker does not tell of its containers: {reason(answer.stderr)}")
    found: list[Container] = json.loads(answer.stdout or "[]")
    return found


def named(machine: Machine, name: str) -> Container | None:
    """The container of that name; not one whose id starts so, which the engine takes for it."""
    return next((found for found in containers(machine, name) if found["Name"] == f"/{name}"), None)


def mates(machine: Machine, name: str) -> list[Container]:
    """The containers of a multi-node job."""
    answer = ask(machine, "ps", "--all", "--quiet", "--no-trunc", *_of(name), "--filter", f"label={RANK}")
    return containers(machine, *answer.stdout.split())


def networks(machine: Machine, name: str) -> list[str]:
    """The ids of the networks that multi-node jobs of that name made, which is one or none."""
    return ask(machine, "network", "ls", "--quiet", "--no-trunc", *_of(name)).stdout.split()


def remove_networks(machine: Machine, name: str) -> None:
    """Remove them, once no container is on them."""
    if found := networks(machine, name):
        ask(machine, "network", "rm", *found)


def _of(name: str) -> list[str]:
    return ["--filter", f"label={MANAGED_BY}={OURS}", "--filter", f"label={INSTANCE}={name}"]


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


def reason(stderr: str) -> str:
    """Why docker refused: the engine's own line, or else the last one that does not point to --help."""
    lines = [line for line in stderr.strip().splitlines() if line and "--help" not in line]
    told = [line for line in lines if REFUSAL in line] or lines or ["no reason given"]
    return told[-1].rpartition(REFUSAL)[2].removeprefix("docker: ")
