"""The containers of jobs on this machine."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from mlo_submit import labels, process
from mlo_submit.backends.docker import secretfiles
from mlo_submit.backends.docker.engine import ask
from mlo_submit.editor import DockerContainer
from mlo_submit.env import Config
from mlo_submit.errors import RefusedError
from mlo_submit.machine import Machine
from mlo_submit.workload import Event, Leftover, LogCommand, LogView, Pod, State, Workload, parse_time

# The secrets go while nobody else can have a job of that name.
REMOVAL = 'docker stop "$1" && rm -rf -- "$2" && docker rm "$1"'


def connect(config: Config, machine: Machine) -> Jobs:
    """Reach the engine of this machine."""
    return Jobs(config=config, machine=machine)


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """See `mlo_submit.backends.Jobs`."""

    config: Config
    machine: Machine

    @property
    def user(self) -> str:
        """The label of my jobs."""
        return labels.user(self.config.username)

    def all(self, *, everybody: bool = False) -> list[Workload]:
        """The containers that mlo-submit started: two questions to the engine."""
        selectors = labels.mine(None if everybody else self.user).split(",")
        filters = [word for selector in selectors for word in ("--filter", f"label={selector}")]
        names = ask(self.machine, "ps", "--all", "--no-trunc", *filters, "--format", "{{.ID}}").stdout.split()
        found = self._inspect(*names) if names else []
        return sorted(map(workload, found), key=lambda job: (job.created, job.name), reverse=True)

    def find(self, name: str) -> Workload:
        """The container of that name, if mlo-submit started it."""
        for found in self._inspect(name):
            if found["Config"]["Labels"].get(labels.MANAGED_BY) == labels.OURS:
                return workload(found)
        raise RefusedError(f"there is no job {name} on this machine: `mlo-submit list` shows yours.")

    def _inspect(self, *names: str) -> list[dict[str, Any]]:
        answer = ask(self.machine, "container", "inspect", *names)  # prints those that it finds, also when one is gone
        found: list[dict[str, Any]] = json.loads(answer.stdout or "[]")
        return found

    def events(self, job: Workload) -> list[Event]:
        """What the container's state tells; the engine forgets its events."""
        happened = [(job.created, "created"), (job.started, "started"), (job.finished, "ended")]
        return [Event(at=at, text=text) for at, text in happened if at]

    def log(self, job: Workload, pod: Pod, view: LogView) -> LogCommand:
        """`docker logs`."""
        argv = ["docker", "logs", "--timestamps"]
        argv += ["--follow"] if view.follow else []
        argv += ["--since", view.since.isoformat()] if view.since else []
        argv += ["--tail", str(view.tail)] if view.tail is not None else []
        return LogCommand(argv=(*argv, pod.name), stamped=True)

    def execute(self, job: Workload, pod: Pod, argv: Sequence[str], *, tty: bool) -> list[str]:
        """`docker exec`."""
        return ["docker", "exec", "--interactive", *(["--tty"] if tty else []), pod.name, *argv]

    def forward(self, job: Workload, pod: Pod, local: int, remote: int) -> list[str]:
        """Our own relay, through `docker exec`: a container's address is nobody's but on Linux."""
        return [sys.executable, "-m", "mlo_submit.backends.docker.relay", pod.name, str(local), str(remote)]

    def address(self, job: Workload, pod: Pod) -> DockerContainer:
        """The container's name."""
        return DockerContainer(name=pod.name)

    def delete(self, job: Workload, *, now: bool) -> None:
        """Remove the container with its secrets, once it has stopped: a process of its own waits for that."""
        if now or job.ended:
            ask(self.machine, "rm", "--force", job.name)
            secretfiles.sweep(self.machine)
        else:
            secrets = secretfiles.all_of(self.machine) / job.name
            process.detach(self.machine, ["/bin/sh", "-c", REMOVAL, "mlo-removal", job.name, str(secrets)])

    def stop(self, job: Workload) -> None:
        """`docker stop`, which takes as long as the job's grace period."""
        ask(self.machine, "stop", job.name)

    def resume(self, job: Workload) -> None:
        """`docker start`."""
        ask(self.machine, "start", job.name)

    def leftovers(self, gone: Sequence[str]) -> list[Leftover]:
        """Nothing yet."""
        return []

    def remove(self, leftover: Leftover) -> None:
        """Nothing yet."""


def workload(container: Mapping[str, Any]) -> Workload:
    """A job as `docker inspect` describes its container. Pure."""
    state, config = container["State"], container["Config"]
    kind, reason = _state(state)
    ended = kind in ("Succeeded", "Failed")
    of = config["Labels"]
    created = parse_time(container["Created"]) or datetime.now(timezone.utc)
    pod = Pod(
        name=container["Name"].removeprefix("/"),
        state=kind,
        reason=reason,
        restarts=container.get("RestartCount", 0),
        exit_code=state["ExitCode"] if ended else None,
        created=created,
        started=parse_time(state["StartedAt"]),
        finished=parse_time(state["FinishedAt"]) if ended else None,
    )
    return Workload(
        name=pod.name,
        backend="docker",
        user=of.get(labels.USER, ""),
        kind="training" if of.get(labels.COMPONENT) == "training" else "interactive",
        state=kind,
        reason=reason,
        image=config["Image"],
        gpus=sum(request["Count"] for request in container["HostConfig"].get("DeviceRequests") or []),
        created=created,
        started=pod.started,
        finished=pod.finished,
        restarts=pod.restarts,
        exit_code=pod.exit_code,
        pods=(pod,),
        submission=of.get(labels.SUBMISSION, ""),
    )


def _state(state: Mapping[str, Any]) -> tuple[State, str]:
    if state["Status"] in ("running", "restarting", "paused"):
        return "Running", ""
    if state["Status"] == "created":
        return "Starting", ""
    code = state["ExitCode"]
    if not code:
        return "Succeeded", ""
    if state.get("OOMKilled"):
        return "Failed", "OOM killed"
    return "Failed", f"ended by signal {signal.Signals(code - 128).value}" if code > 128 else f"exit code {code}"
