"""What a job prints: the logs of its pods, one after another where they replace each other, else side by side."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Final

import click

from mlo_submit import advice, table, tasks
from mlo_submit.backends import Jobs
from mlo_submit.errors import LoginError, RefusedError, UnavailableError
from mlo_submit.logreader import Reader, Screen
from mlo_submit.machine import Machine
from mlo_submit.workload import LogView, Pod, Tasks, Workload

LOOKS: Final = (0.3, 2.0)  # seconds between looks at a job while something is awaited: the first, the longest
STEADY: Final = 10.0  # seconds between looks while every pod runs and is followed
COLOURS: Final = ("cyan", "yellow", "green", "magenta", "blue", "red")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to show of a job's logs; `worker` is a rank, None for all; `index` is that of an array's task."""

    view: LogView = field(default_factory=LogView)
    timestamps: bool = False
    worker: int | None = None
    index: int | None = None


class Log:
    """The logs of a job. `connect` reaches the backend, again where a login has run out; `line` is `common.line`."""

    def __init__(
        self, machine: Machine, connect: Callable[[], Jobs], name: str, wanted: Wanted, line: Callable[..., str]
    ) -> None:
        self._machine = machine
        self._connect = connect
        self._jobs = connect()
        self._name = name
        self._wanted = wanted
        self._line = line
        self._screen = Screen()
        self._wake = threading.Event()
        self._readers: dict[int, Reader] = {}
        self._job: Workload | None = None
        self._pause = LOOKS[0]

    def show(self) -> Workload:
        """Print what the newest pods have printed so far. Returns the job.

        Raises:
            RefusedError: there is no such job or worker.
            UnavailableError: a log cannot be had.
        """
        job = self._jobs.find(self._name, self._wanted.index)
        if refusal := tasks.choose(job):
            raise refusal
        pods = self._chosen(job)
        if not pods and job.index is not None and (job.ended or job.state == "Stopped"):
            raise RefusedError(f"{told(job)}. Its pod is gone, and its log with it.")
        if not pods and self._wanted.worker is not None:
            raise self._no_worker(job)
        pods = [pod for pod in pods if has_log(pod) or self._wanted.view.previous]
        for pod in pods:
            reader = self._begin(job, pod)
            code = reader.read(self._jobs, job)
            self._check()  # before the code: a tool whose log nobody reads any more fails, too
            if code:
                raise _refusal(pod, reader.message)
            if self._wanted.view == LogView(previous=True) and not reader.brought:
                raise RefusedError(f"{pod.name} has no earlier run that printed anything: leave out --previous.")
        if not pods:
            index = [] if job.index is None else ["--index", str(job.index)]
            follow = self._line("logs", "-f", job.name, *index)
            self._screen.say(f"{job.title} has printed nothing yet. {told(job)}. Wait for it with `{follow}`.")
        return job

    def follow(self) -> Workload:
        """Print what the pods print until the job has ended. Returns the job as it ended.

        Of an array it says how far its tasks are, and which have failed: each has a log of its own.

        Raises:
            RefusedError: there is no such job or worker, or no longer; or its image cannot be pulled.
            UnavailableError: the backend cannot be reached at the beginning; later on, it is waited for.
            LoginError: the login has run out, and cannot be renewed; or logs are not for this user.
        """
        try:
            while True:
                self._wake.clear()
                job, trouble = self._look()
                if job:
                    self._tend(job)
                    if job.ended and self._complete(job):
                        return job
                self._tell(job, trouble)
                self._wake.wait(self._due(job))
                self._check()
        finally:
            for reader in self._readers.values():
                reader.close()
            self._screen.wait("", "")

    def _look(self) -> tuple[Workload | None, str]:
        """The job; else why it cannot be seen at the moment."""
        try:
            try:
                job = self._jobs.find(self._name, self._wanted.index)
            except LoginError:
                self._jobs = self._connect()
                job = self._jobs.find(self._name, self._wanted.index)
            if job.tasks:
                job = self._report(job, job.tasks)
        except UnavailableError as error:
            if not self._job:
                raise
            return None, error.format_message()
        except RefusedError:
            if not self._job:
                raise
            while any(reader.open for reader in self._readers.values()):  # its pods may still have their grace period
                self._wake.wait()
                self._wake.clear()
            raise RefusedError(f"{self._name} was deleted while it was followed.") from None
        if self._job != job and not job.tasks:
            self._pause = LOOKS[0]
        self._job = job
        return job, ""

    def _report(self, job: Workload, of: Tasks) -> Workload:
        """Say which tasks of an array have failed since the last look, and why.

        Returns the array, once it has failed with the exit code of the first of its tasks that did, by its index.
        """
        before = self._job.tasks.failed if self._job and self._job.tasks else ()
        new = set(of.failed) - set(before)
        if not new and not job.ended:
            return job
        pods = self._jobs.failures(job)
        for failure in tasks.failures(of, pods):
            if indices := [index for index in failure.indices if index in new]:
                log = self._line("logs", job.name, "--index", str(indices[0]))
                self._screen.say(f"{tasks.which(indices)} of {job.name} failed: {failure.reason}. See `{log}`.")
        return replace(job, exit_code=next((pod.exit_code for pod in pods if pod.exit_code), job.exit_code))

    def _tend(self, job: Workload) -> None:
        pods = self._chosen(job)
        named = {pod.name: pod for pod in pods}
        for reader in self._readers.values():
            reader.tend(self._jobs, job, named.get(reader.pod.name))
            if re.search("forbidden|unauthorized", reader.trouble, re.IGNORECASE):
                raise LoginError(f"the log of {reader.pod.name} is not for you to read: {reader.trouble}")
        for pod in pods:
            if pod.state == "Starting" and "cannot be pulled" in pod.reason:
                raise RefusedError(
                    f"{pod.reason}. Check its name and your access to the registry; "
                    f"then `{self._line('delete', job.name)}`, and submit again."
                )
            before = self._readers.get(pod.rank)
            if has_log(pod) and (not before or (before.complete and before.pod.name != pod.name)):
                if before:
                    self._screen.say(f"{_who(job, pod)} {_loss(before.pod)}; its next pod is {pod.name}.")
                self._begin(job, pod).tend(self._jobs, job, pod)

    def _begin(self, job: Workload, pod: Pod) -> Reader:
        first = pod.rank not in self._readers
        reader = Reader(
            self._machine,
            self._screen,
            pod,
            self._wanted.view if first else LogView(),
            timestamps=self._wanted.timestamps,
            wake=self._wake,
        )
        self._readers[pod.rank] = reader
        if len(self._chosen(job)) > 1:
            for rank, each in self._readers.items():
                each.label = self._label(rank)
        return reader

    def _label(self, rank: int) -> bytes:
        text = f"{self._name}-{rank} │ "
        colourful = sys.stdout.isatty() and not self._machine.environ.get("NO_COLOR")
        return (click.style(text, fg=COLOURS[rank % len(COLOURS)]) if colourful else text).encode()

    def _chosen(self, job: Workload) -> list[Pod]:
        return [pod for pod in job.pods if self._wanted.worker in (None, pod.rank)]

    def _complete(self, job: Workload) -> bool:
        if not self._readers and self._wanted.worker is not None:
            raise self._no_worker(job)
        shown = {reader.pod.name for reader in self._readers.values() if reader.complete}
        return len(shown) == len(self._readers) and all(pod.name in shown for pod in self._chosen(job) if has_log(pod))

    def _no_worker(self, job: Workload) -> RefusedError:
        there = ", ".join(str(pod.rank) for pod in job.pods) or "none"
        return RefusedError(f"{job.name} has no worker {self._wanted.worker}. Those that it has: {there}.")

    def _tell(self, job: Workload | None, trouble: str) -> None:
        """Say what is waited for, if anything is."""
        readers = self._readers.values()
        text, since = "", None
        if not job:
            if not any(reader.open for reader in readers):
                text = f"{trouble} Trying again."
        elif failing := next((reader for reader in readers if reader.trouble), None):
            text = f"The log of {failing.pod.name} cannot be had: {failing.trouble}. Trying again."
        elif not job.ended and (job.state not in ("Running", "Stopping") or not self._readers):
            text = f"{told(job)}."
            since = max((pod.created for pod in job.pods if pod.created), default=job.created)
        live = f"{text} ({table.span((datetime.now(timezone.utc) - since).total_seconds())})" if since else text
        if job and job.tasks and job.tasks.running:
            live = f"{live} {job.tasks.running} running"
        self._screen.wait(text, live)

    def _due(self, job: Workload | None) -> float:
        """How long to wait before the next look, unless a connection ends."""
        readers = self._readers.values()
        if job and readers and all(pod.state == "Running" for pod in job.pods) and all(each.open for each in readers):
            self._pause = LOOKS[0]
            return STEADY
        self._pause = min(1.5 * self._pause, LOOKS[1])
        return max(0, min([self._pause, *(reader.rest for reader in readers)])) if job else self._pause

    def _check(self) -> None:
        if self._screen.broken:
            raise self._screen.broken


