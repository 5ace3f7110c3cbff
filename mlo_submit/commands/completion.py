"""`mlo-submit completion`: what makes a shell complete commands, options and jobs."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Final

import click

from mlo_submit.commands import common
from mlo_submit.commands.manual import Page
from mlo_submit.errors import note

LIMIT = 3.0  # seconds that somebody who pressed Tab waits for the jobs
QUICK = 0.2  # seconds: an answer that took longer is kept
KEPT = 10.0  # seconds

# Each shell: the file that it reads at its start, and the line that belongs there.
PLACES: Final = {
    "bash": ("~/.bashrc", 'eval "$(mlo-submit completion bash)"'),
    "zsh": ("~/.zshrc, after compinit", 'eval "$(mlo-submit completion zsh)"'),
    "fish": ("~/.config/fish/config.fish", "mlo-submit completion fish | source"),
}


@click.command(
    cls=Page,
    short_help="Print what makes your shell complete commands and jobs.",
    examples={
        "In ~/.zshrc, after compinit": 'eval "$(mlo-submit completion zsh)"',
        "In ~/.config/fish/config.fish": "mlo-submit completion fish | source",
    },
    see_also=("docs/submit.md",),
)
@common.shared_options
@click.argument("shell", type=click.Choice(list(PLACES)), required=False)
@click.pass_context
def command(context: click.Context, shell: str | None) -> None:
    """Print the script that makes a shell complete commands, options and the names of jobs.

    Without SHELL it is for the one that $SHELL names.
    """
    from click.shell_completion import get_completion_class

    shared: common.Shared = context.obj
    shell = shell or shared.machine.environ.get("SHELL", "").rpartition("/")[2]
    script = get_completion_class(shell) if shell in PLACES else None
    if script is None:
        raise click.UsageError(f"SHELL says {shell or 'nothing'}: name one of {', '.join(PLACES)}.")
    click.echo(script(context.find_root().command, {}, "mlo-submit", "_MLO_SUBMIT_COMPLETE").source())
    place, line = PLACES[shell]
    note(f"Put this line into {place}, and open a new shell:\n  {line}")


def jobs(shared: common.Shared) -> list[tuple[str, str]]:
    """The names and states of my jobs, to complete a command line: none where they cannot be had at once."""
    import json
    import threading
    from zlib import crc32

    machine = shared.machine
    # What else chooses the jobs changes seldom, and then this is wrong for some seconds.
    key = crc32(repr((machine.cwd, shared.env_file, shared.backend)).encode())
    kept = machine.cache / f"jobs-{key:08x}.json"
    with suppress(OSError, ValueError):
        if time.time() - kept.stat().st_mtime < KEPT:
            return [(name, state) for name, state in json.loads(kept.read_text())]
    found: list[tuple[str, str]] = []

    def ask() -> None:
        with suppress(Exception):  # a message in the middle of a command line helps nobody
            found.extend((job.name, job.state) for job in common.reach(shared).jobs.all())

    began = time.monotonic()
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(LIMIT)
    if time.monotonic() - began > QUICK:
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found))
    if asking.is_alive():
        os._exit(0)  # nothing can be told, and what the question has started would still hold the shell
    return found
