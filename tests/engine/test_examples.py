"""The examples on the pages do what the pages show, in Docker."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.laptop import GID, UID
from tests.examples import ROOT, of
from tests.reader import Reader

ENV = """\
LDAP_USERNAME=jdoe
LDAP_UID=123456
LDAP_GROUPNAME=MLO-unit
LDAP_GID=83070
RUNAI_IMAGE=mlo:dev
RUNAI_PROJECT=mlo-jdoe
RUNAI_SECRET_NAME=jdoe-env
K8S_NAMESPACE=runai-lab
SCRATCH_PVC=mlo-scratch
HF_TOKEN=hf_of_this_test
MLO_BACKEND=docker
"""
EXAMPLES = of("docker")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Their project holds docs/examples and a .env, and ~/mlo is this checkout."""
    image = os.environ.get("MLO_IMAGE") or pytest.skip("MLO_IMAGE names no image")
    user = f"jdoe{secrets.token_hex(3)}"  # whose jobs are those of this test alone
    program = tmp_path / "bin/mlo-submit"
    program.parent.mkdir()
    (tmp_path / "mlo").symlink_to(ROOT)
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m mlo_submit "$@"\n')
    program.chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    made = Reader(
        project=shutil.copytree(ROOT / "docs/examples", tmp_path / "project"),
        environ={**environ, "HOME": str(tmp_path), "PATH": f"{program.parent}:{os.environ['PATH']}"},
        words={"mlo:dev": image, "/home/jdoe/": f"{tmp_path}/", "jdoe": user, "123456": str(UID), "83070": str(GID)},
    )
    (made.project / ".env").write_text(made.here(ENV))
    (made.project / ".env").chmod(0o600)
    yield made
    for kind, remove in (("ps --all", "rm --force --volumes"), ("network ls", "network rm")):
        found = docker(*kind.split(), "--quiet", "--filter", f"label=mlo-submit/user={user}").split()
        if found:
            docker(*remove.split(), *found)


def docker(*argv: str) -> str:
    return subprocess.run(["docker", *argv], check=True, capture_output=True, text=True, timeout=60).stdout  # noqa: S607


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_what_happens(page: Path, reader: Reader) -> None:
    """Its marked blocks, one after the other."""
    reader.follow(page, EXAMPLES[page])
