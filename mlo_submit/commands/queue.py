"""`mlo-submit queue`: what waits before my jobs."""

from __future__ import annotations

import json

import click

from mlo_submit import queues
from mlo_submit.commands import common
from mlo_submit.commands.manual import Page
from mlo_submit.errors import note


@click.command(
    cls=Page,
    short_help="Show your queues, their quota, and what waits before your jobs.",
    examples={
        "The queues of the namespace": "mlo-submit queue",
        "In a script": "mlo-submit queue --json",
    },
    see_also=(
        "list",
        "describe",
        "docs/submit.md",
    ),
)
@common.shared_options
@click.option("--json", "as_json", is_flag=True, help="As a JSON array; docs/json.md tells of its fields.")
@click.pass_obj
def command(shared: common.Shared, as_json: bool) -> None:
    """Show the queues that you may use, what is used of their quota, and how many jobs wait before each of yours.

    Only Kueue tells that. Elsewhere, a line on stderr says who does.
    """
    found = common.reach(shared).jobs.queues()
    if as_json:
        click.echo(json.dumps([queues.to_json(queue) for queue in found.queues], indent=2))
    else:
        click.echo("\n".join("\n".join(queues.as_text(queue)) + "\n" for queue in found.queues), nl=False)
    if found.note:
        note(found.note)
