"""Writes docs/reference from the code: `python -m docs.tools.reference`. A test fails where they differ."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from docs.tools import variables
from mlo_entry import environment, settings
from mlo_entry import errors as entry_errors
from mlo_entry.host import Host
from mlo_submit import cli, errors
from mlo_submit.commands.manual import Page

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
NOTE = "<!-- Made by `python -m docs.tools.reference`: change the code that this tells of. -->\n\n"

_CONTEXT = click.Context(cli.main, info_name="mlo-submit")
_ASSIGNMENT = re.compile(r"(?:# )?([A-Z][A-Z0-9_]*)=(.*)")


def pages() -> dict[str, str]:
    """The pages of docs/reference by their names."""
    return {
        "commands.md": NOTE + commands(),
        "environment.md": NOTE + environment_page(),
        "exit-codes.md": NOTE + exit_codes(),
    }


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of Markdown, with an empty line behind it."""
    lines = (head, ("---",) * len(head), *rows)
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in lines) + "\n"


def commands() -> str:
    """The page of the commands: usage, help, options and examples of each."""
    shared = _names(cli.main)
    text = "# Commands\n\nEach command has these options, before its name or behind it, and `--help`:\n\n"
    text += table(("option", "meaning"), _options(cli.main, {"version"}))
    for name in cli.COMMANDS:
        command = _command(name)
        usage = " ".join(command.collect_usage_pieces(click.Context(command, parent=_CONTEXT)))
        text += f"## {name}\n\n```text\nmlo-submit {name} {usage}\n```\n\n"
        text += f"{_escaped(inspect.cleandoc(command.help or ''))}\n\n"
        told = shared
        if name != "run" and _names(_command("run")) <= _names(command):
            text += "It has all options of [run](#run), each to change what was submitted.\n\n"
            told = _names(_command("run"))
        if rows := list(_options(command, told)):
            text += table(("option", "meaning"), rows)
        lines = (f"# {purpose}\n{line}\n" for purpose, line in command.examples.items())
        text += "```sh\n" + "\n".join(lines) + "```\n\n"
    return text.rstrip("\n") + "\n"


def _command(name: str) -> Page:
    command = cli.main.get_command(_CONTEXT, name)
    assert isinstance(command, Page)  # noqa: S101  # as a test of the commands says
    return command


def _names(command: click.Command) -> set[str]:
    return {parameter.name or "" for parameter in command.params}


def _options(command: click.Command, told: set[str]) -> Iterator[tuple[str, str]]:
    context = click.Context(command, parent=_CONTEXT)
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record and parameter.name not in told:
            names, meaning = record
            yield f"`{names.replace('|', ', ')}`", _escaped(meaning)


def environment_page() -> str:
    """The page of the variables, of .env, of mlo-submit and of a pod."""
    text = "# Variables\n\n## `.env`\n\n"
    text += "What `mlo-submit` reads from its file, as [.env.example](../../.env.example) has it.\n\n"
    for title, keys in env_sections():
        rows = ((f"`{name}`", value and f"`{value}`", _escaped(meaning)) for name, value, meaning in keys)
        text += f"### {title}\n\n" + table(("key", "in the example", "meaning"), rows)
    text += "## The environment of `mlo-submit`\n\n"
    text += table(("variable", "meaning"), ((f"`{name}`", meaning) for name, meaning in variables.MACHINE.items()))
    text += "## The environment of a pod\n\nWhat a pod has itself stays: `run --env NAME=VALUE` wins.\n\n"
    for title, meanings, values in (
        ("What a boot needs", variables.REQUIRED, {}),
        ("What it may be given", variables.OPTIONAL, _defaults()),
        ("What it sets for the command and for sessions", variables.SESSION, _session()),
    ):
        rows = ((f"`{name}`", f"`{values[name]}`" if name in values else "", text) for name, text in meanings.items())
        text += f"### {title}\n\n" + table(("variable", "value", "meaning"), rows)
    for title, meanings in (
        ("Of pods that work together", variables.TOGETHER),
        ("Of a task of an array", variables.TASK),
        ("What `mlo-submit` sets beside", variables.BESIDE),
    ):
        text += f"### {title}\n\n" + table(("variable", "meaning"), ((f"`{n}`", what) for n, what in meanings.items()))
    return text.rstrip("\n") + "\n"


def env_sections() -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The sections of .env.example: the title, and of each key the name, the value and the comment above it."""
    sections: list[tuple[str, list[tuple[str, str, str]]]] = []
    comment: list[str] = []
    for line in (ROOT / ".env.example").read_text().splitlines():
        if line.startswith("# --- "):
            sections.append((line.removeprefix("# --- "), []))
            comment = []
        elif sections and (key := _ASSIGNMENT.fullmatch(line)):
            sections[-1][1].append((key[1], key[2], " ".join(comment)))
            comment = []
        else:
            comment.append(line.removeprefix("# "))
    return sections


def _defaults() -> Mapping[str, str]:
    return {"SCRATCH_SEED_USER": settings.SEED_USER, "MLO_SECRETS_DIR": settings.SECRETS_DIR}


def _session() -> Mapping[str, str]:
    """What a boot sets, in terms of what it was given."""
    given = {name: f"/{name}" for name in settings.REQUIRED} | {"NB_USER": "NB_USER", "NB_GROUP": "G"}
    given |= {"NB_UID": "1", "NB_GID": "1", "SCRATCH_HOME": "/SCRATCH_HOME"}
    host = Host("", "", "", b"", ("/", "/WORKING_DIR"), (), ())
    found = environment.session(settings.from_environ(given), host) | {"SCRATCH_HOME": "/SCRATCH_HOME_ROOT/NB_USER"}
    return {name: re.sub(r"^/(?=SCRATCH)", "", value) for name, value in found.items()}


def exit_codes() -> str:
    """The page of the exit codes, of mlo-submit and of a pod."""
    submit = errors.CODES | _codes(errors.MloError)
    pod = _codes(entry_errors.BootError)
    return (
        "# Exit codes\n\n## `mlo-submit`\n\n"
        + table(("code", "meaning"), ((str(code), submit[code]) for code in sorted(submit)))
        + """\
With `run --follow` and `logs --follow --exit-code` the exit code is the job's own, with `shell` and `exec` the
command's. A time limit gives 143. run:ai tells no exit code: where no kubeconfig lets the job's pods be seen, it is
0 or 1.

## A pod

"""
        + table(("code", "meaning"), ((str(code), pod[code]) for code in sorted(pod)))
        + """\
Any other is the command's own: 128+n when signal n ended it, 137 also when it failed and the kernel had killed one of
its processes for want of memory, 143 whatever it made of its time limit, 126 or 127 when it cannot be started, and 75
of a worker whose master did not answer within the time of `--wait-for-master`. `mlo-task` ends with 64 where there is
no array, or the pod's place in it cannot be told, and with 73 where no task can be claimed on scratch.
"""
    )


def _codes(base: type[errors.MloError] | type[entry_errors.BootError]) -> dict[int, str]:
    """The exit codes of the errors that a module has, and what they mean."""
    found = (each for each in base.__subclasses__() if each.__module__ == base.__module__)
    return {each.exit_code: _escaped((each.__doc__ or "").partition("\n")[0].rstrip(".")) for each in found}


def _escaped(text: str) -> str:
    """Prose as Markdown, in which only backticks mean something."""
    parts = re.split("(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("*", "\\*").replace("<", "&lt;") for part in parts)


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text)
