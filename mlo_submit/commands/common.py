"""What commands share: the options that stand before and after a command's name.

The group imports this for --help: it imports little itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mlo_submit import backends
from mlo_submit.backends import BACKENDS, Jobs, Name
from mlo_submit.errors import note, warn
from mlo_submit.machine import Machine

if TYPE_CHECKING:
    from mlo_submit.env import Config
    from mlo_submit.envfile import EnvFile

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Shared:
    """The values of the shared options; a later one on the command line wins."""

    machine: Machine
    env_file: str | None = None
    backend: str | None = None


def shared_options(function: F) -> F:
    """--env-file and --backend, for the group and for each of its commands."""

    def remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if context.obj is None:
            context.obj = Shared(machine=Machine.here(os.environ))
        if value is not None and parameter.name is not None:
            setattr(context.obj, parameter.name, value)

    options = (
        click.option(
            "--env-file",
            metavar="FILE",
            callback=remember,
            expose_value=False,
            help="The .env to read; else MLO_ENV_FILE, ./.env, ~/.config/mlo/.env.",
        ),
        click.option(
            "--backend",
            type=click.Choice(BACKENDS),
            callback=remember,
            expose_value=False,
            help="Where the job runs; else MLO_BACKEND, else what is there, in this order.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The jobs of the backend that the options and .env choose."""

    name: Name
    jobs: Jobs
    config: Config
    machine: Machine


def reach(shared: Shared) -> Reached:
    """Reach the jobs that are there, as far as .env says where."""
    from mlo_submit import env

    file = read(shared)
    name, _ = backends.choose(shared.backend, file.values.get("MLO_BACKEND"), shared.machine)
    backend = backends.load(name)
    config = env.configure(file, shared.machine, backend.NEEDED)
    return Reached(name=name, jobs=backend.connect(config, shared.machine), config=config, machine=shared.machine)


def line(shared: Shared, *words: str) -> str:
    """A command of ours that the user can type next: with the options that chose where this one worked."""
    from mlo_submit import shell

    chosen = [("--env-file", shared.env_file), ("--backend", shared.backend)]
    options = [word for option, value in chosen if value for word in (option, value)]
    return shell.join(["mlo-submit", *options, *words])


def tell(config: Config) -> None:
    """Show what was noticed while .env was read."""
    for text in config.warnings:
        warn(text)
    for text in config.notes:
        note(text)


def read(shared: Shared) -> EnvFile:
    """The .env that the options choose."""
    from mlo_submit import envfile

    return envfile.read(envfile.find(shared.machine, shared.env_file), shared.machine.environ)
