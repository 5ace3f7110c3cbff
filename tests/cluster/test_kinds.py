"""Jobs with workers as a JobSet and as a PyTorchJob, by their real controllers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.controllers import kinds
from tests.cluster.jobs import TRAIN
from tests.cluster.lab import Lab, Laptop, until
from tests.cluster.test_life_kubernetes import Told, comes_to, described, happened
from tests.cluster.test_workers import WAIT, allreduce, go

KINDS = ("jobset", "pytorchjob")

# A PyTorchJob has succeeded when rank 0 has, and takes away what still runs: here rank 0 is the last.
LAST = f'[ "$RANK" != 0 ] || {WAIT}'


def ends_with_rank_0(laptop: Laptop) -> Told:
    """Wait until all other ranks of a command that ends in LAST are done, and then for the job. What it has come to."""

    def others() -> list[tuple[str, int | None]]:
        return [(pod["state"], pod["exit_code"]) for pod in described(laptop)["pods"] if pod["rank"]]

    try:
        until(lambda: set(others()) == {("Succeeded", 0)}, f"the other ranks of {laptop.name} are done")
    except AssertionError as error:
        raise AssertionError(f"{error}: {described(laptop)}") from None
    go(laptop)
    comes_to(laptop, "Succeeded")
    return described(laptop)


@pytest.fixture(scope="module", autouse=True)
def operators(lab: Lab) -> Iterator[None]:
    """Both controllers."""
    if not lab.own:
        pytest.skip("needs controllers of our own")
    with kinds(lab):
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_three_ranks_meet_and_go_together(laptop: Laptop, lab: Lab, kind: str) -> None:
    """It is one job in every look, and all that was made for it goes with it."""
    job = laptop.launch("--workers", "2", "--kind", kind, "--command", f"{allreduce()}; {LAST}")
    found = ends_with_rank_0(laptop)
    assert [(pod["rank"], pod["exit_code"]) for pod in found["pods"]] == [(0, 0), (1, 0), (2, 0)]
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


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_and_resumed(laptop: Laptop, lab: Lab, scratch: Callable[[str], str], kind: str) -> None:
    """All ranks have their grace period; meanwhile a shell, an exec and a log find their containers."""
    train = "export RANK; mkdir -p $RANK; cd $RANK; exec " + shlex.join(["python3", "-c", TRAIN])
    job = laptop.launch("--workers", "1", "--kind", kind, "--command", train)
    comes_to(laptop, "Running")
    until(lambda: laptop.submit("logs", job).stdout.count("started") == 2, f"both ranks of {job} train")
    for rank in ("0", "1"):
        assert laptop.submit("exec", "--worker", rank, job, "--", "printenv", "PET_NODE_RANK").stdout == f"{rank}\n"
    stopped = laptop.submit("stop", job)
    assert stopped.returncode == 0, stopped.stderr
    comes_to(laptop, "Stopped")
    assert [scratch(f"{laptop.working_dir}/{rank}/checkpoint") for rank in (0, 1)] == ["trained", "trained"]
    assert laptop.submit("resume", job).returncode == 0
    comes_to(laptop, "Succeeded")
    assert {"suspended", "resumed"} & set(happened(laptop))


@pytest.mark.parametrize("kind", KINDS)
def test_a_rank_that_fails(laptop: Laptop, kind: str) -> None:
    """Without a retry the others are ended, and what is told is why; --replace takes the place of what has ended."""
    fails = ("--workers", "1", "--kind", kind, "--command", f'[ "$RANK" = 1 ] && exit 3; {allreduce()}')
    job = laptop.launch(*fails)
    found = comes_to(laptop, "Failed", "exit code 3 (rank 1)")  # its pods are asked for at the same time
    assert found["exit_code"] == 3
    taken = laptop.submit("run", "--name", job, *fails)
    assert (taken.returncode, "replace it with --replace" in taken.stderr) == (73, True), taken.stderr
    if kind == "jobset":
        assert laptop.submit("rerun", job, "--replace", "--", "true").returncode == 0
        comes_to(laptop, "Succeeded")


@pytest.mark.parametrize("kind", KINDS)
def test_a_rank_that_is_tried_again(laptop: Laptop, kind: str) -> None:
    """A JobSet starts all ranks anew, a PyTorchJob the one that failed."""
    once = '[ "$RANK" = 0 ] || [ -e failed ] || { touch failed; sleep 1; exit 3; }; echo begins'
    laptop.launch("--workers", "1", "--retries", "1", "--kind", kind, "--command", f"{once}; {allreduce()}; {LAST}")
    found = ends_with_rank_0(laptop)
    assert [(pod["rank"], pod["exit_code"]) for pod in found["pods"]] == [(0, 0), (1, 0)]
    assert found["restarts"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_limit(laptop: Laptop, kind: str) -> None:
    """Its pods keep it."""
    laptop.launch("--workers", "1", "--time", "3s", "--kind", kind, "--", "sleep", "600")
    found = comes_to(laptop, "Failed", "time limit")
    assert (found["exit_code"], found["restarts"]) == (143, 0)


def test_a_rank_of_a_pytorchjob_that_is_evicted_comes_back(laptop: Laptop, lab: Lab) -> None:
    """Where it may be retried, and counts as no retry. A JobSet leaves that to its Job, as test_workers has it."""
    command = f"{LAST}; {allreduce()}"
    job = laptop.launch("--workers", "1", "--kind", "pytorchjob", "--retries", "1", "--command", command)
    found = comes_to(laptop, "Running")
    pod = next(pod["name"] for pod in found["pods"] if pod["rank"] == 1)
    before = lab.get("pod", pod)["metadata"]["uid"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{lab.namespace}/pods/{pod}/eviction"
    lab.kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))

    def both() -> bool:
        pods = json.loads(lab.kubectl("get", "pods", f"--selector=app.kubernetes.io/instance={job}", "--output=json"))
        uids = [pod["metadata"]["uid"] for pod in pods["items"] if pod["status"]["phase"] == "Running"]
        return len(uids) == 2 and before not in uids

    until(both, f"rank 1 of {job} runs again")
    go(laptop)
    comes_to(laptop, "Succeeded")


def test_a_type_that_may_not_be_made(laptop: Laptop, lab: Lab) -> None:
    done = laptop.submit("run", "--workers", "1", "--kind", "jobset", "--", "true", kubeconfig=lab.as_user("guest"))
    assert done.returncode == 73
    assert "you may not create a JobSet in runai-lab: ask the administrator" in done.stderr
