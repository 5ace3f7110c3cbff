"""Jobs with workers as a JobSet and as a PyTorchJob, by their real controllers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cluster.controllers import administer, build, running, webhooks
from tests.cluster.lab import Lab, Laptop, until
from tests.cluster.test_life_kubernetes import comes_to, happened
from tests.cluster.test_workers import ALLREDUCE

KINDS = ("jobset", "pytorchjob")


@pytest.fixture(scope="module", autouse=True)
def operators(lab: Lab) -> Iterator[None]:
    """Both controllers, and their types, which the members may use."""
    if not lab.own:
        pytest.skip("needs controllers of our own")
    programs = build("operators")
    hooks = [
        hook
        for name, path in (("jobset", "-jobset"), ("training", "-pytorchjob"))
        for hook in webhooks(lab, programs / f"webhooks/{name}.yaml", name, 9444, path)
    ]
    manifests = (programs / "crds", programs / "roles")
    with running(lab, programs / "operators", "operators", manifests, hooks):
        yield
        administer(lab, "delete", f"--filename={programs}/crds", "--wait=false")


@pytest.mark.parametrize("kind", KINDS)
def test_three_ranks_meet_and_go_together(laptop: Laptop, lab: Lab, kind: str) -> None:
    """It is one job in every look, and all that was made for it goes with it."""
    job = laptop.launch("--workers", "2", "--kind", kind, "--", "python3", "-c", ALLREDUCE)
    found = comes_to(laptop, "Succeeded")
    assert [pod["rank"] for pod in found["pods"]] == [0, 1, 2]
    names = [each["name"] for each in json.loads(laptop.submit("list", "--json").stdout)]
    assert [name for name in names if name.startswith(job)] == [job]
    logs = laptop.submit("logs", job).stdout
    for rank in range(3):
        assert f"rank {rank} of 3 on " in logs
    assert logs.count(": the sum is 6\n") == 3
    assert "rank 1 of 3" in laptop.submit("logs", "--worker", "1", job).stdout
    assert happened(laptop)[-1] == "succeeded"
    assert laptop.submit("delete", "--yes", job).returncode == 0
    every = f"{kind},job,pod,service"
    until(lambda: job not in lab.kubectl("get", every, "--output=name"), f"nothing is left of {job}", 20)
