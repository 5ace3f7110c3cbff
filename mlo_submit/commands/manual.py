"""What --help shows: a page in the sections of a manual, with examples.

The group imports this: it imports little itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import click


class _Formatter(click.HelpFormatter):
    def write_heading(self, heading: str) -> None:
        self.write(f"{heading.upper()}\n")


class _Context(click.Context):
    formatter_class = _Formatter


class Page(click.Command):
    """A command whose --help is a page of a manual.

    Args:
        examples: what each is for, and its command line.
        see_also: other commands' names, and files of the documentation.
    """

    context_class = _Context

    def __init__(
        self, *args: Any, examples: Mapping[str, str], see_also: Sequence[str] = (), **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self.examples = examples
        self.see_also = see_also

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the page. A command line is never broken: it is there to be copied."""
        with formatter.section("Name"):
            formatter.write_text(f"{ctx.command_path} - {self.get_short_help_str(limit=100)}")
        with formatter.section("Synopsis"):
            formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), prefix="")
        with formatter.section("Description"):
            formatter.write_text(inspect.cleandoc(self.help or ""))
        self.format_options(ctx, formatter)
        with formatter.section("Examples"):
            for number, (purpose, line) in enumerate(self.examples.items()):
                if number:
                    formatter.write_paragraph()
                formatter.write_text(f"{purpose}:")
                formatter.write(f"{'':{formatter.current_indent + 2}}{line}\n")
        if self.see_also:
            with formatter.section("See also"):
                formatter.write_text(", ".join(self.see_also))
