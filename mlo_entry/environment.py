"""The environment of the job and of later sessions. Pure."""

from __future__ import annotations

import os

from . import network
from .host import is_variable
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .host import Host
    from .settings import Settings

JOB_SH = "/run/mlo/job.sh"  # a pipe: what is written to it stays nowhere
OURS = ("SSH_PRIVATE_KEY_B64", "SSH_PUBLIC_KEY", "SSH_KNOWN_HOSTS", "MLO_SECRETS_DIR")  # end with the boot
BY_SUDO = ("HOME", "USER", "LOGNAME", "SHELL")
READONLY = ("BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID")  # in bash, which has its own


class JobEnvironment(Record):
    """A job's variables by the way that they reach it: `script` by bash, `passed` by sudo."""

    script: dict[str, str]
    passed: dict[str, str]


def session(settings: Settings, host: Host) -> dict[str, str]:
    """What the boot adds to the variables of the pod; one that the pod sets itself stays."""
    home = settings.scratch_home
    variables = {
        "SCRATCH_HOME": home,
        "ZDOTDIR": f"{home}/.shell",
        "ZSH": f"{home}/.shell/.oh-my-zsh",
        "HISTFILE": f"{home}/.zsh_history",  # the real path: zsh replaces a history file that is a link
        "GIT_CONFIG_GLOBAL": settings.git_config,
        "UV_CACHE_DIR": settings.uv_cache,
        "UV_PYTHON_INSTALL_DIR": settings.uv_python,
        "HF_HOME": settings.hf_home,
        "HF_TOKEN_PATH": f"{home}/.huggingface/token",  # `hf auth login` closes the directory of the token to others
        "MLO_SESSION": "1",
    }
    if host.mount_of(settings.uv_cache) != host.mount_of(settings.working_dir):
        variables["UV_LINK_MODE"] = "copy"  # no hard link leads from one mount to another
    variables |= network.variables(settings.environ, host.rdma)
    return {name: settings.environ.get(name) or value for name, value in variables.items()}


def job(settings: Settings, host: Host) -> JobEnvironment:
    """The environment of the command: the pod's, with the session's variables, without what is the boot's alone.

    sudo is root while it starts the command, so it sees none of the variables that a program could heed: all that bash
    can set itself go by a script that bash reads as the user. sudo passes on the odd rest, names such as `a.b`.
    """
    everything = {**settings.environ, **session(settings, host)}
    kept = {
        name: value
        for name, value in everything.items()
        if name not in OURS and name not in BY_SUDO and not name.startswith("SUDO_")
    }
    script = {name: value for name, value in kept.items() if is_variable(name) and name not in READONLY}
    passed = {name: value for name, value in kept.items() if not is_variable(name) and "," not in name}
    return JobEnvironment(script, passed)


def lost(environ: Mapping[str, str]) -> list[str]:
    """The variables that nothing can hand on: no shell knows such a name, and sudo's list has commas between."""
    return [name for name in environ if "," in name]


def job_script(variables: Mapping[str, str]) -> bytes:
    """What the hand-off's bash reads as BASH_ENV: `variables` exactly, and none that sudo brought."""
    # the locale comes last: what precedes it is read byte by byte, whatever it holds
    order = sorted(variables, key=lambda name: (name == "LANG" or name.startswith("LC_"), name))
    if (level := variables.get("SHLVL", "")).isdecimal():
        variables = {**variables, "SHLVL": str(int(level) + 1)}  # `exec` takes one off
    # what bash makes of a name such as RANDOM ends with unset
    names = " ".join(["BASH_ENV", "MAIL", "PATH", "TERM", *order])
    return os.fsencode(f'unset {names} "${{!SUDO_@}}"\n') + b"".join(_exports(variables, order))


def session_script(settings: Settings, host: Host) -> bytes:
    """What a later session's shell reads: PATH, then once the rest, with the secrets that came as files.

    A login shell's /etc/profile has just replaced PATH; every other variable that the session has already stays.
    """
    environ = settings.environ
    variables = session(settings, host) | {name: environ[name] for name in settings.secrets if name not in OURS}
    own = {
        "HOME": settings.home,
        "USER": settings.user,
        "LOGNAME": settings.user,
        "SHELL": "/bin/zsh",
        "HISTFILE": variables.pop("HISTFILE"),  # an interactive bash has set its own before it reads this
    }
    optional = b"".join(
        b'[ "${%s:-}" ] || ' % os.fsencode(name) + line
        for name, line in zip(sorted(variables), _exports(variables, sorted(variables)), strict=True)
    )
    path = {"PATH": environ["PATH"]} if environ.get("PATH") else {}
    return b"".join(
        [
            *_exports(path, path),
            b'[ -z "${MLO_SESSION-}" ] || return 0\n',
            b"umask 007\n",
            b"unset %s\n" % " ".join(OURS).encode(),
            *_exports(own, own),
            optional,
        ]
    )


def _exports(variables: Mapping[str, str], order: Iterable[str]) -> list[bytes]:
    quoted = ((os.fsencode(name), os.fsencode(variables[name]).replace(b"'", b"'\\''")) for name in order)
    return [b"export %s='%s'\n" % pair for pair in quoted]
