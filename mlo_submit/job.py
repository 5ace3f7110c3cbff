"""A job, as one description for every backend: `from_flags(config, flags, now) -> Job`.

`container_environ(job)` is the contract with `mlo_entry`: the environment from which a pod boots.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from mlo_submit import array, labels, shell, sweep, units
from mlo_submit.array import Array
from mlo_submit.env import Config, Kind
from mlo_submit.sweep import Sweep, Task

KEEP_ALIVE = 12 * 3600  # seconds
GRACE = 30  # seconds from TERM to KILL, as Kubernetes has it
SECRETS_DIR = "/run/secrets/mlo"
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Another directory in the pod: a path of this machine (docker), or a PVC (kubernetes, run:ai)."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What the command line of `run` says; None and empty where it says nothing. Times are in seconds."""

    name: str | None = None
    uid: int | None = None
    gid: int | None = None
    argv: tuple[str, ...] = ()
    line: str | None = None
    exp_folder: str | None = None
    venv: str | None = None
    time: int | None = None
    grace: int | None = None
    gpus: int = 0
    cpus: str | None = None
    memory: str | None = None
    image: str | None = None
    port: int | None = None
    train: bool = False
    workers: int = 0
    kind: Kind | None = None
    retries: int = 0
    secret_name: str | None = None
    secrets: Literal["files", "env"] | None = None
    skip_secret_sync: bool = False
    pvc: str | None = None
    node_types: tuple[str, ...] = ()
    queue: str | None = None
    priority: str | None = None
    host_ipc: bool = False
    large_shm: bool = False
    shm_size: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    stop_when_idle: int | None = None
    wait_for_master: int | None = None
    array: str | None = None
    sweep: Sweep | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job to launch. Holds names of secrets, never a value."""

    name: str
    config: Config
    flags: Flags
    uid: int
    gid: int
    image: str
    training: bool
    command: tuple[str, ...] | str
    exp_folder: str | None
    venv: str | None
    time: int | None
    given_grace: int | None
    gpus: int
    cpus: str | None
    memory: str | None
    port: int | None
    workers: int
    kind: Kind
    retries: int
    secret_name: str
    secret_files: bool | None
    secret_optional: bool
    pvc: str
    node_types: tuple[str, ...]
    queue: str
    priority: str | None
    host_ipc: bool
    large_shm: bool
    shm_size: str | None
    env: Mapping[str, str]
    mounts: tuple[Mount, ...]
    stop_when_idle: int | None
    wait_for_master: int | None
    array: Array | None
    tasks: tuple[Task, ...]
    """Of an array with a sweep: what each of its indices has of its own, in their order."""
    stamp: str
    """When it was described, to the microsecond: two submissions of one name differ in it."""

    @property
    def preemptible(self) -> bool:
        """Whether an interactive job is on nodes that it may only borrow."""
        return not self.training and not set(self.node_types).isdisjoint(self.config.preemptible_node_types)

    @property
    def grace(self) -> int:
        """Seconds from TERM to KILL."""
        return GRACE if self.given_grace is None else self.given_grace

    @property
    def labels(self) -> dict[str, str]:
        """How the job is found again, on every backend."""
        return {
            labels.NAME: "mlo",
            labels.INSTANCE: self.name,
            labels.COMPONENT: "training" if self.training else "interactive",
            labels.MANAGED_BY: labels.OURS,
            labels.USER: labels.user(self.config.username),
        }

    @property
    def argv(self) -> tuple[str, ...]:
        """What the pod runs, which ends itself when its time is over."""
        waits = ("sleep", str(self.time or KEEP_ALIVE))
        if not self.command and not self.stop_when_idle:
            return waits
        return shell.in_setup(
            self.command or waits,
            folder=self.exp_folder,
            venv=self.venv,
            limit=self.time if self.command else None,
            grace=self.grace,
            stop_when_idle=self.stop_when_idle is not None,
            wait_for_master=self.wait_for_master,
            task=self.array is not None,
        )


def from_flags(config: Config, flags: Flags, now: datetime) -> Job:
    """The job that a command line asks for. `now` is its stamp, and names a job that has no name.

    Raises:
        ValueError: its array and its sweep do not fit each other.
    """
    indices, tasks = array_of(flags)
    return Job(
        name=flags.name or default_name(config.username, now),
        config=config,
        flags=flags,
        uid=flags.uid or config.uid,
        gid=flags.gid or config.gid,
        image=flags.image or config.image,
        training=flags.train or flags.workers > 0 or indices is not None,
        command=flags.line or flags.argv,
        exp_folder=flags.exp_folder,
        venv=flags.venv,
        time=flags.time,
        given_grace=flags.grace,
        gpus=flags.gpus,
        cpus=flags.cpus,
        memory=flags.memory,
        port=flags.port,
        workers=flags.workers,
        kind=flags.kind or config.kind,
        retries=flags.retries,
        secret_name=flags.secret_name or config.secret_name,
        secret_files=None if flags.secrets is None else flags.secrets == "files",
        secret_optional=flags.skip_secret_sync,
        pvc=flags.pvc or config.pvc,
        node_types=flags.node_types,
        queue=flags.queue or config.queue,
        priority=flags.priority,
        host_ipc=flags.host_ipc,
        large_shm=flags.large_shm,
        shm_size=flags.shm_size,
        env=flags.env,
        mounts=flags.mounts,
        stop_when_idle=flags.stop_when_idle,
        wait_for_master=flags.wait_for_master,
        array=indices,
        tasks=tasks,
        stamp=f"{now:%Y%m%d-%H%M%S-%f}",
    )


def array_of(flags: Flags) -> tuple[Array | None, tuple[Task, ...]]:
    """The array that flags ask for, if they do, and what a sweep gives its indices: that of index N is its row N.

    Raises:
        ValueError: they do not fit each other.
    """
    text = flags.array
    if not flags.sweep:
        return (array.parse(text) if text else None), ()
    rows = flags.sweep.tasks()
    if text is None or text.startswith("%"):
        text = f"0-{len(rows) - 1}{text or ''}"
    found = array.parse(text)
    if found.indices[-1] >= len(rows):
        raise ValueError(
            f"--array {flags.array} has the index {found.indices[-1]}, and {flags.sweep.file} no such row: its "
            f"{len(rows)} rows count from 0. Leave out --array for all of them, or give --array %8 for 8 at a time."
        )
    return found, tuple(rows[index] for index in found.indices)


def default_name(username: str, now: datetime) -> str:
    """`USER-YYYYMMDD-HHMMSS`, with what no name of a job can hold replaced by '-'."""
    user = re.sub("[^a-z0-9]+", "-", username.lower()).strip("-") or "job"
    return units.label(f"{user}-{now:%Y%m%d-%H%M%S}")


def rendezvous(job: Job, master: str = "") -> dict[str, str]:
    """What tells the pods of a multi-node job of each other, where the backend itself does not: the rank comes from it.

    `master` is the host of rank 0, if not NAME-0.NAME, which is its name in the domain of the job.
    """
    if not job.workers:
        return {}
    return {
        "PET_NNODES": str(job.workers + 1),
        "PET_MASTER_ADDR": master or f"{job.name}-0.{job.name}",
        "RUNAI_NUM_OF_GPUS": str(job.gpus),
    }


def rdma(resources: Sequence[tuple[str, int]]) -> dict[str, str]:
    """What lets a pod warn that it has no RDMA although it asked for it."""
    return {"MLO_RDMA": ",".join(f"{key}={count}" for key, count in resources)} if resources else {}


def container_environ(job: Job, multi_node: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """The literal environment of the job's pods: what `mlo_entry` boots from, then what the user adds with --env.

    `multi_node` is what the backend adds for pods that work together.
    """
    config = job.config
    home = f"{config.home_root.rstrip('/')}/{config.username}"
    return {
        "HOME": f"/home/{config.username}",
        "NB_USER": config.username,
        "NB_UID": str(job.uid),
        "NB_GROUP": config.group,
        "NB_GID": str(job.gid),
        "WORKING_DIR": config.working_dir,
        "SCRATCH_HOME": home,
        "SCRATCH_HOME_ROOT": config.home_root,
        "EPFML_LDAP": config.username,
        "HF_HOME": config.hf_home,
        "UV_PYTHON_VERSION": config.python_version,
        "TZ": config.timezone,
        "GIT_CONFIG_GLOBAL": f"{home}/.gitconfig",
        "UV_CACHE_DIR": f"{home}/.cache/uv",
        "UV_PYTHON_INSTALL_DIR": f"{home}/.uv",
        **({"SCRATCH_SEED_USER": config.seed_user} if config.seed_user else {}),
        **({"MLO_STOP_WHEN_IDLE": str(job.stop_when_idle)} if job.stop_when_idle else {}),
        **({"MLO_ARRAY": str(job.array)} if job.array else {}),
        **({"MLO_SWEEP": sweep.pack(job.tasks)} if job.tasks else {}),
        **multi_node,
        **job.env,
    }
