"""requirements.lock: the pins that the tests run with."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "requirements.lock").read_text()
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def pins() -> list[tuple[Requirement, list[str]]]:
    """Each pin with its hashes."""
    lines = [line for line in LOCK.replace("\\\n", "").splitlines() if line and not line.startswith("#")]
    return [(Requirement(line.partition(" --hash")[0]), re.findall(r"--hash=(\S+)", line)) for line in lines]


def wanted() -> list[Requirement]:
    """What pyproject.toml asks for: to run, to develop, and to build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = (
        project["project"]["dependencies"],
        *project["dependency-groups"].values(),
        project["build-system"]["requires"],
    )
    return [Requirement(each) for names in lists for each in names if isinstance(each, str)]  # else: another group


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_has_one_version_of_each_package_that_pyproject_asks_for_and_it_will_do(python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    holds = [pin for pin, _ in pins() if pin.marker is None or pin.marker.evaluate(environment)]
    for requirement in wanted():
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        versions = [
            clause.version
            for pin in holds
            if canonicalize_name(pin.name) == canonicalize_name(requirement.name)
            for clause in pin.specifier
        ]
        assert len(versions) == 1, f"{requirement}: {versions}"
        assert requirement.specifier.contains(versions[0]), f"{requirement}: {versions}"


def test_every_package_is_pinned_to_one_version_by_its_hashes_and_no_host_is_named() -> None:
    assert "://" not in LOCK
    for pin, hashes in pins():
        assert [clause.operator for clause in pin.specifier] == ["=="], pin
        assert hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), pin
