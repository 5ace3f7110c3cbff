"""`.env` → `Config`: read through python-dotenv's parser, validated once and as a whole.

    find(machine, --env-file) → read(path) → configure(file, machine, required)

A problem names its key and its line; all of them come in one error. The value of a secret is in no message.
"""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from dotenv.parser import parse_stream
from dotenv.variables import Variable, parse_variables

from mlo_submit import sshkey, units
from mlo_submit.backends import BACKENDS
from mlo_submit.errors import ConfigError
from mlo_submit.machine import Machine

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
}

MAX_ID = 4294967293
MAX_SECRET = 1024 * 1024

_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}")
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_PLACEHOLDER = re.compile(r"<[^<>]*>")
_BINDING = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=(?P<space>[^\S\r\n]*)(?P<start>.?)")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class EnvFile:
    """A `.env` as it was read: values by key, the line of each key, and what is wrong with its form."""

    path: Path
    values: Mapping[str, str] = field(repr=False)
    lines: Mapping[str, int]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


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
    scheduler: str
    queue: str
    queue_label: str
    priority_class: str
    node_selector: tuple[tuple[str, str], ...]
    node_type_label: str
    pull_policy: str
    ttl: int | None
    runai_version: str
    worker_annotations: tuple[tuple[str, str], ...]
    worker_resources: tuple[tuple[str, int], ...]
    local_scratch: Path
    secret_keys: tuple[str, ...]
    values: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def find(machine: Machine, given: str | None) -> Path:
    """The .env to read: --env-file, MLO_ENV_FILE, ./.env, ~/.config/mlo/.env, in this order.

    Raises:
        ConfigError: there is none.
    """
    if chosen := given or machine.environ.get("MLO_ENV_FILE"):
        path = machine.path(chosen)
        if path.is_file():
            return path
        raise ConfigError(
            f"{path} ({'--env-file' if given else 'MLO_ENV_FILE'}) does not exist: `mlo-submit init` writes one."
        )
    places = (machine.cwd / ".env", machine.config / ".env")
    for path in places:
        if path.is_file():
            return path
    raise ConfigError(
        f"there is no .env, neither {places[0]} nor {places[1]}. `mlo-submit init` writes one; "
        "--env-file names another place."
    )


def read(path: Path, environ: Mapping[str, str]) -> EnvFile:
    """Read a .env. `${NAME}` is a value given above in the file, or a variable of `environ`.

    Raises:
        ConfigError: the file cannot be read as text.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        world = path.stat().st_mode & stat.S_IROTH
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from None
    file = parse(text, environ, path)
    if not world:
        return file
    warning = f"{path} holds secrets, and everybody on this machine can read it: chmod 600 {path}"
    return replace(file, warnings=(warning, *file.warnings))


def parse(text: str, environ: Mapping[str, str], path: Path) -> EnvFile:
    """Read the text of a .env; pure. `path` only names it."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems: list[str] = []
    warnings: list[str] = []
    for binding in parse_stream(io.StringIO(text.replace("\r\n", "\n"))):
        original = binding.original.string
        blank = len(original) - len(original.lstrip())
        line = binding.original.line + original[:blank].count("\n")
        key, value = binding.key, binding.value
        if binding.error:
            problems.append(f"line {line}: cannot be read: is a quote left open, or does text follow a closing one?")
        elif key is not None and value is None:
            problems.append(f"line {line}: has no '=': write KEY=value, or # before a comment")
        elif key is not None and value is not None:
            start = _BINDING.match(original)
            if start and start["space"] and start["start"] == "#":
                value = ""  # `KEY= # comment`; python-dotenv before 1.2 takes the comment for the value
            if not start or start["start"] != "'":
                value, complete = _interpolate(value, {**environ, **values})
                if not complete:
                    warnings.append(
                        f"{path} line {line}: {key} has a ${{NAME}} that is not set, and counts as empty; "
                        "single quotes keep a value as it is"
                    )
            if not _SECRET_KEY.fullmatch(key):  # not shown: it may be a line of a key that was pasted without quotes
                problems.append(
                    f"line {line}: what stands before '=' cannot be a key: letters, digits, '-', '_' and '.' only; "
                    "a value of several lines needs quotes"
                )
                continue
            if "\0" in value:
                problems.append(f"line {line}: {key} holds a NUL byte, which no variable can")
            values[key], lines[key] = value, line
    return EnvFile(path=path, values=values, lines=lines, problems=tuple(problems), warnings=tuple(warnings))


