"""Types of values on command lines: a rule of `units`, whose ValueError is a usage error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mlo_submit import units

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Value(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.3
    """A value with a rule."""

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


class Sweep(Value):
    """A file, which the shell completes."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """The files that begin so: the shell knows them."""
        return click.Path().shell_complete(ctx, param, incomplete)


class JobName(Value):
    """The name of a job that is there, by which the shell completes it."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """The jobs that are there, without those that the command line names already."""
        from click.shell_completion import CompletionItem

        from mlo_submit.commands.completion import jobs

        named = ctx.params.get(param.name or "") or ()
        return [
            CompletionItem(name, help=state)
            for name, state in jobs(ctx.obj)
            if name.startswith(incomplete) and name not in named
        ]


NAME = Value("name", units.label)
SUBDOMAIN = Value("name", units.subdomain)
DURATION = Value("duration", units.duration)
MEMORY = Value("amount", units.quantity, keep_text=True)
JOB = JobName("job", units.label)
