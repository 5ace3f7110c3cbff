"""The only place that starts a program: argv lists, never a shell; stdin closed; the environment given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from mlo_submit.errors import UnavailableError
from mlo_submit.machine import Machine

if TYPE_CHECKING:
    from subprocess import Popen

NEEDED_FOR = {
    "docker": "install Docker, or choose another backend with --backend",
    "kubectl": "install kubectl (https://kubernetes.io/docs/tasks/tools), which follows logs and opens shells",
    "runai": "install the run:ai command line from your cluster's help page, or choose another backend with --backend",
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a program ended: its exit code (-n when signal n ended it) and what it printed."""

    code: int
    stdout: str
    stderr: str


def run(machine: Machine, argv: Sequence[str], *, timeout: float | None = None, stdin: int | None = None) -> Result:
    """Run a program to its end and keep what it prints. `timeout` is in seconds, `stdin` a file descriptor.

    Raises:
        UnavailableError: it is not installed, or did not end in time.
    """
    import subprocess

    try:
        done = subprocess.run(
            [_program(machine, argv[0]), *argv[1:]],
            env=dict(machine.environ),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"`{' '.join(argv[:2])}` gave no answer within {timeout:g} seconds.") from None
    return Result(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def stream(machine: Machine, argv: Sequence[str], *, to_stderr: bool = False, stdin: int | None = None) -> int:
    """Run a program that prints to our own stdout (or stderr) and stderr. Returns its exit code.

    `stdin` is a file descriptor.

    Raises:
        UnavailableError: it is not installed.
    """
    import subprocess

    done = subprocess.run(
        [_program(machine, argv[0]), *argv[1:]],
        env=dict(machine.environ),
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=2 if to_stderr else None,
        check=False,
    )
    return done.returncode


def attach(machine: Machine, argv: Sequence[str]) -> int:
    """Run a program on our terminal, or our standard streams. Returns its exit code: 128+n when signal n ended it.

    A Ctrl-C is the program's alone, and so is a TERM.

    Raises:
        UnavailableError: it is not installed.
    """
    import signal
    import subprocess

    command = [_program(machine, argv[0]), *argv[1:]]
    interrupt = signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which the program would inherit
    try:
        with subprocess.Popen(command, env=dict(machine.environ)) as program:
            signal.signal(signal.SIGTERM, lambda *_: program.terminate())
            code = program.wait()
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return 128 - code if code < 0 else code


def start(machine: Machine, argv: Sequence[str], *, stderr: IO[bytes] | int, stdout: int | None = None) -> Popen[bytes]:
    """Start a program that works beside us; what it prints is dropped, but for its messages.

    Raises:
        UnavailableError: it is not installed.
    """
    import subprocess

    return subprocess.Popen(
        [_program(machine, argv[0]), *argv[1:]],
        env=dict(machine.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if stdout is None else stdout,
        stderr=stderr,
    )


def pipes(machine: Machine, argv: Sequence[str]) -> Popen[bytes]:
    """Start a program whose two streams the caller reads.

    Raises:
        UnavailableError: it is not installed.
    """
    import subprocess

    return start(machine, argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def browse(url: str) -> bool:
    """Open a page in the user's browser. Returns whether there is one."""
    import webbrowser

    return webbrowser.open(url)


def detach(machine: Machine, argv: Sequence[str]) -> None:
    """Start a program that goes on without us: neither a Ctrl-C nor our end reaches it, and nobody sees what it prints.

    Raises:
        UnavailableError: it is not installed.
    """
    import subprocess

    subprocess.Popen(
        [_program(machine, argv[0]), *argv[1:]],
        env=dict(machine.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A Ctrl-C waits, for us and for the programs that we start, until this is over."""
    import signal

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _program(machine: Machine, name: str) -> str:
    if path := machine.which(name):
        return path
    raise UnavailableError(f"`{name}` is not on PATH: {NEEDED_FOR.get(name, 'install it')}.")
