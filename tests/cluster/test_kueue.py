"""Jobs in a queue of Kueue, by its real controller: one GPU, two jobs, and who gives way to whom."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import HERE, output
from tests.cluster.controllers import administer, kinds, webhooks
from tests.cluster.jobs import TRAINING
from tests.cluster.lab import Lab, Laptop, until
from tests.examples import matches, of

Told = dict[str, Any]

BRIEF = ("--train", "--gpus", "1", "--grace", "5", "--command", "until [ -e done ]; do sleep 0.1; done")
QUEUED = {"MLO_QUEUE": "team"}
[[PAGE]] = of("kueue").values()


@pytest.fixture(scope="module")
def kueue(lab: Lab) -> Iterator[None]:
    """The controller, in the network of the node, and a queue with one GPU for the members; and that of JobSets."""
    if not lab.own:
        pytest.skip("needs a Kueue of our own")
    with kinds(lab), queues(lab):
        yield


@contextmanager
def queues(lab: Lab) -> Iterator[None]:
    programs, run = Path(output(HERE / "build.sh", "kueue")), lab.kubeconfig.parent
    admin = ["kubectl", f"--kubeconfig={lab.as_user('admin')}"]

    def apply(*argv: str | Path, stdin: str = "") -> None:
        subprocess.run([*admin, "apply", "--server-side", *argv], check=True, input=stdin, text=True)

    def wait(condition: str, *what: str) -> None:
        subprocess.run([*admin, "wait", f"--for=condition={condition}", "--timeout=60s", *what], check=True)

    shutil.copy(programs / "kueue", run)
    roles = [*sorted((programs / "rbac").glob("*_viewer_role.yaml")), programs / "rbac/batch_user_role.yaml"]
    apply(f"--filename={programs}/bases", *(f"--filename={role}" for role in roles))
    # The controllers look for kinds where the API tells of them all, which it may do a moment after it serves one.
    known = [*admin, "api-resources", "--api-group=kueue.x-k8s.io", "--output=name"]
    until(lambda: "workloads.kueue.x-k8s.io" in output(*known).split(), "the API tells of Kueue's kinds")
    server = json.loads((run / "admin.kubeconfig").read_text())["clusters"][0]["cluster"]["server"]
    controller = (HERE / "kueue/controller.yaml").read_text()
    controller = controller.replace("$IMAGE", lab.image).replace("$PORT", server.rpartition(":")[2])
    apply("--filename=-", stdin=controller)
    wait("Ready", "--namespace=kueue-system", "pod/kueue")
    wait("Available", "apiservice/v1beta1.visibility.kueue.x-k8s.io")
    own = ("-batch-v1-job", "-cohort", "-clusterqueue", "-resourceflavor", "-workload", "-jobset")
    items = webhooks(lab, programs / "webhook/manifests.yaml", "kueue", 9443, *own)
    hooks = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    apply("--filename=-", stdin=hooks)
    apply(f"--filename={HERE}/kueue/queues.yaml")
    yield
    for gone in (hooks, controller):
        subprocess.run([*admin, "delete", "--filename=-", "--wait=false"], check=True, input=gone, text=True)


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


def comes_to(laptop: Laptop, name: str, state: str, reason: str = "") -> list[tuple[str, str]]:
    """Wait until `list` tells this state and reason; returns what it has told on the way, each once."""
    seen: list[tuple[str, str]] = []

    def there() -> bool:
        job = listed(laptop, name)
        seen.append((job["state"], job["reason"]))
        return seen[-1] == (state, reason)

    try:
        until(there, f"{name} is {state}: {reason}", 30)
    except AssertionError as error:
        there_is = laptop.lab.kubectl("get", "workloads,jobs,pods", "--output=wide")
        raise AssertionError(f"{error}; seen: {list(dict.fromkeys(seen))}\n{there_is}") from None
    return list(dict.fromkeys(seen))


FULL = "waits in the queue {}: 1 more nvidia.com/gpu must become free; {} before it"


def counted(told: str) -> list[tuple[int, int]]:
    """How many jobs each queue has let in, and how many wait, as `queue --json` tells."""
    return [(queue["admitted"], queue["waiting"]) for queue in json.loads(told)]


def test_jobs_wait_for_each_other(queued: Callable[..., str], laptop: Laptop) -> None:
    """Each says how many are before it, in any queue; the next starts when one ends; `queue` tells the same."""
    first = queued("first", *BRIEF)
    comes_to(laptop, first, "Running")
    second = queued("second", "--train", "--gpus", "1", "--", "true")
    comes_to(laptop, second, "Pending", FULL.format("team", "0 jobs"))
    # In a later second: those of the same one Kueue puts in any order.
    third = queued("third", "--queue", "guests", *BRIEF)
    comes_to(laptop, third, "Pending", FULL.format("guests", "1 job"))
    until(
        lambda: counted(laptop.submit("queue", "--json").stdout) == [(0, 1), (1, 1)],
        "Kueue has counted them, which it does a moment later",
    )
    done = laptop.submit("queue")
    shown = re.sub(r"\b(first|second|third)\b", rf"{laptop.name}-\1", PAGE.steps[0].output)
    assert matches(shown, done.stdout + done.stderr), done.stdout + done.stderr
    guests, team = json.loads(laptop.submit("queue", "--json").stdout)
    assert [(job["name"], job["before"], job["exact"]) for job in guests["jobs"]] == [(third, 1, True)]
    assert [(job["name"], job["before"]) for job in team["jobs"]] == [(first, None), (second, 0)]
    assert team["resources"] == [{"name": "nvidia.com/gpu", "flavor": "any", "used": "1", "quota": None}]
    told = laptop.submit("queue", "--json", kubeconfig=laptop.lab.as_user("admin")).stdout
    guests, team = json.loads(told)
    assert team["resources"] == [{"name": "nvidia.com/gpu", "flavor": "any", "used": "1", "quota": "1"}]
    assert counted(told) == [(0, 1), (1, 1)]
    assert laptop.submit("delete", first, "--yes").returncode == 0
    comes_to(laptop, second, "Succeeded")
    comes_to(laptop, third, "Running")


def test_a_job_that_can_never_start_says_so(queued: Callable[..., str], laptop: Laptop) -> None:
    """One that is too large for the quota, and one of a priority that the member may not look up."""
    much = queued("much", "--train", "--gpus", "2", "--", "true")
    never = "waits in the queue team: it asks for 2 nvidia.com/gpu of 1 in all; {} before it"
    comes_to(laptop, much, "Pending", never.format("0 jobs"))
    lost = queued("lost", "--priority", "none", "--train", "--", "true")
    untaken = "waits in the queue team: Kueue has not taken it up yet (is there a WorkloadPriorityClass none?)"
    comes_to(laptop, lost, "Pending", untaken)
    admin = laptop.lab.as_user("admin")
    done = laptop.submit("run", "--priority", "none", "--train", "--", "true", kubeconfig=admin)
    assert (done.returncode, "there is no WorkloadPriorityClass none" in done.stderr) == (73, True)


def test_an_array_is_let_in_as_far_as_the_quota_goes(queued: Callable[..., str], laptop: Laptop) -> None:
    """One task at a time, for the one GPU, although it asks for all of them."""
    name = queued("array", "--array", "0-1", "--gpus", "1", "--", "true")
    comes_to(laptop, name, "Succeeded")
    tasks = json.loads(laptop.submit("describe", "--json", name).stdout)["tasks"]
    assert (tasks["succeeded"], tasks["at_once"]) == (2, 1)


@pytest.fixture
def two_gpus(kueue: None, lab: Lab) -> Iterator[None]:
    """A quota of so many."""

    def quota(gpus: int) -> None:
        path = "/spec/resourceGroups/0/flavors/0/resources/0/nominalQuota"
        patch = json.dumps([{"op": "replace", "path": path, "value": gpus}])
        administer(lab, "patch", "clusterqueue", "lab", "--type=json", f"--patch={patch}")

    quota(2)
    yield
    quota(1)


def test_a_jobset(two_gpus: None, queued: Callable[..., str], laptop: Laptop) -> None:
    """By its label alone it waits as a Job does, for the GPUs of all its ranks, which then start together."""
    first = queued("first", *BRIEF)
    comes_to(laptop, first, "Running")
    ranks = queued("ranks", "--workers", "1", "--kind", "jobset", "--gpus", "1", "--", "true")
    comes_to(laptop, ranks, "Pending", FULL.format("team", "0 jobs"))
    _, team = json.loads(laptop.submit("queue", "--json").stdout)
    assert [(job["name"], job["before"]) for job in team["jobs"]] == [(first, None), (ranks, 0)]
    assert laptop.submit("delete", first, "--yes").returncode == 0
    comes_to(laptop, ranks, "Succeeded")
    assert laptop.submit("delete", ranks, "--yes").returncode == 0


def test_a_higher_priority_goes_first(
    queued: Callable[..., str], laptop: Laptop, lab: Lab, scratch: Callable[[str], str]
) -> None:
    """The lower job is told once, writes its checkpoint, waits, and goes on from there, though it may not fail once."""
    low = queued("low", "--gpus", "1", "--grace", "5", *TRAINING)
    lab.wait_for_log(low, "started")
    high = queued("high", "--priority", "urgent", *BRIEF)
    gave_way = f"gave way to a job of higher priority; {FULL.format('team', '0 jobs')}"
    way = comes_to(laptop, low, "Preempted", gave_way)
    comes_to(laptop, high, "Running")
    assert scratch(f"{laptop.working_dir}/low/checkpoint") == "trained"
    assert scratch(f"{laptop.working_dir}/low/signals").split() == ["15"]
    assert laptop.submit("delete", high, "--yes").returncode == 0
    way += comes_to(laptop, low, "Succeeded")
    states = [state for state, _ in groupby(state for state, _ in way)]
    assert states.count("Preempted") == 1, way
    told = json.loads(laptop.submit("describe", "--json", low).stdout)
    assert [event["text"] for event in told["events"]].count("gave way to another job of its queue") == 1
    assert (told["restarts"], lab.get("job", low)["status"].get("failed", 0)) == (0, 0)
