"""The pages of --help."""

from __future__ import annotations

import shlex

import click
import pytest

from mlo_submit.cli import COMMANDS, main
from mlo_submit.commands.manual import Page
from tests.unit.submit.conftest import Invoke

SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "SEE ALSO"]


def page_of(name: str) -> Page:
    found = main.get_command(click.Context(main), name) if name else main
    assert isinstance(found, Page)
    return found


def calls(line: str) -> list[list[str]]:
    """The words of each call of ours in a shell's line."""
    found: list[list[str]] = [[]]
    for word in shlex.split(line.removeprefix('eval "$(').removesuffix(')"')):
        if word in ("&&", "|"):
            found.append([])
        else:
            found[-1].append(word)
    return [words[1:] for words in found if words[0] == "mlo-submit"]


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_is_a_page_in_the_sections_of_a_manual_with_every_example_as_it_is_typed(
    invoke: Invoke, name: str
) -> None:
    result = invoke(*name.split(), "--help")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line for line in lines if line in SECTIONS] == SECTIONS
    assert lines[1].startswith(f"  mlo-submit {name}".rstrip() + " - ")
    for example in page_of(name).examples.values():
        assert f"    {example}" in lines


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_example_is_a_command_line_that_mlo_submit_takes(name: str) -> None:
    assert page_of(name).examples
    for example in page_of(name).examples.values():
        found = calls(example)
        assert found
        for words in found:
            context = main.make_context("mlo-submit", list(words))
            rest = [*context._protected_args, *context.args]
            asked = main.resolve_command(context, rest)
            assert asked[1] is not None
            asked[1].make_context(asked[0], asked[2], parent=context)
        if name:
            assert name in found[0], "the first call of a command's example is of that command"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_what_a_page_refers_to_exists_and_its_name_is_what_the_table_tells(name: str) -> None:
    page = page_of(name)
    assert page.short_help == COMMANDS[name][2]
    for other in page.see_also:
        assert other in COMMANDS or other.startswith("docs/") or other == ".env.example"
