"""A job as a `runai submit`: an argv, nothing sent."""

from __future__ import annotations

from collections.abc import Sequence

from mlo_submit import shell, submission
from mlo_submit.backends.kubernetes.manifest import literal
from mlo_submit.backends.runai.cli import Cli, group
from mlo_submit.backends.runai.words import pack
from mlo_submit.job import Job, Mount, container_environ, rdma
from mlo_submit.labels import ARRAY, BACKEND, SUBMISSION

MAX_WORD = 128 * 1024  # bytes of a word of a command line, as the kernel takes it
MANY = frozenset({"--completions", "--parallelism"})
"""The flags of an array, which version 2 has in some releases."""


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
    argv += _marks(job)
    if job.cpus:
        argv += ["--cpu", job.cpus]
    if job.memory:
        argv += ["--memory", job.memory]
    if job.training:
        argv += ["--backoff-limit", str(job.retries), *_tasks(job)]
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
    for key, value in _environ(job).items():
        argv += ["--environment", f"{key}={literal(value)}"]
    for key in _secret_keys(job):
        argv += ["--environment", f"{key}=SECRET:{job.secret_name},{key}"]
    return [*argv, "--", *shell.one_word(job.argv)]


def _v2(job: Job, cli: Cli) -> list[str]:
    config = job.config
    argv = ["runai", *group(job), "submit", job.name, "--project", config.project, "--image", job.image]
    argv += ["--gpu-devices-request", str(job.gpus), "--run-as-uid", str(job.uid), "--run-as-gid", str(job.gid)]
    for mount in _claims(job):
        argv += ["--existing-pvc", f"claimname={mount.source},path={mount.target}"]
    argv += ["--image-pull-policy", "Always", "--allow-privilege-escalation", *_marks(job)]
    if job.cpus:
        argv += ["--cpu-core-request", job.cpus]
    if job.memory:
        argv += ["--cpu-memory-request", job.memory]
    if job.training and not job.workers:
        argv += ["--backoff-limit", str(job.retries), *_tasks(job)]
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
    for key, value in _environ(job).items():
        argv += ["-e", f"{key}={literal(value)}"]
    for key in _secret_keys(job):
        if "--env-secret" in cli.flags:
            argv += ["--env-secret", f"{key}={job.secret_name},key={key}"]
        else:
            argv += ["-e", f"{key}=SECRET:{job.secret_name},{key}"]
    return [*argv, "--", *shell.one_word(job.argv)]


def _workers(job: Job) -> list[str]:
    if not job.workers:
        return []
    argv = ["--workers", str(job.workers)]
    for key, value in job.config.worker_annotations:
        argv += ["--annotation", f"{key}={value}"]
    for key, count in job.config.worker_resources:
        argv += ["--extended-resource", f"{key}={count}"]
    return argv


def _tasks(job: Job) -> list[str]:
    """How many pods an array has, and how many of them at a time."""
    if not job.array:
        return []
    count = len(job.array.indices)
    return ["--completions", str(count), "--parallelism", str(min(job.array.at_once or count, count))]


def _environ(job: Job) -> dict[str, str]:
    """run:ai itself tells the pods of a multi-node job of each other; those of an array find out which they are."""
    return container_environ(
        job,
        {
            **(rdma(job.config.worker_resources) if job.workers else {}),
            **({"MLO_ARRAY_ID": f"{job.name}-{job.stamp}"} if job.array else {}),
        },
    )


def _claims(job: Job) -> list[Mount]:
    return [Mount(source=job.pvc, target=job.config.mount_path), *job.mounts]


def _secret_keys(job: Job) -> Sequence[str]:
    return [key for key in job.config.secret_keys if key not in job.env]


def _marks(job: Job) -> list[str]:
    """Labels, and the submission as one word, if it is not too long: no quote of its JSON is lost on the way."""
    marks = {**job.labels, BACKEND: "runai", **({ARRAY: "task"} if job.array else {})}
    argv = [word for key, value in marks.items() for word in ("--label", f"{key}={value}")]
    mark = f"{SUBMISSION}={pack(submission.encode(job.flags))}"
    return [*argv, *(["--annotation", mark] if len(SUBMISSION) + 1 < len(mark) < MAX_WORD else [])]
