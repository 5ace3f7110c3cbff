"""A job as a `docker run`: an argv, nothing started."""

from __future__ import annotations

from pathlib import Path

from mlo_submit import submission, units
from mlo_submit.job import SECRETS_DIR, Job, Mount, container_environ, rendezvous
from mlo_submit.labels import RANK, SUBMISSION

LARGE_SHM = 32 * 2**30  # bytes; taken from memory as it is used


def names(job: Job) -> list[str]:
    """The names of a job's containers, by rank: NAME, NAME-1, NAME-2."""
    return [job.name, *(f"{job.name}-{rank}" for rank in range(1, job.workers + 1))]


def network(job: Job) -> list[str]:
    """The `docker network create` of a multi-node job."""
    marks = [word for key, value in job.labels.items() for word in ("--label", f"{key}={value}")]
    return ["docker", "network", "create", *marks, job.name]


def render(job: Job, secrets: Path | None, rank: int = 0) -> list[str]:
    """The `docker run` of a rank. `secrets` is the directory with one file a secret, if it comes as files."""
    config = job.config
    host = f"{job.name}-{rank}" if job.workers else job.name
    argv = ["docker", "run", "--detach", "--name", names(job)[rank], "--hostname", host]
    argv += ["--user", f"{job.uid}:{job.gid}"]
    for key, value in {**job.labels, SUBMISSION: submission.encode(job.flags)}.items():
        argv += ["--label", f"{key}={value}"]
    environ = container_environ(job, rendezvous(job))
    if job.workers:
        argv += ["--label", f"{RANK}={rank}", "--network", job.name, "--network-alias", f"{host}.{job.name}"]
        environ["PET_NODE_RANK"] = str(rank)
    if not config.seed_user:
        # Local scratch is no root-squashed export: the user can make their own directories there.
        environ["SCRATCH_SEED_USER"] = job.env.get("SCRATCH_SEED_USER", config.username)
    for key, value in environ.items():
        argv += ["--env", f"{key}={value}"]
    mounts = [Mount(source=str(config.local_scratch), target=config.mount_path), *job.mounts]
    if job.secret_files is False:
        # Without a value docker takes the variable from its own environment: no value in argv.
        argv += [word for key in config.secret_keys if key not in job.env for word in ("--env", key)]
    elif secrets:
        mounts.append(Mount(source=str(secrets), target=SECRETS_DIR, read_only=True))
    for mount in mounts:
        argv += ["--mount", _mount(mount)]
    if job.training and job.retries:
        argv += ["--restart", f"on-failure:{job.retries}"]
    argv += ["--stop-timeout", str(job.grace)]
    if job.gpus:
        argv += ["--gpus", str(job.gpus)]
    if job.cpus:
        argv += ["--cpus", _cpus(job.cpus)]
    if job.memory:
        argv += ["--memory", f"{units.quantity(job.memory)}b"]
    if job.shm_size or job.large_shm:
        argv += ["--shm-size", f"{units.quantity(job.shm_size) if job.shm_size else LARGE_SHM}b"]
    if job.host_ipc:
        argv += ["--ipc", "host"]
    if job.port and not rank:
        argv += ["--publish", f"127.0.0.1:{job.port}:{job.port}"]
    if config.pull_policy:
        argv += ["--pull", {"Always": "always", "IfNotPresent": "missing", "Never": "never"}[config.pull_policy]]
    return [*argv, job.image, *job.argv]


def _mount(mount: Mount) -> str:
    """A mount as docker reads it: fields of CSV."""
    fields = [
        "type=bind",
        f"source={mount.source}",
        f"target={mount.target}",
        *(["readonly"] if mount.read_only else []),
    ]
    return ",".join('"' + field.replace('"', '""') + '"' if {",", '"'} & set(field) else field for field in fields)


def _cpus(cpus: str) -> str:
    return f"{int(cpus[:-1]) / 1000:g}" if cpus.endswith("m") else cpus
