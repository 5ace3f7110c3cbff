"""docs/reference is what the code says, and the variables that it tells of are those that the code knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from docs.tools import reference, variables
from mlo_submit import env
from mlo_submit.envfile import EnvFile
from mlo_submit.machine import Machine

ROOT = Path(__file__).parents[3]
NOT_OURS = re.compile(  # of shells, sudo and the system; and words that are no variables
    r"BASH\w*|E?UID|PPID|SHELLOPTS|SHLVL|LANG|LC_\w*|HOME|LOGNAME|MAIL|PATH|SHELL|TERM|USER|SUDO_|GIT_CONFIG_NOSYSTEM"
    r"|ALL|EVERY|STOPS|SYNCHRONOUS"
)


@pytest.mark.parametrize("name", reference.pages())
def test_a_page_is_what_the_code_says(name: str) -> None:
    committed = (reference.REFERENCE / name).read_text()
    assert committed == reference.pages()[name], "run `python -m docs.tools.reference`"


def constants(package: str) -> Iterator[tuple[str, ast.AST]]:
    """The texts of a package's code that a variable could be named, each with what it is part of."""
    for file in [ROOT / package] if package.endswith(".py") else (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.Constant) and re.fullmatch("[A-Z][A-Z0-9_]+", text := str(child.value)):
                    yield text, node


def test_every_variable_of_a_pod_is_told_of() -> None:
    """What the boot knows, and what job.py adds to it."""
    read = {*variables.REQUIRED, *variables.OPTIONAL, *variables.SESSION, *variables.TOGETHER, *variables.TASK}
    assert read == {name for name, _ in constants("mlo_entry") if not NOT_OURS.fullmatch(name)}
    added = {name for name, _ in constants("mlo_submit/job.py") if not NOT_OURS.fullmatch(name)}
    assert set(variables.BESIDE) == added - read


def test_every_variable_of_the_machine_is_told_of() -> None:
    def reads(node: ast.AST) -> bool:
        """environ.get(NAME), or Machine's own way."""
        function = node.func if isinstance(node, ast.Call) else None
        return isinstance(function, ast.Attribute) and (
            function.attr == "_xdg" or (function.attr == "get" and ast.unparse(function.value).endswith("environ"))
        )

    assert set(variables.MACHINE) == {name for name, node in constants("mlo_submit") if reads(node)}


class Recorded(dict[str, str]):
    """Values of a file, which remembers what it was asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        self.asked.add(key)
        return super().get(key, default)


def test_every_key_of_env_is_in_the_example_and_has_a_meaning(tmp_path: Path) -> None:
    values = Recorded({"LDAP_USERNAME": "jdoe", "LDAP_UID": "1", "LDAP_GROUPNAME": "g", "LDAP_GID": "1"})
    file = EnvFile(path=tmp_path / ".env", values=values, lines={}, problems=(), warnings=())
    env.configure(file, Machine.here({"HOME": str(tmp_path)}))
    keys = {name: meaning for _, found in reference.env_sections() for name, _, meaning in found}
    assert values.asked == set(keys)
    assert all(keys.values())
