"""Types of values on command lines: a rule of `units`, whose ValueError is a usage error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mlo_submit import units


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


NAME = Value("name", units.label)
SUBDOMAIN = Value("name", units.subdomain)
DURATION = Value("duration", units.duration)
MEMORY = Value("amount", units.quantity, keep_text=True)
