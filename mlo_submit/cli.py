"""The command line: a group whose commands are imported when they are called."""

from __future__ import annotations

import errno
import importlib

import click

from mlo_submit.commands import common
from mlo_submit.errors import MloError

COMMANDS = {
    "run": ("mlo_submit.commands.run", "Launch a job."),
    "sync-secret": ("mlo_submit.commands.secret", "Mirror .env into the Kubernetes Secret."),
    "init": ("mlo_submit.commands.init", "Write a .env, asking for what cannot be guessed."),
}


class Commands(click.Group):
    """A group that knows the help of its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        found = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(found, click.Command)  # noqa: S101  # for the type checker
        return found

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a file or directory that cannot be had is a message, as everything else that goes wrong."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise MloError(f"{error.filename or 'the system'}: {error.strerror}.") from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, as part of --help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"mlo-submit {version('mlo')}")
        except PackageNotFoundError:
            click.echo("mlo-submit, from a checkout that is not installed")
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@common.shared_options
@click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version.")
def main() -> None:
    """Launch jobs on run:ai, on Kubernetes, or in Docker on this machine, from one description in .env.

    `mlo-submit COMMAND --help` tells more of each command.
    """
