"""`.env` → `Config`: validated once and as a whole.

    envfile.find(machine, --env-file) → envfile.read(path, environ) → configure(file, machine, required)

A problem names its key and its line; all of them come in one error. The value of a secret is in no message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeVar, cast, get_args

from mlo_submit import sshkey, units
from mlo_submit.backends import BACKENDS
from mlo_submit.envfile import EnvFile
from mlo_submit.errors import ConfigError
from mlo_submit.machine import Machine

Kind = Literal["job", "jobset", "pytorchjob"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""What a job with --workers can be on Kubernetes."""

SECRET_KEYS = (
    "WANDB_API_KEY",
    "HF_TOKEN",
    "SSH_PRIVATE_KEY_B64",
    "SSH_PUBLIC_KEY",
    "SSH_KNOWN_HOSTS",
    "GIT_USER_NAME",
    "GIT_USER_EMAIL",
    "GITHUB_TOKEN",
)
"""The variables that reach a pod as secrets, when they have a value."""

# What a command may need, and how else it can be had.
MISSING = {
    "K8S_NAMESPACE": "the namespace of your jobs (or RUNAI_PROJECT, where both have one name)",
    "RUNAI_IMAGE": "the image of the job; or give --image",
    "RUNAI_SECRET_NAME": "the Secret that mirrors this file; or give --secret-name",
    "SCRATCH_PVC": "the volume claim of the scratch; or give --pvc",
    "ARCHIVE_HOST": "the machine, as ssh takes it, that has both the scratch and the long-term store",
    "ARCHIVE_ROOT": "the directory of the long-term store there",
    "SCRATCH_HOST_ROOT": "where the scratch (SCRATCH_MOUNT_PATH of pods) is mounted there",
}

MAX_SECRET = 1024 * 1024

