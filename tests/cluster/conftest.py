"""A cluster for the whole session, and a laptop for each test.

MLO_TEST_KUBECONFIG runs the same tests on a cluster that exists, in the namespace of its current context. That needs
the claim MLO_TEST_PVC (mlo-scratch) of a root-squashed scratch, and the image MLO_IMAGE.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import cluster
from tests.cluster.lab import GID, GROUP, UID, USER, Lab, Laptop

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_PATH = (Path("/usr/local/bin"), Path("/usr/bin"), Path("/bin"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each test goes to whoever is free, but those with a controller of their own together."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            file, *_ = nodeid.split("::")
            return file if file.endswith(("/test_kueue.py", "/test_kinds.py")) else nodeid

    return Scheduler(config, log)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The cluster as a member meets it."""
    os.environ["KUBECACHEDIR"] = str(tmp_path_factory.mktemp("kubectl"))
    image = os.environ.get("MLO_IMAGE") or pytest.exit("these tests run through tests/cluster/run.sh", 2)
    if existing := os.environ.get("MLO_TEST_KUBECONFIG"):
        view = ["kubectl", f"--kubeconfig={existing}", "config", "view", "--minify", "--output=json"]
        config = json.loads(subprocess.run(view, check=True, capture_output=True).stdout)
        namespace = config["contexts"][0]["context"].get("namespace", "default")
        claim = os.environ.get("MLO_TEST_PVC", "mlo-scratch")
        yield Lab(Path(existing), namespace, image, claim, own=False)
    else:
        with cluster(image) as run:
            yield Lab(run / "member.kubeconfig", "runai-lab", image, "mlo-scratch", own=True)


@pytest.fixture(scope="session")
def scratch(lab: Lab) -> Iterator[Callable[[str], str]]:
    """Reads a file on scratch, as the user."""
    instance = f"scratch-{secrets.token_hex(2)}"
    pod = lab.create_pod(instance)
    lab.wait("condition=Ready", f"pod/{pod}")
    yield lambda path: lab.kubectl("exec", pod, "--", "cat", path)
    lab.delete(instance)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of mlo-submit, installed from the wheel as its users do: the checkout is not on its path."""
    directory = tmp_path_factory.mktemp("installed")
    wheels = directory / "wheels"
    environment = {**os.environ, "UV_TOOL_DIR": str(directory / "tools"), "UV_TOOL_BIN_DIR": str(directory / "bin")}
    build = ("uv", "build", "--quiet", "--wheel", "--out-dir", wheels, ROOT)
    lock = ROOT / "requirements.lock"
    install = ("uv", "tool", "install", "--quiet", "--constraints", lock, "--find-links", wheels, "mlo")
    for argv in (build, install):
        subprocess.run(argv, check=True, env=environment, cwd=directory)
    return directory / "bin"


@pytest.fixture(scope="session")
def ssh_key(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file], check=True)  # noqa: S607
    return file.read_text()


@pytest.fixture
def laptop(request: pytest.FixtureRequest, lab: Lab, installed: Path, ssh_key: str, tmp_path: Path) -> Iterator[Laptop]:
    """A laptop whose job is named after the test."""
    test = re.sub("[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:40].strip("-")
    name = f"{test}-{secrets.token_hex(2)}"
    kubectl = shutil.which("kubectl")
    assert kubectl
    made = Laptop(
        lab=lab,
        name=name,
        project=tmp_path / "project",
        path=(installed, Path(kubectl).parent, *SYSTEM_PATH),
        variables={
            "LDAP_USERNAME": USER,
            "LDAP_UID": str(UID),
            "LDAP_GROUPNAME": GROUP,
            "LDAP_GID": str(GID),
            "K8S_NAMESPACE": lab.namespace,
            "RUNAI_IMAGE": lab.image,
            "RUNAI_SECRET_NAME": name,
            "SCRATCH_PVC": lab.claim,
            "WORKING_DIR": f"/mloscratch/homes/{USER}/{name}",
            "TZ": "Europe/Zurich",
            "HF_TOKEN": "hf_of_this_test",
            "GIT_USER_NAME": '"Jane Doe"',
            "SSH_PRIVATE_KEY_B64": base64.b64encode(ssh_key.encode()).decode(),
            "EXTRA_SECRET_KEYS": "NOTE",
            "NOTE": "'two\nlines, ${literal} and \"quoted\"'",
            "MLO_BACKEND": "kubernetes",
        },
    )
    made.project.mkdir()
    made.write_env()
    yield made
    lab.delete(name, f"{name}-again")
    lab.kubectl("delete", "secret", name, "--ignore-not-found", "--wait=false")