def _interpolate(value: str, known: Mapping[str, str]) -> tuple[str, bool]:
    """The value with names replaced, and whether all of them are known or have a default."""
    atoms = list(parse_variables(value))
    names = [atom.name for atom in atoms if isinstance(atom, Variable) and atom.default is None]
    return "".join(atom.resolve(known) for atom in atoms), all(name in known for name in names)


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
    username = reader.needed("LDAP_USERNAME", _account, "your account's name on the cluster") or ""
    uid = reader.needed("LDAP_UID", _id, "`id -u` on a machine of the lab tells it")
    group = reader.needed("LDAP_GROUPNAME", _account, "the name of your group on the cluster") or ""
    gid = reader.needed("LDAP_GID", _id, "`id -g` on a machine of the lab tells it")
    project = reader.text("RUNAI_PROJECT", units.label)
    namespace = reader.text("K8S_NAMESPACE", units.label) or project
    mount_path = reader.text("SCRATCH_MOUNT_PATH", _path, "/mloscratch")
    home_root = reader.text("SCRATCH_HOME_ROOT", _path, f"{mount_path}/homes")
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

    reader.text("MLO_BACKEND", _one_of(*BACKENDS))

    config = Config(
        path=file.path,
        username=username,
        uid=uid or 0,
        group=group,
        gid=gid or 0,
        project=project or namespace,
        namespace=namespace,
        image=reader.text("RUNAI_IMAGE", image),
        secret_name=reader.text("RUNAI_SECRET_NAME", units.subdomain),
        pvc=reader.text("SCRATCH_PVC", units.subdomain),
        mount_path=mount_path,
        home_root=home_root,
        working_dir=reader.text("WORKING_DIR", _path, f"{home_root}/{username}"),
        hf_home=reader.text("HF_HOME", _path, f"{mount_path}/hf_cache"),
        python_version=reader.text("UV_PYTHON_VERSION", _word, "3.11"),
        timezone=reader.text("TZ", _word, "UTC"),
        seed_user=reader.text("SCRATCH_SEED_USER", _account),
        kube_context=reader.text("MLO_KUBE_CONTEXT"),
        scheduler=reader.text("MLO_SCHEDULER", units.subdomain),
        queue=reader.text("MLO_QUEUE", units.label_value),
        queue_label=reader.text("MLO_QUEUE_LABEL", units.label_key),
        priority_class=reader.text("MLO_PRIORITY_CLASS", units.subdomain),
        node_selector=reader.get("MLO_NODE_SELECTOR", units.labels, "") or (),
        node_type_label=reader.text("MLO_NODE_TYPE_LABEL", units.label_key, "runai/node-pool"),
        pull_policy=reader.text("MLO_IMAGE_PULL_POLICY", _one_of("Always", "IfNotPresent", "Never")),
        ttl=reader.get("MLO_TTL_AFTER_FINISHED", units.duration, ""),
        runai_version=reader.text("MLO_RUNAI_VERSION", _one_of("v1", "v2")),
        worker_annotations=reader.unless_empty(
            "MLO_WORKER_ANNOTATIONS", units.pairs, "k8s.v1.cni.cncf.io/networks=kube-system/roce"
        )
        or (),
        worker_resources=reader.unless_empty("MLO_WORKER_RESOURCES", units.resources, "rdma/rdma=1") or (),
        local_scratch=machine.path(reader.text("MLO_LOCAL_SCRATCH", str, str(machine.data / "scratch"))),
        secret_keys=tuple(sorted(key for key in {*SECRET_KEYS, *extra} if key in values)),
        values=values,
        notes=keys.notes,
        warnings=(*file.warnings, *keys.warnings),
    )
    if reader.problems:
        count = f"{len(reader.problems)} problems" if len(reader.problems) > 1 else "a problem"
        raise ConfigError(f"{file.path} has {count}:\n" + "\n".join(f"  {problem}" for problem in reader.problems))
    return config


def _account(text: str) -> str:
    if not _ACCOUNT.fullmatch(text) or text in ("root", "ALL"):
        raise ValueError(
            "is no account of a pod: at most 32 letters, digits, '.', '_', '-', starting with a letter or '_', "
            "and not root or ALL"
        )
    return text


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 10 and int(text) <= MAX_ID):
        raise ValueError(f"is no id: a decimal number from 1 to {MAX_ID}")
    return int(text)


def _path(text: str) -> str:
    if not text.startswith("/") or ".." in text.split("/") or not text.isprintable():
        raise ValueError("is no path in a pod: it must start with '/' and hold neither '..' nor control characters")
    return text.rstrip("/") or "/"


def image(text: str) -> str:
    """The name of an image: returned unchanged."""
    if not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9._/:@]*", text):
        raise ValueError("is no image, such as registry.example.org/group/name:tag")
    return text


def _word(text: str) -> str:
    if not text.isprintable() or " " in text:
        raise ValueError("must be one word")
    return text


def _one_of(*choices: str) -> Callable[[str], str]:
    def rule(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return rule
