"""The only place that starts a program and waits for it: stdin closed, the environment built, never inherited."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def run(argv: Sequence[str], environ: Mapping[str, str], output: int = 2) -> int:
    """Run a program to its end; what it prints goes to the descriptor `output`.

    Returns its exit code, or -n when signal n ended it.

    Raises:
        OSError: it cannot be started.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    pid = os.posix_spawn(argv[0], [*argv], environ, file_actions=actions)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def printed(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """Run a program that starts no other. Returns its exit code, as `run` does, and what it printed."""
    read, write = os.pipe()
    try:
        code = run(argv, environ, write)
    finally:
        os.close(write)
        with open(read, "rb") as pipe:
            text = os.fsdecode(pipe.read())
    return code, text.strip()
