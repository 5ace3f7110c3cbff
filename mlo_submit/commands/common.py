"""What commands share: the options that stand before and after a command's name, and types of values."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from mlo_submit import env, units
from mlo_submit.backends import BACKENDS
from mlo_submit.machine import Machine

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


def read(shared: Shared) -> env.EnvFile:
    """The .env that the options choose."""
    return env.read(env.find(shared.machine, shared.env_file), shared.machine.environ)


class Value(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.3
    """A value with a rule of `units`: a ValueError is a usage error."""

    def __init__(self, name: str, rule: Callable[[str], Any], *, keep_text: bool = False) -> None:
        self.name = name
        self.rule = rule
        self.keep_text = keep_text

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value by its rule, or the text that follows it."""
        if not isinstance(value, str):
            return value
        try:
            found = self.rule(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}.", param, ctx)
        return value if self.keep_text else found


NAME = Value("name", units.label)
SUBDOMAIN = Value("name", units.subdomain)
DURATION = Value("duration", units.duration)
MEMORY = Value("amount", units.quantity, keep_text=True)
