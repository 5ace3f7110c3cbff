"""`mlo-submit doctor`: check what can go wrong before it does."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from mlo_submit.commands import common
from mlo_submit.commands.manual import Page
from mlo_submit.errors import note
from mlo_submit.terminal import Waiting

MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "yellow")}  # noqa: RUF001


@click.command(
    cls=Page,
    short_help="Check what can go wrong before it does.",
    examples={
        "Before the first job": "mlo-submit doctor",
        "What is wrong, in a script": "mlo-submit doctor --json | jq '.[] | select(.ok == false)'",
        "For another backend": "mlo-submit --backend docker doctor",
    },
    see_also=(
        "init",
        "docs/submit.md",
    ),
)
@common.shared_options
@click.option(
    "--json", "as_json", is_flag=True, help="As a JSON array of check, ok (true, false, null), found, remedy."
)
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check .env, your account and keys, the tools, and the cluster or the engine where your jobs would run.

    ✓ is well, ✗ is not, and the line beneath says what to do; – does not apply, or cannot be told. The exit code is 1
    with any ✗, and else 0. Nothing is changed.
    """  # noqa: RUF002
    from mlo_submit import checks
    from mlo_submit.checks.context import look

    shared: common.Shared = context.obj
    known = look(shared.machine, shared.env_file, shared.backend)
    if not as_json:
        note(f"Backend: {known.backend}.")
    width = max(len(check.name) for check in checks.CHECKS)
    found = []
    with Waiting() as waiting:
        waiting.tell("checking")
        for check, finding in checks.examine(known):
            found.append({"check": check.name, **asdict(finding)})
            if not as_json:
                mark, colour = MARKS[finding.ok]
                waiting.clear()
                click.echo(f"{click.style(mark, fg=colour)} {check.name:<{width}}  {_beneath(finding.found, width)}")
                if finding.remedy:
                    click.echo(f"  {'':<{width}}  → {_beneath(finding.remedy, width)}")
                waiting.tell("", live="checking")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    context.exit(int(any(item["ok"] is False for item in found)))


def _beneath(text: str, width: int) -> str:
    return text.replace("\n", "\n" + " " * (width + 4))
