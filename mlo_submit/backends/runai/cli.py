"""The installed `runai`: its version, its answers, and its refusals as sentences."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal, TypeVar

from mlo_submit import process
from mlo_submit.errors import LoginError, MloError, RefusedError, UnavailableError
from mlo_submit.job import Job
from mlo_submit.machine import Machine

ANSWER = 60.0  # seconds that run:ai may take to answer
ENDED = {"succeeded": 0, "completed": 0, "failed": 1, "error": 1, "stopped": 1}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cli:
    """The installed command line: its version, and the flags that `submit --help` of version 2 lists."""

    version: Literal["v1", "v2"]
    flags: frozenset[str] = frozenset()


V1 = Cli(version="v1")


def probe(machine: Machine, job: Job) -> Cli:
    """Tell the versions apart: version 2 knows workspaces. What its releases name differently is read from its help."""
    if job.config.runai_version == "v1" or (
        not job.config.runai_version and process.run(machine, ["runai", "workspace", "--help"], timeout=ANSWER).code
    ):
        return V1
    text = process.run(machine, ["runai", *group(job), "submit", "--help"], timeout=ANSWER).stdout
    return Cli(version="v2", flags=frozenset(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)))


def group(job: Job) -> list[str]:
    """The commands of version 2 for workloads of this kind."""
    if job.workers:
        return ["training", "pytorch"]
    return ["training"] if job.training else ["workspace"]


def refusal(job: Job, result: process.Result) -> MloError:
    """What went wrong, as an error to raise."""
    said = result.stderr.strip() or result.stdout.strip() or f"exit code {result.code}, and no word why"
    said = said.removeprefix("Error: ")
    low = said.lower()
    if "already exist" in low:
        return RefusedError(
            f"there is a job {job.name} already: choose another --name, or --replace it once it has finished. "
            f"(run:ai: {said})"
        )
    if re.search(r"\b(log ?in|logged in|unauthorized|token)\b", low):
        return LoginError(f"you are not logged in to run:ai. Log in with `runai login`. (run:ai: {said})")
    if any(sign in low for sign in ("forbidden", "not allowed", "permission")):
        return LoginError(
            f"run:ai does not allow it: {said}. Is the project {job.config.project} yours (RUNAI_PROJECT)?"
        )
    if any(sign in low for sign in ("connection refused", "no such host", "timeout", "timed out")):
        return UnavailableError(f"run:ai cannot be reached: {said}. Are you on the VPN?")
    return RefusedError(f"run:ai does not take the job: {said}")


def command(job: Job, cli: Cli, verb: str) -> list[str]:
    """`runai VERB … NAME` in the version's own way."""
    project = ["--project", job.config.project]
    if cli.version == "v2":
        return ["runai", *group(job), verb, job.name, *project]
    return ["runai", verb, *(["job"] if verb in ("describe", "delete") else []), job.name, *project]


def describe(job: Job, cli: Cli, machine: Machine) -> object | None:
    """What run:ai knows of the job; None when there is no such job."""
    result = process.run(machine, [*command(job, cli, "describe"), "-o", "json"], timeout=ANSWER)
    if result.code:
        if re.search("not found|not exist", result.stderr + result.stdout, re.IGNORECASE):
            return None
        raise refusal(job, result)
    try:
        found: object = json.loads(result.stdout)
    except ValueError:
        return {}
    return found


def find(answer: object, keys: set[str], kind: type[T]) -> T | None:
    """The first value of that type under one of these keys. Releases of run:ai nest them differently."""
    if isinstance(answer, list):
        return next(filter(None, (find(item, keys, kind) for item in answer)), None)
    if not isinstance(answer, dict):
        return None
    for key, value in answer.items():
        if key.lower() in keys and isinstance(value, kind):
            return value
    return find(list(answer.values()), keys, kind)


def state_of(found: object) -> str:
    """The state of a job in run:ai's words."""
    return find(found, {"status", "phase"}, str) or "in an unknown state"
