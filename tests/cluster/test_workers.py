"""Multi-node jobs on a real Kubernetes: pods that find each other by the variables that they are given, and by DNS."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from tests.cluster.jobs import TRAIN
from tests.cluster.lab import Lab, Laptop, until
from tests.cluster.test_life_kubernetes import comes_to, happened

ALLREDUCE = (Path(__file__).parents[2] / "docs/examples/allreduce.py").read_text()


WAIT = "until [ -e go ]; do sleep 0.1; done"


def allreduce(*argv: str) -> str:
    return shlex.join(["python3", "-c", ALLREDUCE, *argv])


def go(laptop: Laptop, file: str = "go") -> None:
    """Let what waits for the file go on."""
    assert laptop.submit("exec", laptop.name, "--", "touch", f"{laptop.working_dir}/{file}").returncode == 0


def test_four_ranks_meet_and_go_together(laptop: Laptop, lab: Lab) -> None:
    """Each has the sum, their logs stand side by side, and the Service goes with the job."""
    job = laptop.launch("--workers", "3", "--", "python3", "-c", ALLREDUCE)
    assert lab.get("service", job)["spec"]["clusterIP"] == "None"
    found = comes_to(laptop, "Succeeded")
    assert [pod["rank"] for pod in found["pods"]] == [0, 1, 2, 3]
    logs = laptop.submit("logs", job).stdout
    for rank in range(4):
        assert f"{job}-{rank} │ rank {rank} of 4 on {job}-{rank}: the sum is 10\n" in logs
    alone = laptop.submit("logs", "--worker", "2", job).stdout
    assert f"\nrank 2 of 4 on {job}-2: the sum is 10\n" in alone
    assert "rank 1" not in alone
    assert laptop.submit("delete", "--yes", job).returncode == 0
    until(lambda: not lab.kubectl("get", "service", job, "--ignore-not-found"), "its Service is gone", 20)


def test_a_rank_that_dies_ends_the_job(laptop: Laptop, lab: Lab) -> None:
    """In the midst of the work; without a retry the others are ended, too, although they would go on without end."""
    job = laptop.launch("--workers", "2", "-c", f'{allreduce()}; [ "$RANK" = 2 ] && exit 3; exec sleep 600')
    found = comes_to(laptop, "Failed")
    assert (found["reason"], found["exit_code"]) == ("exit code 3 (rank 2)", 3)
    assert happened(laptop)[-1] == "failed: exit code 3 (rank 2)"
    until(lambda: all(pod["status"]["phase"] != "Running" for pod in lab.pods(job)), "none of its pods runs on")


def test_a_time_limit_of_several_ranks(laptop: Laptop, scratch: Callable[[str], str]) -> None:
    """Each ends itself, with its grace period and one TERM, though the cluster ends the others with the first."""
    train = "mkdir $RANK; cd $RANK; WRITES=$(( 1 + 3 * RANK )) exec " + shlex.join(["python3", "-c", TRAIN])
    laptop.launch("--workers", "1", "--time", "3s", "--command", train)
    found = comes_to(laptop, "Failed")
    assert (found["reason"], found["exit_code"], found["restarts"]) == ("time limit", 143, 0)
    for rank in (0, 1):
        assert scratch(f"{laptop.working_dir}/{rank}/checkpoint") == "trained"
        assert scratch(f"{laptop.working_dir}/{rank}/signals") == "15\n"


def test_a_rank_that_is_tried_again_meets_the_others(laptop: Laptop) -> None:
    """The failures of other ranks do not count as its own."""
    once = '[ "$RANK" = 0 ] || [ -e failed-$RANK ] || { touch failed-$RANK; exit 3; }'
    laptop.launch("--workers", "2", "--retries", "1", "-c", f"{once}; {allreduce()}")
    found = comes_to(laptop, "Succeeded")
    assert [pod["exit_code"] for pod in found["pods"]] == [0, 0, 0]
    assert found["restarts"] == 2


def test_a_rank_that_is_evicted_comes_back(laptop: Laptop, lab: Lab) -> None:
    """A disruption is no failure of the job: the rank has a new pod, of the same name in its domain."""
    laptop.launch("--workers", "1", "-c", f'[ "$RANK" = 1 ] || {{ {WAIT}; }}; {allreduce()}')
    found = comes_to(laptop, "Running")
    pod = next(pod["name"] for pod in found["pods"] if pod["rank"] == 1)
    lab.evict(pod)
    comes_to(laptop, "Running", "preempted once")
    go(laptop)
    assert comes_to(laptop, "Succeeded")["restarts"] == 1


def test_a_master_that_starts_last(laptop: Laptop, lab: Lab) -> None:
    """The others have its address before it listens, and keep on trying."""
    job = laptop.launch("--workers", "1", "-c", f'[ "$RANK" = 1 ] || {{ {WAIT}; }}; {allreduce()}')
    until(lambda: laptop.submit("logs", "--worker", "1", job).stdout, "rank 1 has booted")
    go(laptop)
    assert comes_to(laptop, "Succeeded")["restarts"] == 0


def test_a_master_that_the_workers_wait_for(laptop: Laptop) -> None:
    """They reach it at their first try, and say what they wait for; rank 0 does not wait."""
    late = f'[ "$RANK" = 0 ] && sleep 3; {allreduce("0")}'
    job = laptop.launch("--workers", "1", "--wait-for-master", "1m", "-c", late)
    comes_to(laptop, "Succeeded")
    logs = laptop.submit("logs", job).stdout
    assert f"{job}-1 │ [mlo] waiting for the master at {job}-0.{job}:29500 (0 of 60 s): " in logs
    assert f"{job}-0 │ [mlo] waiting" not in logs


def test_a_master_that_never_comes(laptop: Laptop) -> None:
    laptop.launch("--workers", "1", "--wait-for-master", "2s", "-c", '[ "$RANK" = 0 ] && sleep 600; exit 3')
    found = comes_to(laptop, "Failed")
    assert (found["reason"], found["exit_code"]) == ("exit code 75 (rank 1)", 75)
