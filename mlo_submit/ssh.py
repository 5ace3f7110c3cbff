"""Programs on another machine, over one login."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mlo_submit import process, shell
from mlo_submit.errors import UnavailableError
from mlo_submit.machine import Machine

LOST = 255  # ssh's own exit code, when the connection cannot be made or breaks
ALIVE = ("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4")  # a dead connection is noticed within a minute


# Ends a program when we are gone, by a Ctrl-C or with the connection: its standard input then ends. sshd gives each
# command a process group.
LIFELINE = """\
exec 3<&0 </dev/null
{ cat <&3; kill 0; } >/dev/null 2>&1 &
"$@"
code=$?
kill $!
exit $code"""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine that one is logged in to. The words of an argv arrive there as they are; a program ends with us."""

    machine: Machine
    ssh: tuple[str, ...]

    def run(self, argv: Sequence[str]) -> process.Result:
        """Run a program to its end and keep what it prints."""
        with _open() as stdin:
            return process.run(self.machine, self._there(argv), stdin=stdin)

    def stream(self, argv: Sequence[str], *, to_stderr: bool = False) -> int:
        """Run a program that prints to our own stdout (or stderr) and stderr. Returns its exit code."""
        with _open() as stdin:
            return process.stream(self.machine, self._there(argv), to_stderr=to_stderr, stdin=stdin)

    def _there(self, argv: Sequence[str]) -> list[str]:
        return [*self.ssh, shell.join(["sh", "-c", LIFELINE, "sh", *argv])]


@contextmanager
def _open() -> Iterator[int]:
    """A standard input that is empty, and ends when we do."""
    ours, theirs = os.pipe()
    try:
        yield ours
    finally:
        os.close(ours)
        os.close(theirs)


@contextmanager
def login(machine: Machine, host: str) -> Iterator[Host]:
    """Log in once, asking what there is to ask where there is a terminal; every program goes over this connection.

    Raises:
        UnavailableError: ssh did not get in; it has said why.
    """
    import tempfile

    # Not a terminal of its own there: a Ctrl-C is ours, and what a program prints stays as it is.
    with tempfile.TemporaryDirectory(prefix="mlo-") as directory:
        shared = ["ssh", "-o", f"ControlPath={directory}/s"]
        quiet = [] if sys.stdin.isatty() else ["-o", "BatchMode=yes"]
        master = [*shared, "-o", "ControlMaster=yes", "-o", "ControlPersist=60", "-o", "ClearAllForwardings=yes"]
        code = process.stream(machine, [*master, *ALIVE, *quiet, "-f", "-N", "--", host], to_stderr=True)
        if code:
            raise UnavailableError(
                f"ssh does not get in to {host} (ARCHIVE_HOST): its reason is above. Try `ssh {shell.quote(host)}`."
            )
        try:
            yield Host(machine=machine, ssh=(*shared, *quiet, "--", host))
        finally:
            process.run(machine, [*shared, "-O", "exit", "--", host])
