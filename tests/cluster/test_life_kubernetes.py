"""The states of a job and the reasons for them, as a real Kubernetes makes them and `mlo-submit` tells them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.cluster.jobs import TRAINING
from tests.cluster.lab import Lab, Laptop, until

Told = dict[str, Any]

WAITS = ("--train", "--grace", "5", "--", "sleep", "600")


def listed(laptop: Laptop) -> Told | None:
    """The job of this test in `list --json`."""
    done = laptop.submit("list", "--json")
    assert done.returncode == 0, done.stderr
    return next((job for job in json.loads(done.stdout) if job["name"] == laptop.name), None)


def described(laptop: Laptop) -> Told:
    done = laptop.submit("describe", laptop.name, "--json")
    assert done.returncode == 0, done.stderr
    found: Told = json.loads(done.stdout)
    return found


def comes_to(laptop: Laptop, state: str, reason: str = "") -> Told:
    """Wait until the job is in a state, for a reason that starts so; `describe` tells the same."""
    seen: set[tuple[str, str]] = set()

    def there() -> Told | None:
        job = listed(laptop)
        if job:
            seen.add((job["state"], job["reason"]))
        return job if job and job["state"] == state and job["reason"].startswith(reason) else None

    try:
        found: Told = until(there, f"{laptop.name} is {state}: {reason}")
    except AssertionError as error:
        raise AssertionError(f"{error}; seen: {sorted(seen)}") from None
    return found


def happened(laptop: Laptop) -> list[str]:
    return [event["text"] for event in described(laptop)["events"]]


# ---- what a job waits for


@pytest.mark.parametrize(
    ("flags", "state", "reason"),
    [
        (("--gpus", "9"), "Pending", "no node has 9 free nvidia.com/gpu"),
        (("--node-type", "b300"), "Pending", "no node takes it: of 1, 1 not of its node selector"),
        (
            ("--image", "registry.invalid/lab/image:1"),
            "Starting",
            "the image registry.invalid/lab/image:1 cannot be pulled: ",
        ),
    ],
    ids=["gpus", "node type", "image"],
)
def test_what_it_waits_for(laptop: Laptop, flags: tuple[str, ...], state: str, reason: str) -> None:
    laptop.launch(*flags, *WAITS)
    found = comes_to(laptop, state, reason)
    assert found["started"] is None
    assert any(text.startswith(reason) for text in happened(laptop)), "the timeline has the same words"


@pytest.mark.parametrize(
    ("volume", "change", "state", "reason"),
    [
        ("scratch", {"persistentVolumeClaim": {"claimName": "gone"}}, "Pending", "PVC gone does not exist"),
        ("secrets", {"secret": {"secretName": "gone"}}, "Starting", "the Secret gone does not exist"),
    ],
)
def test_a_volume_that_is_not_there(
    laptop: Laptop, lab: Lab, volume: str, change: Told, state: str, reason: str
) -> None:
    """What was there when the job was submitted, and no longer is."""
    job = yaml.safe_load(laptop.submit("run", "--name", laptop.name, "--dry-run", *WAITS).stdout)
    volumes = job["spec"]["template"]["spec"]["volumes"]
    next(each for each in volumes if each["name"] == volume).update(change)
    lab.create(job)
    comes_to(laptop, state, reason)


@pytest.fixture
def no_gpus(lab: Lab) -> Iterator[None]:
    """A quota of the namespace that leaves no GPU."""
    if not lab.own:
        pytest.skip("needs a quota of our own")
    admin = ["kubectl", f"--kubeconfig={lab.as_user('admin')}", f"--namespace={lab.namespace}"]
    subprocess.run([*admin, "create", "quota", "none", "--hard=requests.nvidia.com/gpu=0"], check=True)
    yield
    subprocess.run([*admin, "delete", "quota", "none"], check=True)


def test_a_quota(laptop: Laptop, no_gpus: None) -> None:
    laptop.launch("--gpus", "1", *WAITS)
    comes_to(laptop, "Pending", "the quota none has no room for 1 more requests.nvidia.com/gpu (0 of 0 used)")


# ---- how it ends


@pytest.mark.parametrize(
    ("flags", "command", "state", "reason", "code"),
    [
        ((), "exit 0", "Succeeded", "", 0),
        ((), "exit 3", "Failed", "exit code 3", 3),
        ((), "kill -9 $$", "Failed", "ended by signal 9", 137),
        (("--memory", "128Mi"), "python3 -c \"b'x' * (1 << 30)\"", "Failed", "OOM killed at 128Mi", 137),
        (("--time", "5s"), "sleep 600", "Failed", "time limit", 143),
    ],
    ids=["success", "exit code", "signal", "memory", "time"],
)
def test_how_it_ends(laptop: Laptop, flags: tuple[str, ...], command: str, state: str, reason: str, code: int) -> None:
    laptop.launch("--train", *flags, "--command", command)
    found = comes_to(laptop, state, reason)
    assert (found["reason"], found["exit_code"]) == (reason, code)
    assert found["created"] <= found["started"] <= found["finished"]
    end = happened(laptop)[-1]
    assert end == state.lower() + (f": {reason}" if reason else "")


def test_a_retry(laptop: Laptop) -> None:
    """A job that failed once says so while it waits, and counts it when it runs."""
    once = "[ -e failed ] && exec sleep 600; touch failed; exit 4"
    laptop.launch("--train", "--retries", "1", "--command", once)
    comes_to(laptop, "Pending", "is tried again after exit code 4")
    assert comes_to(laptop, "Running")["restarts"] == 1
    assert "its pod ended: exit code 4" in happened(laptop)


# ---- what happens to it


def test_preempted_and_running_again(laptop: Laptop, lab: Lab) -> None:
    """How often it gave way is known though Kubernetes forgets the pods."""
    laptop.launch("--gpus", "1", *WAITS)
    for often in ("once", "twice"):
        (pod,) = comes_to(laptop, "Running")["pods"]
        lab.evict(pod["name"])
        comes_to(laptop, "Preempted", "evicted: its node was to be emptied")
        found = comes_to(laptop, "Running", f"preempted {often}")
    assert found["restarts"] == 2
    assert happened(laptop).count("runs") == 2, "and once more on the node where it is"


def test_stopped_and_resumed(laptop: Laptop, lab: Lab, scratch: Callable[[str], str]) -> None:
    """It has its grace period for a checkpoint, and goes on from there, though it may not fail even once."""
    job = laptop.launch(*TRAINING)
    lab.wait_for_log(job, "started")
    stopped = laptop.submit("stop", job)
    assert stopped.returncode == 0, stopped.stderr
    comes_to(laptop, "Stopped")
    assert scratch(f"{laptop.working_dir}/checkpoint") == "trained"
    resumed = laptop.submit("resume", job)
    assert resumed.returncode == 0, resumed.stderr
    comes_to(laptop, "Succeeded")
    assert {"suspended", "resumed"} & set(happened(laptop))
    again = laptop.submit("stop", job)
    assert again.returncode == 73
    assert "ended" in again.stderr


def test_being_deleted(laptop: Laptop, lab: Lab, scratch: Callable[[str], str]) -> None:
    """While the checkpoint is written, it is there and says why; then it is gone."""
    job = laptop.launch("--env", "WRITES=8", *TRAINING)
    lab.wait_for_log(job, "started")
    lab.kubectl("delete", "job", job, "--cascade=foreground", "--wait=false")
    comes_to(laptop, "Stopping", "is being deleted")
    until(lambda: listed(laptop) is None, f"{job} is gone")
    assert scratch(f"{laptop.working_dir}/checkpoint") == "trained"
    assert laptop.submit("describe", job).returncode == 73


def test_deleted_now(laptop: Laptop, lab: Lab) -> None:
    """Without its grace period, and without a successor: its pod does not live to write."""
    job = laptop.launch("--train", "--grace", "600", "--command", "trap '' TERM; while :; do sleep 1; done")
    comes_to(laptop, "Running")
    assert laptop.submit("delete", job, "--now", "--yes").returncode == 0
    until(lambda: not lab.pods(job), "its pod is gone", 20)
    assert listed(laptop) is None
