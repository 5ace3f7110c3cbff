"""The command line: a group whose commands are imported when they are called."""

from __future__ import annotations

import errno
import importlib
import os
from typing import TYPE_CHECKING

import click

from mlo_submit import terminal
from mlo_submit.commands import common
from mlo_submit.commands.manual import Page
from mlo_submit.errors import INTERRUPTED, MloError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Each command: the module of its group, its name there, and what it does.
COMMANDS = {
    "run": ("run", "command", "Launch a job."),
    "rerun": ("rerun", "command", "Launch a job again, with flags changed."),
    "list": ("look", "list_jobs", "Show your jobs, newest first."),
    "describe": ("look", "describe", "Tell all about a job, and why it is so."),
    "logs": ("logs", "command", "Show what a job prints."),
    "shell": ("enter", "shell", "Open a shell in a job."),
    "exec": ("enter", "execute", "Run a command in a job."),
    "port-forward": ("forward", "command", "Reach a port of a job from this machine."),
    "code": ("enter", "code", "Open an editor in a job."),
    "queue": ("queue", "command", "Show your queues, their quota, and what waits before your jobs."),
    "stop": ("finish", "stop", "Set a job aside."),
    "resume": ("finish", "resume", "Let a stopped job go on."),
    "delete": ("finish", "delete", "End jobs, and delete them."),
    "cleanup": ("finish", "cleanup", "Delete finished jobs, and what no job uses any more."),
    "archive": ("archive", "command", "Copy a directory of scratch to the long-term store, or back."),
    "doctor": ("doctor", "command", "Check what can go wrong before it does."),
    "init": ("init", "command", "Write a .env, asking for what cannot be guessed."),
    "sync-secret": ("secret", "command", "Mirror .env into the Kubernetes Secret."),
    "completion": ("completion", "command", "Print what makes your shell complete commands and jobs."),
}
ALIASES = {"ls": "list"}


class Commands(Page, click.Group):
    """A group that knows the help of its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        found = getattr(importlib.import_module(f"mlo_submit.commands.{module}"), name)
        assert isinstance(found, click.Command)  # noqa: S101  # for the type checker
        return found

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """The commands or options that begin so, from the table."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=what) for name, (*_, what) in COMMANDS.items() if name.startswith(incomplete)]

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a file or directory that cannot be had is a message, as everything else that goes wrong."""
        ctx.color = terminal.colours(os.environ)
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):  # which is a Ctrl-C at one of click's questions
            click.echo(err=True)  # the terminal showed ^C
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise MloError(f"{error.filename or 'the system'}: {error.strerror or error}.") from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, as part of --help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"mlo-submit {version('mlo')}")
        except PackageNotFoundError:
            click.echo("mlo-submit, from a checkout that is not installed")
        context.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    short_help="Launch jobs on a GPU cluster, and live with them.",
    examples={
        "Once, on a new machine": "mlo-submit init && mlo-submit doctor",
        "Train on one GPU": "mlo-submit run -n train -g 1 --train -- python train.py",
        "Watch it": "mlo-submit logs -f train",
        "Every job, and why one waits": "mlo-submit list && mlo-submit describe --why train",
    },
    see_also=("mlo-submit COMMAND --help", "docs/submit.md", "docs/managing_workflows.md"),
)
@common.shared_options
@click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version.")
def main() -> None:
    """Launch jobs on run:ai, on Kubernetes, or in Docker on this machine, from one description in .env."""
