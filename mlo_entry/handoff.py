"""sudo and the command: argv and environment, as data."""

from __future__ import annotations

import os

from .steps.session import JOB_SH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUDO = "/usr/bin/sudo"
SECURE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENTER = 'cd "$1" || exit; shift; exec "$@"'
SHELL = ["/bin/zsh", "-l"]  # where no command is given


def argv(user: str, working_dir: str, command: Sequence[str], passed: Mapping[str, str]) -> list[str]:
    """The command line that becomes `command` as `user` in `working_dir`.

    `passed` are the variables that sudo hands on; the rest of the job's come by the script that bash reads.
    """
    names = ",".join(["BASH_ENV", *passed])
    inner = ["/bin/bash", "-c", ENTER, "bash", working_dir, *command]
    return [SUDO, "-n", "-H", f"--preserve-env={names}", "-u", user, "--", *inner]


def environ(passed: Mapping[str, str]) -> dict[bytes, bytes]:
    """The whole environment of sudo, which is root: nothing of the pod's that a program could heed."""
    variables = {"PATH": SECURE_PATH, "BASH_ENV": JOB_SH, **passed}
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
