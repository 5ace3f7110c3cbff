"""The examples on the pages do what the pages show, on a cluster."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cluster.cluster import output
from tests.cluster.conftest import SYSTEM_PATH
from tests.cluster.lab import GID, GROUP, UID, Lab
from tests.examples import ROOT, of
from tests.reader import ASKS, Reader

ENV = f"""\
LDAP_USERNAME=jdoe
LDAP_UID={UID}
LDAP_GROUPNAME={GROUP}
LDAP_GID={GID}
RUNAI_IMAGE=mlo:dev
RUNAI_SECRET_NAME=jdoe-env
K8S_NAMESPACE=runai-lab
SCRATCH_PVC=mlo-scratch
WORKING_DIR=/mloscratch/homes/jdoe/names
HF_TOKEN=hf_of_this_test
MLO_BACKEND=kubernetes
"""
EXAMPLES = of("cluster")
CHECKOUT = {"pyproject.toml", "README.md", "LICENSE", ".env.example", "mlo_submit"}
ANSWERS = {
    "Your account on the cluster": "jdoe",
    "Its uid there": str(UID),
    "Your run:ai project": "",
    "Your namespace": "",
    "Your name in git commits": "Jane Doe",
    "Your address in git commits": "jane@example.org",
}


@pytest.fixture
def reader(request: pytest.FixtureRequest, lab: Lab, installed: Path, tmp_path: Path) -> Iterator[Reader]:
    """Their project holds docs/examples and a .env, and ~/mlo is this checkout.

    Where the page makes a .env the project is a checkout instead, in which the lab has written its .env.example.
    """
    if not lab.own:
        pytest.skip("the pages show the cluster of the tests")
    user = f"jdoe{secrets.token_hex(3)}"  # whose jobs are those of this test alone
    programs = tmp_path / "bin"
    (tmp_path / "mlo").symlink_to(ROOT)
    as_admin = f"kubectl --kubeconfig={lab.as_user('admin')}"
    made = Reader(
        project=tmp_path / "names",
        environ={
            **{name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_"))},
            "HOME": str(tmp_path),
            "PATH": os.pathsep.join(map(str, (programs, installed, program("kubectl"), program("uv"), *SYSTEM_PATH))),
            "UV_TOOL_DIR": str(tmp_path / "tools"),
            "UV_TOOL_BIN_DIR": str(programs),
            "UV_CACHE_DIR": output("uv", "cache", "dir"),
            "UV_CONSTRAINT": str(ROOT / "requirements.lock"),
            "UV_BUILD_CONSTRAINT": str(ROOT / "requirements.lock"),
            "KUBECONFIG": str(lab.kubeconfig),
        },
        words={
            "mlo:dev": lab.image,
            "mlo%3Adev": quote(lab.image),
            "/home/jdoe/": f"{tmp_path}/",
            "jdoe": user,
            "kubectl drain": f"{as_admin} drain",
            "kubectl uncordon": f"{as_admin} uncordon",
        },
        answers={**ANSWERS, "Your account on the cluster": user},
    )
    if any(ASKS in step.command for example in EXAMPLES[request.getfixturevalue("page")] for step in example.steps):
        check_out(made)
    else:
        shutil.copytree(ROOT / "docs/examples", made.project)
        (made.project / ".env").write_text(made.here(ENV))
        (made.project / ".env").chmod(0o600)
    yield made
    of_user = ("--selector", f"mlo-submit/user={user}", "--wait=false")
    lab.kubectl("delete", "job,pod,service,secret", *of_user, "--grace-period=0", "--force")
    subprocess.run([*as_admin.split(), "uncordon", "--selector=kubernetes.io/os=linux"], check=True)


def program(name: str) -> Path:
    """The directory where this machine has a program."""
    found = shutil.which(name)
    assert found, name
    return Path(found).parent


def check_out(reader: Reader) -> None:
    """What `uv tool install .` needs, and the lab's own .env.example."""

    def others(directory: str, names: list[str]) -> set[str]:
        return set(names) - CHECKOUT if Path(directory) == ROOT else {"__pycache__"}

    shutil.copytree(ROOT, reader.project, symlinks=True, ignore=others)
    example = reader.project / ".env.example"
    text = re.sub("^RUNAI_IMAGE=.*", f"RUNAI_IMAGE={reader.words['mlo:dev']}", example.read_text(), flags=re.MULTILINE)
    example.write_text(text)


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_what_happens(page: Path, reader: Reader) -> None:
    """Its marked blocks, one after the other."""
    reader.follow(page, EXAMPLES[page])