_PLACEHOLDER = re.compile(r"<[^<>]*>")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What `.env` says, validated. Paths of the pod are absolute; ids are decimal numbers."""

    path: Path
    username: str
    uid: int
    group: str
    gid: int
    project: str
    namespace: str
    image: str
    secret_name: str
    pvc: str
    mount_path: str
    home_root: str
    working_dir: str
    hf_home: str
    python_version: str
    timezone: str
    seed_user: str
    kube_context: str
    kind: Kind
    scheduler: str
    queue: str
    queue_label: str
    priority_class: str
    node_selector: tuple[tuple[str, str], ...]
    node_type_label: str
    preemptible_node_types: tuple[str, ...]
    pull_policy: str
    ttl: int | None
    runai_version: str
    worker_annotations: tuple[tuple[str, str], ...]
    worker_resources: tuple[tuple[str, int], ...]
    local_scratch: Path
    archive_host: str
    archive_root: str
    scratch_host_root: str
    secret_keys: tuple[str, ...]
    values: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


class _Reader:
    """Reads values of a file by rules, and collects what is wrong."""

    def __init__(self, file: EnvFile) -> None:
        self.file = file
        self.problems = list(file.problems)

    def problem(self, key: str, text: str, *, show: bool = True) -> None:
        value = f"={self.file.values[key]}" if show and self.file.values.get(key) else ""
        where = f"line {self.file.lines[key]}: " if key in self.file.lines else ""
        self.problems.append(f"{where}{key}{value} {text}")

    def get(self, key: str, rule: Callable[[str], T], default: str) -> T | None:
        """The value by its rule; None where there is none, or where it is a problem."""
        text = self.file.values.get(key) or default
        if not text:
            return None
        if _PLACEHOLDER.search(text):
            self.problem(key, "still holds a placeholder of the example: put your own value there")
            return None
        try:
            return rule(text)
        except ValueError as error:
            self.problem(key, str(error))
            return None

    def text(self, key: str, rule: Callable[[str], str] = str, default: str = "") -> str:
        return self.get(key, rule, default) or ""

    def unless_empty(self, key: str, rule: Callable[[str], T], default: str) -> T | None:
        """Like `get`, for a default that an empty value turns off."""
        return self.get(key, rule, "" if key in self.file.values else default)

    def needed(self, key: str, rule: Callable[[str], T], hint: str) -> T | None:
        if not self.file.values.get(key):
            self.problem(key, f"is {'empty' if key in self.file.values else 'missing'}: {hint}")
        return self.get(key, rule, "")


def configure(file: EnvFile, machine: Machine, required: Collection[str] = ()) -> Config:
    """Validate a file as a whole. `required` are keys of `MISSING` that the command cannot do without.

    Raises:
        ConfigError: every problem, each with its key and line.
    """
    reader = _Reader(file)
    username = reader.needed("LDAP_USERNAME", units.account, "your account's name on the cluster") or ""
    uid = reader.needed("LDAP_UID", units.identity, "`id -u` on a machine of the lab tells it")
    group = reader.needed("LDAP_GROUPNAME", units.account, "the name of your group on the cluster") or ""
    gid = reader.needed("LDAP_GID", units.identity, "`id -g` on a machine of the lab tells it")
    project = reader.text("RUNAI_PROJECT", units.label)
    namespace = reader.text("K8S_NAMESPACE", units.label) or project
    mount_path = reader.text("SCRATCH_MOUNT_PATH", units.path, "/mloscratch")
    home_root = reader.text("SCRATCH_HOME_ROOT", units.path, f"{mount_path}/homes")
    if home_root == "/home":
        reader.problem(
            "SCRATCH_HOME_ROOT", "is where pods have their own homes, which end with them: name one on scratch"
        )
    for key in sorted(required):
        if not file.values.get(key) and not (key == "K8S_NAMESPACE" and file.values.get("RUNAI_PROJECT")):
            reader.problem(key, f"is {'empty' if key in file.values else 'missing'}: {MISSING[key]}")
    for key in SECRET_KEYS:
        if _PLACEHOLDER.fullmatch(file.values.get(key, "")):
            reader.problem(key, "still holds a placeholder: put your own value there, or nothing", show=False)

    extra = tuple(filter(None, (key.strip() for key in file.values.get("EXTRA_SECRET_KEYS", "").split(","))))
    for key in extra:
        try:
            units.variable(key)
        except ValueError as error:
            reader.problem("EXTRA_SECRET_KEYS", f"names {key!r}, which {error}")

    keys = sshkey.pick_up(file.values, machine)
    for key, text in keys.problems:
        reader.problem(key, text, show=False)
    values = {key: value for key, value in {**file.values, **keys.values}.items() if value}
    size = sum(len(key.encode()) + len(value.encode()) for key, value in values.items())
    if size > MAX_SECRET:
        reader.problems.append(
            f"its values take {size} bytes, and a Secret holds {MAX_SECRET}: keep large ones in a file on scratch"
        )

    reader.text("MLO_BACKEND", units.one_of(*BACKENDS))

    config = Config(
        path=file.path,
        username=username,
        uid=uid or 0,
        group=group,
        gid=gid or 0,
        project=project or namespace,
        namespace=namespace,
        image=reader.text("RUNAI_IMAGE", units.image),
        secret_name=reader.text("RUNAI_SECRET_NAME", units.subdomain),
        pvc=reader.text("SCRATCH_PVC", units.subdomain),
        mount_path=mount_path,
        home_root=home_root,
        working_dir=reader.text("WORKING_DIR", units.path, f"{home_root}/{username}"),
        hf_home=reader.text("HF_HOME", units.path, f"{mount_path}/hf_cache"),
        python_version=reader.text("UV_PYTHON_VERSION", units.word, "3.11"),
        timezone=reader.text("TZ", units.word, "UTC"),
        seed_user=reader.text("SCRATCH_SEED_USER", units.account),
        kube_context=reader.text("MLO_KUBE_CONTEXT"),
        kind=cast(Kind, reader.text("MLO_KIND", units.one_of(*KINDS)) or "job"),
        scheduler=reader.text("MLO_SCHEDULER", units.subdomain),
        queue=reader.text("MLO_QUEUE", units.label_value),
        queue_label=reader.text("MLO_QUEUE_LABEL", units.label_key),
        priority_class=reader.text("MLO_PRIORITY_CLASS", units.subdomain),
        node_selector=reader.get("MLO_NODE_SELECTOR", units.labels, "") or (),
        node_type_label=reader.text("MLO_NODE_TYPE_LABEL", units.label_key, "runai/node-pool"),
        preemptible_node_types=reader.unless_empty("MLO_PREEMPTIBLE_NODE_TYPES", units.label_values, "h100,h200") or (),
        pull_policy=reader.text("MLO_IMAGE_PULL_POLICY", units.one_of("Always", "IfNotPresent", "Never")),
        ttl=reader.get("MLO_TTL_AFTER_FINISHED", units.duration, ""),
        runai_version=reader.text("MLO_RUNAI_VERSION", units.one_of("v1", "v2")),
        worker_annotations=reader.unless_empty(
            "MLO_WORKER_ANNOTATIONS", units.pairs, "k8s.v1.cni.cncf.io/networks=kube-system/roce"
        )
        or (),
        worker_resources=reader.unless_empty("MLO_WORKER_RESOURCES", units.resources, "rdma/rdma=1") or (),
        local_scratch=machine.path(reader.text("MLO_LOCAL_SCRATCH", str, str(machine.data / "scratch"))),
        archive_host=reader.text("ARCHIVE_HOST", units.host),
        archive_root=reader.text("ARCHIVE_ROOT", units.path),
        scratch_host_root=reader.text("SCRATCH_HOST_ROOT", units.path),
        secret_keys=tuple(sorted(key for key in {*SECRET_KEYS, *extra} if key in values)),
        values=values,
        notes=keys.notes,
        warnings=(*file.warnings, *keys.warnings),
    )
    if reader.problems:
        count = f"{len(reader.problems)} problems" if len(reader.problems) > 1 else "a problem"
        raise ConfigError(f"{file.path} has {count}:\n" + "\n".join(f"  {problem}" for problem in reader.problems))
    return config
