"""docs/examples/train.py through all that ends a pod: what it is told, what it saves, and where it goes on."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.cluster.lab import Lab, Laptop, until
from tests.cluster.test_life_kubernetes import comes_to

Kubectl: TypeAlias = Callable[..., subprocess.Popen[bytes]]

TRAIN = (Path(__file__).parents[2] / "docs/examples/train.py").read_text()
STEP = "    time.sleep(seconds)\n"
TERM = "TERM: a checkpoint follows this step\n"
NODES = "--selector=kubernetes.io/os=linux"


WAITS = "while not os.path.exists(f'go-{state[\"step\"]}'): time.sleep(0.1)"


def training(*, third: str = "pass", steps: int = 100, every: int = 1) -> list[str]:
    """The command, with short steps. `third` is what happens in the third, and, if it waits, in those that follow."""
    assert STEP in TRAIN
    script = TRAIN.replace(STEP, f"    if state['step'] >= 2:\n        {third}\n{STEP}")
    return ["python3", "-c", script, "--steps", str(steps), "--seconds", "0.1", "--every", str(every)]


@pytest.fixture
def admin(lab: Lab) -> Iterator[Kubectl]:
    """Starts kubectl for who may empty the only node; it is open again afterwards."""
    if not lab.own:
        pytest.skip("takes the only node, or all of its GPUs")
    tool = ("kubectl", f"--kubeconfig={lab.as_user('admin')}", f"--namespace={lab.namespace}")

    def start(*argv: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*tool, *argv], stdout=subprocess.DEVNULL)

    yield start
    assert start("uncordon", NODES).wait(60) == 0


@pytest.mark.parametrize(
    ("how", "gave_way", "waits"),
    [
        ("evicted", "evicted: its node was to be emptied", ""),
        ("preempted", "gave way to a job of higher priority", "no node has 1 free nvidia.com/gpu"),
        ("drained", "evicted: its node was to be emptied", "no node takes it: of 1, 1 closed to new pods"),
    ],
    ids=["evicted", "preempted", "drained"],
)
def test_a_job_that_gives_way_goes_on(
    laptop: Laptop, lab: Lab, admin: Kubectl, how: str, gave_way: str, waits: str
) -> None:
    """One TERM, the grace that was asked for, a checkpoint; the next pod starts there, and no retry is used up."""
    job = laptop.launch("--train", "--gpus", "1", "--grace", "5m", "--", *training(third=WAITS, steps=4, every=2))
    pod = lab.wait_for_log(job, "checkpoint at step 2")
    with laptop.start("logs", "--follow", job, stdout=subprocess.PIPE) as follows:
        if how == "evicted":
            lab.evict(pod)
        elif how == "preempted":
            urgent = lab.create_pod(laptop.name, priorityClassName="urgent", gpus=8)
        else:
            drain = admin("drain", NODES, f"--pod-selector=job-name={job}")
        grace = ("get", "pod", pod, "--output=jsonpath={.metadata.deletionGracePeriodSeconds}")
        assert until(lambda: lab.try_kubectl(*grace).stdout, "the pod is to end") == "300"
        comes_to(laptop, "Preempted", gave_way)
        lab.wait_for_log(job, TERM.rstrip())  # the node sends it when it gets to it
        lab.kubectl("exec", pod, "--", "touch", f"{laptop.working_dir}/go-2")
        if waits:
            assert comes_to(laptop, "Preempted", f"{waits}; preempted once")["restarts"] == 1
        if how == "preempted":
            lab.kubectl("delete", "pod", urgent)
        elif how == "drained":
            assert drain.wait(60) == 0
            assert admin("uncordon", NODES).wait(60) == 0
        comes_to(laptop, "Running", "preempted once")
        assert laptop.submit("exec", job, "--", "touch", f"{laptop.working_dir}/go-3").returncode == 0
        assert comes_to(laptop, "Succeeded")["restarts"] == 1
        log = follows.communicate(timeout=60)[0].decode()
    assert log.count(TERM) == 1
    assert (log.count("checkpoint at step 3\n"), log.count("resuming at step 3\n")) == (1, 1), log
    assert "failed" not in lab.get("job", job)["status"]


def test_a_grace_period_that_is_too_short(laptop: Laptop, lab: Lab) -> None:
    """The step is lost, and no more than that: a KILL is no failure when a disruption or a stop brings it."""
    job = laptop.launch("--train", "--grace", "2s", "--", *training(third="time.sleep(600)"))
    pod = lab.wait_for_log(job, "checkpoint at step 2")
    lab.evict(pod)
    comes_to(laptop, "Running", "preempted once")
    assert pod != lab.wait_for_log(job, "resuming at step 2")
    assert laptop.submit("stop", job).returncode == 0
    comes_to(laptop, "Stopped")
    assert "failed" not in lab.get("job", job)["status"]


def test_out_of_memory_is_not_tried_again(laptop: Laptop, lab: Lab) -> None:
    """It would run out at each try, also where the command outlives its greedy child, as torchrun does. With more
    memory it goes on from its last checkpoint."""
    command = f"{shlex.join(training(third='bytearray(200 << 20)', steps=4))} || exit 1"
    job = laptop.launch("--train", "--retries", "3", "--memory", "128Mi", "-c", command)
    found = comes_to(laptop, "Failed")
    assert (found["reason"], found["exit_code"], found["restarts"]) == ("OOM killed at 128Mi", 137, 0)
    log = laptop.submit("logs", job).stdout
    assert TERM not in log
    assert "[mlo] the job ended with exit code 1; 1 of its processes ran out of memory (limit 128 MiB)\n" in log
    (pod,) = lab.pods(job)
    assert "out of memory" in pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
    again = laptop.submit("rerun", job, "--name", f"{job}-again", "--memory", "1Gi", "--follow")
    assert again.returncode == 0, again.stderr
    assert "resuming at step 2\n" in again.stdout


def test_a_time_limit(laptop: Laptop, lab: Lab) -> None:
    """The wait for a place does not count. Then a TERM with the grace period, and no success; with more
    time it goes on from its checkpoint."""
    if not lab.own:
        pytest.skip("takes all GPUs of the only node")
    taken = lab.create_pod(laptop.name, gpus=8)
    command = training(steps=1_000_000, every=1_000_000)
    laptop.launch("--train", "--gpus", "1", "--time", "4s", "--", *command)
    created = datetime.fromisoformat(comes_to(laptop, "Pending", "no node has 1 free nvidia.com/gpu")["created"])
    until(lambda: datetime.now(timezone.utc) > created + timedelta(seconds=6), "it has waited longer than its time")
    comes_to(laptop, "Pending", "no node has 1 free nvidia.com/gpu")
    lab.kubectl("delete", "pod", taken)
    done = laptop.submit("logs", "--follow", "--exit-code", laptop.name)
    assert (done.returncode, done.stdout.count(TERM)) == (143, 1), done.stderr
    assert ": time limit.\n" in done.stderr
    saved = re.search(r"checkpoint (at step \d+)\n", done.stdout)
    assert saved
    assert int(saved[1].split()[-1]) > 20, "it had 4 seconds, of which a step takes a tenth"
    found = comes_to(laptop, "Failed")
    assert (found["reason"], found["exit_code"], found["restarts"]) == ("time limit", 143, 0)
    name = f"{laptop.name}-again"
    assert laptop.submit("rerun", laptop.name, "--name", name, "--time", "1h").returncode == 0
    lab.wait_for_log(name, f"resuming {saved[1]}")
