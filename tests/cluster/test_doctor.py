"""`mlo-submit doctor` on a real cluster: nothing is wrong there, and then one thing is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.lab import HOMES, USER, Lab, Laptop

Findings = dict[str, dict[str, Any]]


def examine(laptop: Laptop, kubeconfig: Path | None = None) -> tuple[int, Findings]:
    done = laptop.submit("doctor", "--json", kubeconfig=kubeconfig)
    assert "hf_of_this_test" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    found = {item["check"]: item for item in json.loads(done.stdout)}
    assert not [item for item in found.values() if "the check itself failed" in item["found"]]
    return done.returncode, found


def wrong(found: Findings) -> list[str]:
    """The checks that are ✗, each of which must say what to do."""
    assert all(item["remedy"] for item in found.values() if item["ok"] is False)
    return [name for name, item in found.items() if item["ok"] is False]


def test_nothing_is_wrong_on_the_labs_laptop(laptop: Laptop) -> None:
    """A running job tells who made the home on scratch: the account that may, on a root-squashed export."""
    laptop.launch()
    laptop.lab.wait("condition=Ready", "pod", f"--selector=job-name={laptop.name}")
    began = time.monotonic()
    code, found = examine(laptop)
    assert time.monotonic() - began < 5
    assert (code, wrong(found)) == (0, []), found
    assert found["Secret"]["found"] == f"{laptop.name} holds what .env does"
    assert found["SSH key"]["found"] == "without a passphrase"
    assert found["volume claim"]["found"] == "mlo-scratch, 1Gi, ReadWriteMany"
    assert found["jobs"]["ok"] is True
    assert found["home on scratch"]["found"].startswith(f"{HOMES}/{USER} was made by ")
    laptop.write_env(HF_TOKEN="hf_of_this_test_anew")
    code, found = examine(laptop)
    assert (code, wrong(found)) == (1, ["Secret"])


def test_an_administrator_sees_the_nodes(laptop: Laptop, lab: Lab) -> None:
    if not lab.own:
        pytest.skip("needs an administrator")
    laptop.write_env(MLO_PRIORITY_CLASS="urgent")
    code, found = examine(laptop, lab.as_user("admin"))
    assert (code, wrong(found)) == (0, []), found
    assert found["GPUs"]["found"].startswith("h100 ")
    assert "which 1 of 1 nodes have already" in found["image"]["found"]
    assert found["priority class"] == {"check": "priority class", "ok": True, "found": "urgent", "remedy": ""}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"K8S_NAMESPACE": "somebody-elses"}, ["rights"]),
        ({"SCRATCH_PVC": "none"}, ["volume claim"]),
        ({"MLO_QUEUE": "gpu"}, ["queue"]),
        ({"MLO_KUBE_CONTEXT": "none"}, ["login"]),
    ],
)
def test_one_thing_is_wrong(laptop: Laptop, changes: dict[str, str], expected: list[str]) -> None:
    laptop.write_env(**changes)
    code, found = examine(laptop)
    assert (code, wrong(found)) == (1, expected)


def test_a_guest_may_do_nothing(laptop: Laptop, lab: Lab) -> None:
    if not lab.own:
        pytest.skip("needs a guest")
    code, found = examine(laptop, lab.as_user("guest"))
    assert (code, wrong(found)) == (1, ["rights"])
    assert found["rights"]["found"] == f"you may do nothing in {lab.namespace}"


def test_a_login_that_is_over(laptop: Laptop, lab: Lab, tmp_path: Path) -> None:
    config = json.loads(lab.kubectl("config", "view", "--raw", "--output=json"))
    config["users"][0]["user"] = {"token": "expired"}
    over = tmp_path / "over.kubeconfig"
    over.write_text(json.dumps(config))
    code, found = examine(laptop, over)
    assert (code, wrong(found)) == (1, ["server"])
    assert "you are not logged in to the cluster" in found["server"]["found"]


def test_no_kubectl_on_path(laptop: Laptop) -> None:
    laptop.environ["PATH"] = str(laptop.path[0])
    code, found = examine(laptop)
    assert (code, wrong(found)) == (1, ["kubectl"])
    assert found["kubectl"]["found"] == "`kubectl` is not on PATH"
