"""What the pages name is there: commands with their options, files, tests, keys."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from mlo_submit import cli
from tests.standins.runai import v1

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONTEXT = click.Context(cli.main, info_name="mlo-submit")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def snippets(page: Path) -> Iterator[str]:
    """The lines of code blocks, and what stands between backquotes in the text."""
    blocks = page.read_text().split("```")
    for number, block in enumerate(blocks):
        yield from block.splitlines() if number % 2 else re.findall(r"`([^`]+)`", block.replace("\n", " "))


@pages
def test_commands_and_their_options_are_there(page: Path) -> None:
    for snippet in snippets(page):
        found = re.search(r"^(?:\$ )?(?:eval \"\$\()?(?:mlo-submit |(?=(?:re)?run -))(.*)", snippet.strip())
        if not found:
            continue
        words = re.split(r"\s--(?:\s|$)|\s[#|]|…", found[1])[0].split()
        own = [word for word in words if word in cli.COMMANDS or word in cli.ALIASES][:1]
        assert own or not words or not words[0].islower() or words[0].startswith("-"), snippet
        command = cli.main.get_command(CONTEXT, own[0]) if own else cli.main
        assert command
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        options |= {"--help", "-h"}
        asked = {word.partition("=")[0].rstrip(',.)`"') for word in words if re.match(r"--?[a-z]", word)}
        assert asked <= options, snippet


@pages
def test_files_are_there(page: Path) -> None:
    for snippet in snippets(page):
        for path in re.findall(r"(?<![\w/.~$-])((?:docker|docs|tests|mlo_entry|mlo_submit)/[\w./-]*\w)", snippet):
            assert "NAME" in path or (ROOT / path).exists(), path


@pages
def test_tests_are_there(page: Path) -> None:
    for name in re.findall(r"`(test_\w+)`", page.read_text()):
        assert f"def {name}(" in sources("tests"), name


@pages
def test_keys_are_there(page: Path) -> None:
    """MLO_*, LDAP_*, SCRATCH_* and the like: of .env, or read by the code."""
    for key in re.findall(
        r"\b(?:MLO|LDAP|SCRATCH|RUNAI|K8S|ARCHIVE|GITHUB|SSH|GIT|NB|UV|HF)_[A-Z0-9_]+\b", page.read_text()
    ):
        assert re.search(rf"\b{key}\b", sources("mlo_submit", "mlo_entry", "docker", "tests")), key


def test_the_front_page_names_every_command() -> None:
    _, _, told = (ROOT / "README.md").read_text().partition("## Commands\n")
    table = re.findall(r"^\|.*", told.partition("\n## ")[0], re.MULTILINE)
    named = re.findall(r"`([a-z][a-z-]+)`", " ".join(table))
    assert sorted(named) == sorted(cli.COMMANDS)


def test_the_front_page_names_every_stage_of_the_tests() -> None:
    shown = re.findall(r"^(\w+) +\d+ s  passed$", (ROOT / "README.md").read_text(), re.MULTILINE)
    all_of_them = re.search(r"\|\| stages=\((.*)\)", (ROOT / "tests/run.sh").read_text())
    assert all_of_them
    assert shown == all_of_them[1].split()


def test_run_ai_by_hand() -> None:
    """The stand-in, which knows the flags that are documented and no other, takes what the page types."""
    block = re.search(r"```sh\n(runai submit .*?)```", (ROOT / "docs/runai.md").read_text(), re.DOTALL)
    assert block
    assert v1.run(shlex.split(block[1].replace("\\\n", ""))[1:]) == 0


def test_what_is_the_labs_is_told() -> None:
    """Each file of the programs that names this lab, its paths or its GPUs is in adapting.md."""
    lab = re.compile(r"epfm?l|mloscratch|mljaggi|MLO-unit|83070|177449|/roce|\b[ah][12]00\b", re.IGNORECASE)
    told = (ROOT / "docs/adapting.md").read_text()
    programs = [path for tree in ("mlo_entry", "mlo_submit", "docker") for path in (ROOT / tree).rglob("*")]
    for path in programs:
        if path.is_file() and path.suffix != ".pyc" and lab.search(path.read_text()):
            assert re.search(rf"\b{re.escape(path.name)}\b" if path.suffix else path.name, told), path


@cache
def sources(*trees: str) -> str:
    """The text of programs and of their examples."""
    files = (path for tree in trees for path in (ROOT / tree).rglob("*") if path.is_file())
    return "".join(path.read_text() for path in files if path.suffix in ("", ".py", ".sh", ".example"))
