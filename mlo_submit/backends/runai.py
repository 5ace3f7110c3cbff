"""run:ai, through its command line in version 1 or 2."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from mlo_submit import kube, process, shell
from mlo_submit.backends import kubernetes
from mlo_submit.errors import LoginError, MloError, RefusedError, UnavailableError, note, warn
from mlo_submit.job import Job, Mount, container_environ
from mlo_submit.machine import Machine
from mlo_submit.secret import MANAGED_BY, OURS, Secret

REQUIRED: frozenset[str] = kubernetes.REQUIRED

ANSWER = 60.0  # seconds that run:ai may take to answer
DELETION = 120.0  # seconds that a finished job may take to go
SETTLING = 10  # seconds that a job's state may lag behind its log
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
    text = process.run(machine, ["runai", *_group(job), "submit", "--help"], timeout=ANSWER).stdout
    return Cli(version="v2", flags=frozenset(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)))


def _group(job: Job) -> list[str]:
    if job.workers:
        return ["training", "pytorch"]
    return ["training"] if job.training else ["workspace"]


def render(job: Job, cli: Cli) -> list[str]:
    """The `runai submit` of a job."""
    return _v1(job) if cli.version == "v1" else _v2(job, cli)


def _v1(job: Job) -> list[str]:
    config = job.config
    argv = ["runai", "submit-dist", "pytorch"] if job.workers else ["runai", "submit"]
    argv += ["--name", job.name, "--project", config.project, "--image", job.image, "--gpu", str(job.gpus)]
    argv += ["--run-as-uid", str(job.uid), "--run-as-gid", str(job.gid)]
    for mount in _claims(job):
        argv += ["--pvc", f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")]
    argv += ["--image-pull-policy", "Always", "--allow-privilege-escalation", "true"]
    argv += ["--label", f"{MANAGED_BY}={OURS}"]
    if job.cpus:
        argv += ["--cpu", job.cpus]
    if job.memory:
        argv += ["--memory", job.memory]
    if job.training:
        argv += ["--backoff-limit", str(job.retries)]
    else:
        argv += ["--interactive"]
    if job.port:
        argv += ["--port", str(job.port)]
    if job.host_ipc:
        argv += ["--host-ipc"]
    if job.large_shm or job.shm_size:
        argv += ["--large-shm"]
    if job.node_types:
        argv += ["--node-pools", ",".join(job.node_types)]
    if job.preemptible:
        argv += ["--preemptible"]
    argv += _workers(job)
    for key, value in container_environ(job).items():
        argv += ["--environment", f"{key}={kubernetes.literal(value)}"]
    for key in _secret_keys(job):
        argv += ["--environment", f"{key}=SECRET:{job.secret_name},{key}"]
    return [*argv, "--", *shell.one_word(job.argv(time_limit=True))]


def _v2(job: Job, cli: Cli) -> list[str]:
    config = job.config
    argv = ["runai", *_group(job), "submit", job.name, "--project", config.project, "--image", job.image]
    argv += ["--gpu-devices-request", str(job.gpus), "--run-as-uid", str(job.uid), "--run-as-gid", str(job.gid)]
    for mount in _claims(job):
        argv += ["--existing-pvc", f"claimname={mount.source},path={mount.target}"]
    argv += ["--image-pull-policy", "Always", "--allow-privilege-escalation", "--label", f"{MANAGED_BY}={OURS}"]
    if job.cpus:
        argv += ["--cpu-core-request", job.cpus]
    if job.memory:
        argv += ["--cpu-memory-request", job.memory]
    if job.training and not job.workers:
        argv += ["--backoff-limit", str(job.retries)]
    if job.given_grace is not None:
        argv += ["--termination-grace-period", f"{job.given_grace}s"]
    if job.port:
        argv += ["--external-url", f"container={job.port}"]
    if job.host_ipc:
        argv += ["--host-ipc"]
    if job.large_shm or job.shm_size:
        argv += ["--large-shm"]
    for pool in job.node_types:
        argv += ["--node-pools", pool]
    if job.preemptible:
        argv += ["--preemptibility", "preemptible"] if "--preemptibility" in cli.flags else ["--preemptible"]
    argv += _workers(job)
    for key, value in container_environ(job).items():
        argv += ["-e", f"{key}={kubernetes.literal(value)}"]
    for key in _secret_keys(job):
        if "--env-secret" in cli.flags:
            argv += ["--env-secret", f"{key}={job.secret_name},key={key}"]
        else:
            argv += ["-e", f"{key}=SECRET:{job.secret_name},{key}"]
    return [*argv, "--", *shell.one_word(job.argv(time_limit=True))]


def _workers(job: Job) -> list[str]:
    if not job.workers:
        return []
    argv = ["--workers", str(job.workers)]
    for key, value in job.config.worker_annotations:
        argv += ["--annotation", f"{key}={value}"]
    for key, count in job.config.worker_resources:
        argv += ["--extended-resource", f"{key}={count}"]
    return argv


def _claims(job: Job) -> list[Mount]:
    return [Mount(source=job.pvc, target=job.config.mount_path), *job.mounts]


def _secret_keys(job: Job) -> Sequence[str]:
    return [key for key in job.config.secret_keys if key not in job.env]


def preview(job: Job, machine: Machine) -> str:
    """The `runai submit` as a shell line."""
    if not machine.which("runai"):
        version: Literal["v1", "v2"] = "v2" if job.config.runai_version == "v2" else "v1"
        note(f"runai is not on PATH: this is what its version {version[1]} would get (MLO_RUNAI_VERSION says which).")
        cli = Cli(version=version)
    else:
        cli = probe(machine, job)
    _check(job, cli)
    return shell.join(render(job, cli)) + "\n"


def _check(job: Job, cli: Cli) -> None:
    if job.secret_files:
        raise RefusedError("run:ai hands secrets to a pod as variables: leave --secrets files out.")
    if cli.version == "v2" and any(mount.read_only for mount in job.mounts):
        raise RefusedError(
            "version 2 of run:ai's command line mounts a PVC to be written only: leave ':ro' out of --mount."
        )
    if cli.version == "v1" and job.given_grace is not None:
        warn(
            "version 1 of run:ai's command line has no grace period: --grace is left out, and the cluster's own holds."
        )
    if job.queue:
        warn(f"on run:ai the queue is the project ({job.config.project}): the queue {job.queue} is left out.")


def submit(job: Job, secret: Secret, machine: Machine, *, sync: bool, replace: bool) -> Mapping[str, str]:
    """Submit through `runai`, once the Secret is in step and the claims are known to exist."""
    cli = probe(machine, job)
    _check(job, cli)
    if kube.has_context(machine):
        kubernetes.prepare(kube.connect(machine, job.config.kube_context), job, secret, sync=sync)
    elif sync:
        raise UnavailableError(
            "there is no kubeconfig with a context, through which .env is mirrored into its Secret: "
            "get your cluster's, or leave the Secret as it is with --skip-secret-sync."
        )
    else:
        note("No kubeconfig has a context: whether the PVC and the namespace exist was not checked.")
    if replace:
        _delete_finished(job, cli, machine)
    result = process.run(machine, render(job, cli), timeout=ANSWER)
    if result.code:
        raise _refusal(job, result)
    describe, logs, execute, delete = (
        shell.join(_command(job, cli, verb)) for verb in ("describe", "logs", "exec", "delete")
    )
    return {"describe": describe, "logs": f"{logs} -f", "shell": f"{execute} -i -t -- zsh", "delete": delete}


def _refusal(job: Job, result: process.Result) -> MloError:
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


def _command(job: Job, cli: Cli, verb: str) -> list[str]:
    """`runai VERB … NAME` in the version's own way."""
    project = ["--project", job.config.project]
    if cli.version == "v2":
        return ["runai", *_group(job), verb, job.name, *project]
    return ["runai", verb, *(["job"] if verb in ("describe", "delete") else []), job.name, *project]


