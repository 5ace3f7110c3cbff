"""The installed `runai`: its version, its answers, and its refusals as sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from mlo_submit import process
from mlo_submit.env import Config
from mlo_submit.errors import LoginError, MloError, RefusedError, UnavailableError
from mlo_submit.job import Job
from mlo_submit.machine import Machine

ANSWER = 60.0  # seconds that run:ai may take to answer

Version = Literal["v1", "v2"]

Group = tuple[str, ...]
"""The commands of version 2 for one kind of workload, which comes before their verb."""

WORKSPACE: Group = ("workspace",)
TRAINING: Group = ("training",)
DISTRIBUTED: Group = ("training", "pytorch")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cli:
    """The installed command line: its version, and the flags that `submit --help` of version 2 lists."""

    version: Version
    flags: frozenset[str] = frozenset()


V1 = Cli(version="v1")


def version(machine: Machine, config: Config) -> Version:
    """Tell the versions apart, unless .env does: version 2 knows workspaces."""
    if config.runai_version:
        return "v1" if config.runai_version == "v1" else "v2"
    return "v1" if process.run(machine, ["runai", "workspace", "--help"], timeout=ANSWER).code else "v2"


def probe(machine: Machine, job: Job) -> Cli:
    """What a submission must know. What the releases of version 2 name differently is read from its help."""
    if version(machine, job.config) == "v1":
        return V1
    text = process.run(machine, ["runai", *group(job), "submit", "--help"], timeout=ANSWER).stdout
    return Cli(version="v2", flags=frozenset(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)))


def group(job: Job) -> Group:
    """The commands of version 2 for workloads of this kind."""
    if job.workers:
        return DISTRIBUTED
    return TRAINING if job.training else WORKSPACE


def command(installed: Version, verb: str, name: str, project: str, group: Group) -> list[str]:
    """`runai VERB … NAME` in the version's own way."""
    if installed == "v1":
        return ["runai", verb, *(["job"] if verb in ("describe", "delete") else []), name, "--project", project]
    if verb == "delete":
        return ["runai", "workload", "delete", name, "--project", project, "-y"]
    return ["runai", *group, verb, name, "--project", project]


def ask(machine: Machine, argv: Sequence[str], config: Config) -> str:
    """What `runai` prints.

    Raises:
        MloError: it refuses.
    """
    result = process.run(machine, argv, timeout=ANSWER)
    if result.code:
        raise refusal(result, config)
    return result.stdout


def describe(machine: Machine, installed: Version, name: str, config: Config, group: Group) -> object | None:
    """What run:ai knows of a job; None when there is no such job."""
    argv = [*command(installed, "describe", name, config.project, group), "-o", "json"]
    result = process.run(machine, argv, timeout=ANSWER)
    if result.code:
        if missing(result):
            return None
        raise refusal(result, config)
    try:
        found: object = json.loads(result.stdout)
    except ValueError:
        return {}
    return found


def missing(result: process.Result) -> bool:
    """Whether run:ai says that there is no such job."""
    return bool(result.code and re.search("not found|not exist", result.stderr + result.stdout, re.IGNORECASE))


def refusal(result: process.Result, config: Config) -> MloError:
    """What went wrong, as an error to raise."""
    said = result.stderr.strip() or result.stdout.strip() or f"exit code {result.code}, and no word why"
    said = said.removeprefix("Error: ")
    low = said.lower()
    if re.search(r"\b(log ?in|logged in|unauthorized|token)\b", low):
        return LoginError(f"you are not logged in to run:ai. Log in with `runai login`. (run:ai: {said})")
    if any(sign in low for sign in ("forbidden", "not allowed", "permission")):
        return LoginError(f"run:ai does not allow it: {said}. Is the project {config.project} yours (RUNAI_PROJECT)?")
    if any(sign in low for sign in ("connection refused", "no such host", "timeout", "timed out")):
        return UnavailableError(f"run:ai cannot be reached: {said}. Are you on the VPN?")
    return RefusedError(f"run:ai refuses: {said}")


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
