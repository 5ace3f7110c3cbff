"""The pod's environment, read once: `from_environ(environ) -> Settings`, every problem in one error."""

from __future__ import annotations

import os

from .errors import SettingsError
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REQUIRED = ("NB_USER", "NB_UID", "NB_GROUP", "NB_GID", "SCRATCH_HOME_ROOT", "WORKING_DIR")
SECRETS_DIR = "/run/secrets/mlo"
HF_HOME = "/mloscratch/hf_cache"
SEED_USER = "mljaggi-admin"

MAX_NAME = 32
MAX_ID = 4294967293  # 2**32 - 1 means "no id" to the kernel, 2**32 - 2 is the nobody of some NFS servers
MAX_PATH = 4095  # PATH_MAX without the closing NUL

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME = _LETTERS | frozenset("0123456789.-")


class Settings(Record):
    """What a boot is asked for. Paths are absolute and normalised; ids are decimal numbers from 1 to MAX_ID."""

    user: str
    uid: int
    group: str
    gid: int
    scratch_home_root: str
    scratch_home: str
    working_dir: str
    hf_home: str
    seed_user: str
    git_config: str
    uv_cache: str
    uv_python: str
    git_name: str
    git_email: str
    ssh_private_key: str  # base64 of the key file
    ssh_public_key: str
    ssh_known_hosts: str
    environ: Mapping[str, str]  # as the pod gave it, with the secrets that came as files
    secrets: tuple[str, ...]  # the names of those

    hidden = ("ssh_private_key", "environ")

    @property
    def home(self) -> str:
        """The user's home in the container, which lives as long as the pod."""
        return f"/home/{self.user}"


def missing(environ: Mapping[str, str]) -> list[str]:
    """The required variables that are absent or empty."""
    return [name for name in REQUIRED if not environ.get(name)]


def merged(given: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """The pod's environment with the secrets that came as files; what it sets itself wins, unless that is empty."""
    return {**given, **{name: value for name, value in files.items() if not given.get(name)}}


def from_environ(given: Mapping[str, str], files: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of a boot from the pod's environment and the secrets that came as files.

    Raises:
        SettingsError: naming every variable whose value is missing or cannot be.
    """
    environ = merged(given, files or {})
    problems = [f"{name} is missing or empty" for name in missing(environ)]

    def read(name: str, rule: Callable[[str], str | None], default: str = "") -> str:
        value = environ.get(name) or default
        if value and (problem := rule(value)):
            problems.append(f"{name}={value[:100]!r} {problem}")
            return ""
        return value

    def path(name: str, default: str = "") -> str:
        return "/" + os.path.normpath(read(name, _path_problem, default) or "/").lstrip("/")  # normpath keeps "//"

    user = read("NB_USER", _name_problem)
    root = path("SCRATCH_HOME_ROOT")
    home = path("SCRATCH_HOME", f"{root.rstrip('/')}/{user}")
    if user and (home == f"/home/{user}" or home.startswith(f"/home/{user}/")):
        problems.append(f"SCRATCH_HOME={home!r} lies in /home/{user}, which ends with the pod: put it on the scratch")
    path("MLO_SECRETS_DIR", SECRETS_DIR)
    settings = Settings(
        user=user,
        uid=int(read("NB_UID", _id_problem) or 0),
        group=read("NB_GROUP", _name_problem),
        gid=int(read("NB_GID", _id_problem) or 0),
        scratch_home_root=root,
        scratch_home=home,
        working_dir=path("WORKING_DIR"),
        hf_home=path("HF_HOME", HF_HOME),
        seed_user=read("SCRATCH_SEED_USER", _name_problem, SEED_USER),
        git_config=path("GIT_CONFIG_GLOBAL", f"{home}/.gitconfig"),
        uv_cache=path("UV_CACHE_DIR", f"{home}/.cache/uv"),
        uv_python=path("UV_PYTHON_INSTALL_DIR", f"{home}/.uv"),
        git_name=environ.get("GIT_USER_NAME", ""),
        git_email=environ.get("GIT_USER_EMAIL", ""),
        ssh_private_key=environ.get("SSH_PRIVATE_KEY_B64", ""),
        ssh_public_key=environ.get("SSH_PUBLIC_KEY", ""),
        ssh_known_hosts=environ.get("SSH_KNOWN_HOSTS", ""),
        environ=environ,
        secrets=tuple(name for name in files or {} if not given.get(name)),
    )
    if problems:
        raise SettingsError("the pod's environment cannot be used, and nothing was changed: " + "; ".join(problems))
    return settings


def _name_problem(value: str) -> str | None:
    if value in ("root", "ALL"):
        return "is a reserved name"
    if len(value) > MAX_NAME or value[0] not in _LETTERS or not _NAME.issuperset(value):
        return f"is no account name: 1 to {MAX_NAME} of letters, digits, '.', '_', '-', starting with a letter or '_'"
    return None


def _id_problem(value: str) -> str | None:
    plain = value.isascii() and value.isdigit() and value[0] != "0" and len(value) <= len(str(MAX_ID))
    return None if plain and int(value) <= MAX_ID else f"is no decimal number from 1 to {MAX_ID}"


def _path_problem(value: str) -> str | None:
    if not value.startswith("/"):
        return "is no absolute path"
    if ".." in value.split("/"):
        return "has '..' in it"
    if any(c < " " or "\x7f" <= c < "\xa0" for c in value):
        return "has a control character in it"
    return f"is longer than {MAX_PATH} bytes" if len(os.fsencode(value)) > MAX_PATH else None