def _describe(job: Job, cli: Cli, machine: Machine) -> object | None:
    """What run:ai knows of the job; None when there is no such job."""
    result = process.run(machine, [*_command(job, cli, "describe"), "-o", "json"], timeout=ANSWER)
    if result.code:
        if re.search("not found|not exist", result.stderr + result.stdout, re.IGNORECASE):
            return None
        raise _refusal(job, result)
    try:
        found: object = json.loads(result.stdout)
    except ValueError:
        return {}
    return found


def _find(answer: object, keys: set[str], kind: type[T]) -> T | None:
    """The first value of that type under one of these keys. Releases of run:ai nest them differently."""
    if isinstance(answer, list):
        return next(filter(None, (_find(item, keys, kind) for item in answer)), None)
    if not isinstance(answer, dict):
        return None
    for key, value in answer.items():
        if key.lower() in keys and isinstance(value, kind):
            return value
    return _find(list(answer.values()), keys, kind)


def _state(found: object) -> str:
    """The state of a job in run:ai's words."""
    return _find(found, {"status", "phase"}, str) or "in an unknown state"


def _delete_finished(job: Job, cli: Cli, machine: Machine) -> None:
    found = _describe(job, cli, machine)
    if found is None:
        return
    labels = _find(found, {"labels"}, dict)
    if labels is not None and labels.get(MANAGED_BY) != OURS:
        raise RefusedError(f"the job {job.name} was not made by mlo-submit: --replace leaves it alone.")
    if _state(found).lower() not in ENDED:
        raise RefusedError(
            f"the job {job.name} is {_state(found)}: --replace only deletes a finished one. Choose another --name."
        )
    deletion = process.run(machine, _command(job, cli, "delete"), timeout=ANSWER)
    if deletion.code:
        raise _refusal(job, deletion)
    deadline = time.monotonic() + DELETION
    while _describe(job, cli, machine) is not None:
        if time.monotonic() > deadline:
            raise RefusedError(
                f"the finished job {job.name} is not gone {DELETION:g} seconds after its deletion: try again later."
            )
        time.sleep(0.5)


def follow(job: Job, machine: Machine) -> int:
    """Print the job's output until run:ai says that it has ended: 0 or 1, since it tells no exit code."""
    cli = probe(machine, job)
    over: float | None = None  # when the log ended, by our clock
    told = ""
    while (found := _describe(job, cli, machine)) is not None:
        state = _state(found)
        ended = ENDED.get(state.lower())
        lag = None if over is None else time.monotonic() - over
        # A log ends before the state follows; where the state stays, the log only broke off.
        if (state.lower() == "running" and (lag is None or lag > SETTLING)) or (ended is not None and lag is None):
            since = [] if lag is None else ["--since", f"{lag:.0f}s"]
            process.stream(machine, [*_command(job, cli, "logs"), "-f", *since])
            over = time.monotonic()
        elif state != told and ended is None and lag is None:
            told = state
            note(f"{job.name} is {state}.")
        if ended is not None:
            return ended
        time.sleep(1)
    raise RefusedError(f"the job {job.name} was deleted while it was followed.")
