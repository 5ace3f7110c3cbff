"""The containers of jobs on this machine."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from mlo_submit import labels, process, tasks
from mlo_submit.backends.docker import engine, secretfiles, stops, words
from mlo_submit.editor import DockerContainer
from mlo_submit.env import Config
from mlo_submit.errors import MloError, RefusedError
from mlo_submit.job import SECRETS_DIR
from mlo_submit.labels import MANAGED_BY, OURS, RANK
from mlo_submit.machine import Machine
from mlo_submit.queues import Queues
from mlo_submit.workload import Event, Leftover, LogCommand, LogView, Pod, Workload

RELAY = Path(__file__).with_name("relay.py")
FILES = "secret files"
ASKED = ("Stopping", "Stopped", "Succeeded", "Failed")
"""States of a container that need no request to end."""

# A grace period may be longer than anybody waits: these go on by themselves. Where the engine refuses, the job counts
# as one that was not asked to end. The secrets go while nobody else can have a job of that name.
STOP = 'stops=$1; shift 4; docker stop "$@" || rm -f -- "$stops"'
DELETE = (
    'stops=$1 secrets=$2 network=$3 verb=$4; shift 4; docker "$verb" "$@" && rm -rf -- "$secrets" && '
    '{ [ -z "$network" ] || docker network rm "$network"; docker rm "$@"; }; rm -f -- "$stops"'
)

# Docker's own Ctrl-P Ctrl-Q, by which a terminal leaves a container, would hold back each Ctrl-P of a shell's history.
DETACH_KEYS = "ctrl-^,ctrl-@"


def connect(config: Config, machine: Machine) -> Jobs:
    """Reach the engine of this machine."""
    return Jobs(config=config, machine=machine)


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """See `mlo_submit.backends.Jobs`. Where a job is seen to have ended, its secrets go."""

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
        ids = engine.ask(self.machine, "ps", "--all", "--quiet", "--no-trunc", *filters).stdout.split()
        of: dict[str, list[engine.Container]] = {}
        for container in engine.containers(self.machine, *ids):
            of.setdefault(words.name(container), []).append(container)
        found = map(self._workload, of.values())
        return sorted(found, key=lambda job: (job.created, job.name), reverse=True)

    def find(self, name: str, index: int | None = None) -> Workload:
        """The container of that name, or those of its ranks, if mlo-submit started them. There are no arrays."""
        job = self._find(name)
        tasks.check(job, index)
        return job

    def failures(self, job: Workload) -> list[Pod]:
        """None: there are no arrays."""
        return []

    def _find(self, name: str) -> Workload:
        found = engine.named(self.machine, name)
        marks = found["Config"]["Labels"] if found else {}
        if found and marks.get(MANAGED_BY) == OURS and RANK not in marks:
            return self._workload([found])
        if (not found or RANK in marks) and (mates := engine.mates(self.machine, name)):
            return self._workload(mates)
        raise RefusedError(f"there is no job {name} on this machine: `mlo-submit list` shows yours.")

    def _workload(self, containers: Sequence[engine.Container]) -> Workload:
        job = words.workload(containers, stops.read(self.machine, words.name(containers[0])))
        if job.ended or job.state == "Stopped":
            secretfiles.remove(self.machine, job.name)
        return job

    def events(self, job: Workload) -> list[Event]:
        """What the engine remembers of the containers, and what their states tell."""
        if len(job.pods) > 1:
            alone = [(pod, replace(job, **words.alone(pod))) for pod in job.pods]
            several = [
                replace(event, text=f"{pod.name}: {event.text}") for pod, one in alone for event in self.events(one)
            ]
            return sorted(several, key=lambda event: event.at)
        until = datetime.now(timezone.utc).isoformat()
        question = (
            "events",
            "--since",
            job.created.isoformat(),
            "--until",
            until,
            "--filter",
            f"container={job.pods[0].name}",
        )
        lines = engine.ask(self.machine, *question, "--format", "{{json .}}").stdout.splitlines()
        told = map(json.loads, lines)
        # The engine takes the beginning of a name for it.
        return words.events(job, (each for each in told if each["Actor"]["Attributes"]["name"] == job.pods[0].name))

    def log(self, job: Workload, pod: Pod, view: LogView) -> LogCommand:
        """`docker logs`, which has all runs in one: the previous ones end where the last began.

        Its own --tail counts from the end of them all: whoever reads the previous ones takes their last lines.
        """
        argv = ["docker", "logs", "--timestamps"]
        argv += ["--follow"] if view.follow else []
        argv += ["--since", view.since.isoformat()] if view.since else []
        argv += ["--until", pod.started.isoformat()] if view.previous and pod.started else []
        argv += ["--tail", str(view.tail)] if view.tail is not None and not view.previous else []
        return LogCommand(argv=(*argv, pod.name), stamped=True, tail=view.tail if view.previous else None)

    def execute(self, job: Workload, pod: Pod, argv: Sequence[str], *, tty: bool) -> list[str]:
        """`docker exec`."""
        terminal = ["--tty", "--detach-keys", DETACH_KEYS] if tty else []
        return ["docker", "exec", "--interactive", *terminal, pod.name, *argv]

    def forward(self, job: Workload, pod: Pod, local: int, remote: int) -> list[str]:
        """Our own relay: only Linux reaches the address of a container, and nobody what listens on its localhost."""
        return [sys.executable, "-I", str(RELAY), pod.name, str(local), str(remote)]

    def address(self, job: Workload, pod: Pod) -> DockerContainer:
        """The container's name."""
        return DockerContainer(name=pod.name)

    def delete(self, job: Workload, *, now: bool) -> None:
        """Remove the containers with their secrets, once they have stopped: a process of its own waits for that."""
        if now or job.ended or job.state == "Stopped":
            for pod in job.pods:
                self._do("delete", pod.name, "rm", "--force")
            if len(job.pods) > 1:
                engine.remove_networks(self.machine, job.name)
            secretfiles.remove(self.machine, job.name)
            stops.remove(self.machine, job.name)
        else:
            self._end(job, DELETE, "wait" if all(pod.state in ASKED for pod in job.pods) else "stop")

    def stop(self, job: Workload) -> None:
        """`docker stop`, in a process of its own. A job that was asked to end already is not asked again."""
        if job.state != "Stopping":
            self._end(job, STOP)

    def _end(self, job: Workload, script: str, verb: str = "") -> None:
        (network,) = (engine.networks(self.machine, job.name) if len(job.pods) > 1 else []) or [""]
        containers = [pod.name for pod in job.pods]
        files = [str(stops.path(self.machine, job.name)), str(secretfiles.path(self.machine, job.name))]
        stops.write(self.machine, job)
        process.detach(self.machine, ["/bin/sh", "-c", script, "mlo-submit", *files, network, verb, *containers])

    def resume(self, job: Workload) -> None:
        """`docker start`, with the secrets of today's .env."""
        if job.state != "Stopped":
            raise RefusedError(f"{job.name} is {job.state}: only a stopped job can go on.")
        directory = self._secrets_of(job)
        with secretfiles.locked(directory):
            secretfiles.write(directory, {key: self.config.values[key] for key in self.config.secret_keys})
            try:
                for pod in job.pods:
                    self._do("start", pod.name, "start")
            except MloError:
                if directory:
                    shutil.rmtree(directory)
                raise
        stops.remove(self.machine, job.name)

    def _secrets_of(self, job: Workload) -> Path | None:
        """Where the container looks for its secrets; None where it does not."""
        container = engine.named(self.machine, job.name) or {}
        mounts = container.get("HostConfig", {}).get("Mounts") or []
        source = next((mount["Source"] for mount in mounts if mount["Target"] == SECRETS_DIR), None)
        directory = secretfiles.path(self.machine, job.name)
        if source is None:
            return None
        if source != str(directory):
            raise RefusedError(
                f"{job.name} has its secrets from {source}, and yours lie in {directory.parent}: resume it as the "
                "user, and with the XDG_STATE_HOME, that it was submitted with."
            )
        return directory

    def _do(self, what: str, name: str, *verb: str) -> None:
        """Change a container, however long that takes. One that is gone, or going, needs no deletion."""
        answer = engine.ask(self.machine, *verb, name, timeout=None)
        gone = what == "delete" and re.search("no such container|already in progress", answer.stderr, re.IGNORECASE)
        if answer.code and not gone:
            raise RefusedError(f"Docker does not {what} {name}: {engine.reason(answer.stderr)}")

    def queues(self) -> Queues:
        """There is none."""
        return Queues(note="Docker has no queue: a job starts at once.")

    def leftovers(self, gone: Sequence[str]) -> list[Leftover]:
        """The files of secrets whose jobs have ended or are gone."""
        return [Leftover(kind=FILES, name=name) for name in secretfiles.unused(self.machine, gone)]

    def remove(self, leftover: Leftover) -> None:
        """Remove a job's files of secrets."""
        secretfiles.remove(self.machine, leftover.name)
