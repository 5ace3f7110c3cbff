"""Multi-node jobs on a real engine: three containers that find each other by the variables that they are given."""

from __future__ import annotations

import json
from pathlib import Path

from tests.engine.laptop import Laptop
from tests.engine.test_life import is_in, listed, wait

ALLREDUCE = (Path(__file__).parents[2] / "docs/examples/allreduce.py").read_text()
ENDED = "ended: exit code 0"


def networks(laptop: Laptop) -> str:
    return laptop.docker("network", "ls", "--quiet", "--filter", f"label=app.kubernetes.io/instance={laptop.name}")


def test_three_ranks_meet_and_go_together(laptop: Laptop) -> None:
    """One job with three pods; nothing of it stays."""
    done = laptop.submit("--workers", "2", "--wait-for-master", "--", "python3", "-c", ALLREDUCE)
    assert done.returncode == 0, done.stderr
    wait(laptop, is_in("Succeeded"))
    (job,) = listed(laptop).values()
    names = [laptop.name, f"{laptop.name}-1", f"{laptop.name}-2"]
    assert [(pod["rank"], pod["name"]) for pod in job["pods"]] == list(enumerate(names))
    logs = laptop.mlo("logs", laptop.name).stdout.decode()
    for rank in range(3):
        assert f"{laptop.name}-{rank} │ rank {rank} of 3 on {laptop.name}-{rank}: the sum is 6\n" in logs
    told = [event["text"] for event in json.loads(laptop.mlo("describe", "--json", laptop.name).stdout)["events"]]
    assert sorted(told) == sorted(f"{name}: {what}" for name in names for what in ("created", "started", ENDED))
    assert networks(laptop)
    assert not laptop.secrets.exists()
    assert laptop.mlo("delete", "--yes", laptop.name).returncode == 0
    assert listed(laptop) == {}
    assert not networks(laptop)


def test_a_failed_rank_is_named_while_the_others_go_on(laptop: Laptop) -> None:
    laptop.submit("--workers", "1", "-c", '[ "$RANK" = 1 ] && exit 3; exec sleep 600')
    job = wait(laptop, lambda job: bool(job.reason))
    assert (job.state, job.reason, job.exit_code) == ("Running", "exit code 3 (rank 1)", None)
    assert laptop.secrets.exists(), "rank 0 runs"
    assert laptop.mlo("delete", "--now", "--yes", laptop.name).returncode == 0
    assert not networks(laptop)


def test_a_job_is_stopped_and_resumed_with_all_its_ranks(laptop: Laptop) -> None:
    laptop.submit("--workers", "1", "--grace", "5s", "--", "sleep", "600")
    wait(laptop, is_in("Running"))
    assert laptop.mlo("stop", laptop.name).returncode == 0
    assert [pod["state"] for pod in listed(laptop)[laptop.name]["pods"]] == ["Stopped", "Stopped"]
    assert laptop.mlo("resume", laptop.name).returncode == 0
    assert [pod["state"] for pod in listed(laptop)[laptop.name]["pods"]] == ["Running", "Running"]
    assert laptop.mlo("delete", "--yes", laptop.name).returncode == 0
    assert listed(laptop) == {}
    assert not networks(laptop)


def test_a_name_that_is_taken_leaves_nothing_behind(laptop: Laptop) -> None:
    """Of a worker: what was made until then is taken back, and what has the name stays."""
    laptop.docker("create", "--name", f"{laptop.name}-1", "mlo-base:bookworm", "true")
    done = laptop.submit("--workers", "1", "--", "true")
    assert done.returncode == 73
    assert f"{laptop.name}-1" in laptop.docker("ps", "--all", "--filter", f"name={laptop.name}", "--format={{.Names}}")
    assert listed(laptop) == {}
    assert not networks(laptop)
    assert not laptop.secrets.exists()
