"""Jobs in a queue of Kueue, by its real controller: one GPU, two jobs, and who gives way to whom.

Run with MLO_TEST_KUEUE=1: once in a few runs Kueue has not let the next job in 30 s after a deletion.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.cluster import HERE, output
from tests.cluster.jobs import TRAINING
from tests.cluster.lab import Lab, Laptop, until

pytestmark = pytest.mark.skipif("MLO_TEST_KUEUE" not in os.environ, reason="MLO_TEST_KUEUE is not set")

Told = dict[str, Any]

BRIEF = ("--train", "--gpus", "1", "--grace", "5", "--command", "until [ -e done ]; do sleep 0.1; done")
QUEUED = {"MLO_QUEUE": "team"}


@pytest.fixture(scope="module")
def kueue(lab: Lab) -> Iterator[None]:
    """The controller, in the network of the node, and a queue with one GPU for the members."""
    if not lab.own:
        pytest.skip("needs a Kueue of our own")
    programs, run = Path(output(HERE / "build.sh", "kueue")), lab.kubeconfig.parent
    admin = ["kubectl", f"--kubeconfig={lab.as_user('admin')}"]

    def apply(*argv: str | Path, stdin: str = "") -> None:
        subprocess.run([*admin, "apply", "--server-side", *argv], check=True, input=stdin, text=True)

    shutil.copy(programs / "kueue", run)
    roles = [*sorted((programs / "rbac").glob("*_viewer_role.yaml")), programs / "rbac/batch_user_role.yaml"]
    apply(f"--filename={programs}/bases", *(f"--filename={role}" for role in roles))
    apply("--filename=-", stdin=(HERE / "kueue/controller.yaml").read_text().replace("$IMAGE", lab.image))
    ready = ["wait", "--for=condition=Ready", "--timeout=60s", "--namespace=kueue-system", "pod/kueue"]
    subprocess.run([*admin, *ready], check=True)
    hooks = json.dumps({"apiVersion": "v1", "kind": "List", "items": webhooks(programs, run / "tls.crt")})
    apply("--filename=-", stdin=hooks)
    apply(f"--filename={HERE}/kueue/queues.yaml")
    yield
    subprocess.run([*admin, "delete", "--filename=-"], check=True, input=hooks, text=True)
    subprocess.run([*admin, "delete", "namespace", "kueue-system", "--wait=false"], check=True)


def webhooks(programs: Path, certificate: Path) -> list[Told]:
    """Kueue's own, for Jobs and its own kinds, found at an address of the node instead of through a Service."""
    found = list(yaml.safe_load_all((programs / "webhook/manifests.yaml").read_text()))
    for configuration in found:
        configuration["metadata"]["name"] = f"kueue-{configuration['metadata']['name']}"
        configuration["webhooks"] = [
            {**each, "clientConfig": {"url": f"https://127.0.0.1:9443{path}", "caBundle": authority(certificate)}}
            for each in configuration["webhooks"]
            if "-batch-v1-job" in (path := each["clientConfig"]["service"]["path"]) or "-kueue-" in path
        ]
    return found


def authority(certificate: Path) -> str:
    return base64.b64encode(certificate.read_bytes()).decode()


@pytest.fixture
def queued(kueue: None, laptop: Laptop) -> Iterator[Callable[..., str]]:
    """Launches a job of that role in the queue."""
    laptop.write_env(**QUEUED)
    names = []

    def launch(role: str, *argv: str, **env: str) -> str:
        name = f"{laptop.name}-{role}"
        names.append(name)
        laptop.write_env(**QUEUED, **env, WORKING_DIR=f"{laptop.working_dir}/{role}")
        done = laptop.submit("run", "--name", name, *argv)
        assert done.returncode == 0, done.stderr
        return name

    yield launch
    laptop.lab.delete(*names)


def listed(laptop: Laptop, name: str) -> Told:
    done = laptop.submit("list", "--json")
    assert done.returncode == 0, done.stderr
    found: Told = next(job for job in json.loads(done.stdout) if job["name"] == name)
    return found


def comes_to(laptop: Laptop, name: str, state: str, reason: str = "") -> Told:
    seen: list[tuple[str, str]] = []

    def there() -> Told | None:
        job = listed(laptop, name)
        seen.append((job["state"], job["reason"]))
        return job if seen[-1] == (state, reason) else None

    try:
        found: Told = until(there, f"{name} is {state}: {reason}", 30)
    except AssertionError as error:
        raise AssertionError(f"{error}; seen: {list(dict.fromkeys(seen))}") from None
    return found


FULL = "waits in the queue team: 1 more nvidia.com/gpu must become free; {} before it"


def test_jobs_wait_for_each_other(queued: Callable[..., str], laptop: Laptop) -> None:
    """Each says how many are before it; the next starts when one ends; `queue` tells the same."""
    first = queued("first", *BRIEF)
    comes_to(laptop, first, "Running")
    second, third = queued("second", "--train", "--gpus", "1", "--", "true"), queued("third", *BRIEF)
    comes_to(laptop, second, "Pending", FULL.format("0 jobs"))
    comes_to(laptop, third, "Pending", FULL.format("1 job"))
    (told,) = json.loads(laptop.submit("queue", "--json").stdout)
    assert [(job["name"], job["before"]) for job in told["jobs"]] == [(first, None), (second, 0), (third, 1)]
    assert told["resources"] == [{"name": "nvidia.com/gpu", "flavor": "any", "used": "1", "quota": None}]
    (told,) = json.loads(laptop.submit("queue", "--json", kubeconfig=laptop.lab.as_user("admin")).stdout)
    assert told["resources"] == [{"name": "nvidia.com/gpu", "flavor": "any", "used": "1", "quota": "1"}]
    assert (told["admitted"], told["waiting"]) == (1, 2)
    assert laptop.submit("delete", first, "--yes").returncode == 0
    comes_to(laptop, second, "Succeeded")
    comes_to(laptop, third, "Running")


def test_a_job_that_can_never_start_says_so(queued: Callable[..., str], laptop: Laptop) -> None:
    much = queued("much", "--train", "--gpus", "2", "--", "true")
    never = "waits in the queue team: it asks for 2 nvidia.com/gpu of 1 in all; 0 jobs before it"
    comes_to(laptop, much, "Pending", never)


def test_a_higher_priority_goes_first(
    queued: Callable[..., str], laptop: Laptop, lab: Lab, scratch: Callable[[str], str]
) -> None:
    """The lower job writes its checkpoint, waits, and goes on from there, though it may not fail even once."""
    low = queued("low", "--gpus", "1", *TRAINING)
    lab.wait_for_log(low, "started")
    high = queued("high", *BRIEF, MLO_PRIORITY_CLASS="urgent")
    comes_to(laptop, low, "Preempted", f"gave way to a job of higher priority; {FULL.format('0 jobs')}")
    comes_to(laptop, high, "Running")
    assert scratch(f"{laptop.working_dir}/low/checkpoint") == "trained"
    assert laptop.submit("delete", high, "--yes").returncode == 0
    comes_to(laptop, low, "Succeeded")
