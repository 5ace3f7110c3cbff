"""sudo and the command: argv and environment, as data."""

from __future__ import annotations

import os

from .environment import JOB_SH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUDO = "/usr/bin/sudo"
SECURE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENTER = 'cd "$1" || exit; shift; exec -- "$@"'  # `--`: a command that starts with a dash is no option of exec
SHELL = ["/bin/zsh", "-l"]  # where no command is given


def argv(user: str, working_dir: str, command: Sequence[str], passed: Mapping[str, str]) -> list[str]:
    """The command line that becomes `command` as `user` in `working_dir`, once `let_go` gives it the environment.

    `passed` are the variables that sudo hands on; the rest of the job's come by the script that bash reads. Exported
    functions are given back behind that bash, in which one named `cd` or `exec` would run instead of what is meant.
    """
    names = ",".join(["BASH_ENV", *(name for name in passed if not is_function(name))])
    functions = [f"{name}={value}" for name, value in passed.items() if is_function(name)]
    inner = [
        "/bin/bash",
        "-c",
        ENTER,
        "bash",
        working_dir,
        *(["/usr/bin/env", *functions] if functions else []),
        *command,
    ]
    return [SUDO, "-n", "-H", f"--preserve-env={names}", "-u", user, "--", *inner]


def environ(passed: Mapping[str, str]) -> dict[bytes, bytes]:
    """The whole environment of sudo, which is root: nothing of the pod's that a program could heed."""
    variables = {"PATH": SECURE_PATH, "BASH_ENV": JOB_SH, **passed}
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items() if not is_function(name)}


def let_go(script: bytes) -> None:
    """Give the hand-off's bash the job's environment, which it waits for: from here on the command runs.

    A child writes what the pipe does not hold, or all where bash does not wait yet: it may never come to read it.
    """
    fd = -1
    try:
        fd = os.open(JOB_SH, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        script = script[os.write(fd, script) :]
    except OSError:
        pass
    if script and not os.fork():
        try:
            with open(JOB_SH, "wb") as pipe:
                pipe.write(script)
        finally:
            os._exit(0)
    if fd >= 0:
        os.close(fd)


def is_starting(pid: int) -> bool:
    """Whether the process is sudo, or the bash behind it, which still have the environment of the hand-off."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"BASH_ENV={JOB_SH}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def is_function(name: str) -> bool:
    """Whether a variable is a function of bash, as `export -f` writes it."""
    return name.startswith("BASH_FUNC_")
