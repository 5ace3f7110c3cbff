"""The examples on the pages do what the pages show, in Docker."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.laptop import GID, UID
from tests.examples import ROOT, marked, matches, pages

ENV = f"""\
LDAP_USERNAME=jdoe
LDAP_UID={UID}
LDAP_GROUPNAME=MLO-unit
LDAP_GID={GID}
RUNAI_IMAGE=mlo:dev
RUNAI_PROJECT=mlo-jdoe
RUNAI_SECRET_NAME=jdoe-env
K8S_NAMESPACE=runai-lab
SCRATCH_PVC=mlo-scratch
HF_TOKEN=hf_of_this_test
MLO_BACKEND=docker
"""
EXAMPLES = {page: found for page in pages() if (found := [e for e in marked(page.read_text()) if e.runner == "docker"])}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], subprocess.CompletedProcess[str]]]:
    """Runs a command as the pages have it, in a project that holds docs/examples, on a laptop with a .env."""
    image = os.environ.get("MLO_IMAGE") or pytest.skip("MLO_IMAGE names no image")
    user = f"jdoe{secrets.token_hex(3)}"  # whose jobs are those of this test alone
    here = {"mlo:dev": image, "jdoe": user, "123456:83070": f"{UID}:{GID}"}
    project = shutil.copytree(ROOT / "docs/examples", tmp_path / "project")
    program = tmp_path / "bin/mlo-submit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m mlo_submit "$@"\n')
    program.chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    environ |= {"HOME": str(tmp_path), "PATH": f"{program.parent}:{os.environ['PATH']}"}

    def to_here(text: str) -> str:
        for shown, real in here.items():
            text = text.replace(shown, real)
        return text

    def run(command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ("bash", "-euo", "pipefail", "-c", to_here(command)),  # noqa: S607
            env=environ,
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        for shown, real in here.items():
            done.stdout = done.stdout.replace(real, shown)
        return done

    (project / ".env").write_text(to_here(ENV))
    (project / ".env").chmod(0o600)
    yield run
    for kind, remove in (("ps --all", "rm --force --volumes"), ("network ls", "network rm")):
        found = docker(*kind.split(), "--quiet", "--filter", f"label=mlo-submit/user={user}").split()
        if found:
            docker(*remove.split(), *found)


def docker(*argv: str) -> str:
    return subprocess.run(["docker", *argv], check=True, capture_output=True, text=True, timeout=60).stdout  # noqa: S607


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_what_happens(page: Path, run: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    """Its marked blocks, one after the other."""
    for example in EXAMPLES[page]:
        for step in example.steps:
            done = run(step.command)
            where = f"{page.relative_to(ROOT)}:{example.line}: {step.command}"
            if step.output:
                assert matches(step.output, done.stdout), f"{where}shows\n{step.output}but it printed\n{done.stdout}"
            else:
                assert done.returncode == 0, f"{where}ended with {done.returncode}\n{done.stdout}"
