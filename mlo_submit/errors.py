"""What can go wrong at submission, with the exit code of `mlo-submit` (sysexits.h where it has a word for it).

    click.UsageError           2  the command line (click's own; a bad name, duration or number)
    MloError
    ├── ConfigError           64  .env: every problem of it in one message
    ├── UnavailableError      69  a cluster, an engine or a tool that does not answer or is not there
    ├── RefusedError          73  what was asked for cannot be made: a name is taken, a PVC or a namespace is missing
    └── LoginError            77  not logged in, or not allowed

With `run --follow` the exit code is the job's own. CODES are those that no error has.
"""

from __future__ import annotations

from typing import Final

import click

BOOTING: Final = 75
INTERRUPTED: Final = 130
CODES: Final = {
    0: "Done; `port-forward` also after a Ctrl-C",
    1: "Anything else; `doctor`: something is wrong",
    click.UsageError.exit_code: "The command line cannot be understood",
    BOOTING: "A pod is still booting, after two minutes",
    INTERRUPTED: "Ctrl-C",
}
"""What the exit codes mean that are no error's own."""


class MloError(click.ClickException):
    """Ends the command; its message says what happened, why, and what to do."""

    exit_code = 1


class ConfigError(MloError):
    """`.env` cannot be used."""

    exit_code = 64


class UnavailableError(MloError):
    """A cluster, an engine or a tool is not there, or does not answer (15 seconds at most)."""

    exit_code = 69


class RefusedError(MloError):
    """What was asked for cannot be made: a name is taken, a volume claim or a namespace is missing."""

    exit_code = 73


class LoginError(MloError):
    """Not logged in, or not allowed."""

    exit_code = 77


def note(message: str) -> None:
    """Tell the user something beside the command's result: on stderr, since stdout carries data."""
    click.echo(message, err=True)


def warn(message: str) -> None:
    """Tell the user what is not as it should be, though the command goes on."""
    click.secho(f"Warning: {message}", err=True, fg="yellow")