def has_log(pod: Pod) -> bool:
    """Whether a pod has run, as far as one can tell."""
    return pod.state not in ("Pending", "Starting") or pod.restarts > 0


def told(job: Workload) -> str:
    """A job's state and why it is so; of an array, how far it is."""
    if job.tasks and job.state == "Running":
        return f"{job.title} is Running: {job.tasks.text}"
    return f"{job.title} is {job.state}: {advice.why(job)}"


def end(job: Workload, now: datetime) -> str:
    """How a job ended, in one line."""
    time = table.run_time(job, now)
    took = f" after {time}" if time else ""
    far = f" ({job.tasks.text})" if job.tasks else ""
    if job.state == "Succeeded":
        return f"{job.title} succeeded{took}{far}."
    return f"{job.title} failed{took}{far}" + (f": {job.reason}." if job.reason else ".")


def code(job: Workload) -> int:
    """The exit code of a job that has ended."""
    return 0 if job.state == "Succeeded" else job.exit_code or 1


def _who(job: Workload, pod: Pod) -> str:
    return f"worker {pod.rank} of {job.name}" if len(job.pods) > 1 else job.name


def _loss(pod: Pod) -> str:
    """What happened to a pod that another has replaced."""
    if pod.state == "Preempted":
        return "was preempted"
    if pod.state == "Failed":
        return f"failed ({pod.reason or pod.name})"
    return f"lost its pod {pod.name}"


def _refusal(pod: Pod, message: str) -> RefusedError | UnavailableError:
    if "previous terminated container" in message:
        return RefusedError(f"the log of {pod.name} before its last restart is gone. Leave out --previous.")
    return UnavailableError(f"the log of {pod.name} cannot be had: {message or 'no reason given'}")
