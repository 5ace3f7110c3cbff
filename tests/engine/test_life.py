"""The life of jobs on a real engine, through the command line: what they tell of themselves, and what ends them."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlo_submit import env, envfile
from mlo_submit.backends.docker.jobs import Jobs, connect
from mlo_submit.machine import Machine
from mlo_submit.workload import Workload
from tests.engine.laptop import CHECKPOINT, Laptop

# Counts what it is asked to end by, and takes its time.
SLOW = """
import os, signal, sys, time
def stop(*_):
    with open("terms", "a") as terms:
        terms.write("x")
signal.signal(signal.SIGTERM, stop)
os.write(1, b"started\\n")
while not os.path.exists("end"):
    time.sleep(0.05)
"""


def jobs_of(laptop: Laptop) -> Jobs:
    machine = Machine.here(laptop.environ)
    config = env.configure(envfile.read(laptop.home / ".env", machine.environ), machine, ())
    return connect(config, machine)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.03)


def wait(laptop: Laptop, until: Callable[[Workload], bool]) -> Workload:
    """The job, as soon as it is so."""
    jobs = jobs_of(laptop)
    seen: list[Workload] = []

    def look() -> bool:
        seen.append(jobs.find(laptop.name))
        return until(seen[-1])

    wait_until(look)
    return seen[-1]


def is_in(*states: str) -> Callable[[Workload], bool]:
    return lambda job: job.state in states


def listed(laptop: Laptop, *argv: str) -> dict[str, Mapping[str, Any]]:
    """What `list --json` tells, by name: what is this test's."""
    done = laptop.mlo("list", "--json", *argv)
    assert done.returncode == 0, done.stderr
    return {job["name"]: job for job in json.loads(done.stdout) if job["name"].startswith(laptop.name)}


@pytest.fixture
def project(laptop: Laptop) -> Path:
    """The working directory of its jobs, on this machine."""
    return laptop.scratch / "homes/jdoe"


ENDS = {
    "done": (("-c", "true"), "Succeeded", "", 0),
    "three": (("-c", "exit 3"), "Failed", "exit code 3", 3),
    "killed": (("-c", "kill -9 $$"), "Failed", "ended by signal 9", 137),
    "memory": (
        ("--memory", "128Mi", "--", "python3", "-c", "bytearray(10**9)"),
        "Failed",
        "OOM killed at 128 MiB",
        137,
    ),
    "time": (("--time", "1s", "--", "sleep", "60"), "Failed", "time limit", 143),
}


def test_a_job_tells_how_it_ended(laptop: Laptop) -> None:
    jobs = {end: replace(laptop, name=f"{laptop.name}-{end}") for end in ENDS}
    for end, job in jobs.items():
        assert job.submit("--train", *ENDS[end][0]).returncode == 0
    for job in jobs.values():
        wait(job, lambda found: found.ended)
        assert not job.secrets.exists()
    found = listed(laptop)
    told = {end: found[job.name] for end, job in jobs.items()}
    assert {end: (job["state"], job["reason"], job["exit_code"]) for end, job in told.items()} == {
        end: tuple(rest) for end, (_, *rest) in ENDS.items()
    }


def test_a_job_tells_what_it_is_doing(laptop: Laptop) -> None:
    """While it runs, is frozen, waits between two tries, and is tried again until it has failed."""
    laptop.submit("--train", "--retries", "3", "-c", "[ -e ready ] || { sleep 1; touch ready; }; exit 3")
    assert wait(laptop, is_in("Running")).reason == ""
    laptop.docker("pause", laptop.name)
    assert listed(laptop)[laptop.name]["reason"] == "paused by `docker pause`"
    laptop.docker("unpause", laptop.name)
    assert wait(laptop, is_in("Starting")).reason == "tried again after exit code 3"
    assert laptop.secrets.exists(), "needed for the next try"
    failed = wait(laptop, is_in("Failed"))
    assert (failed.reason, failed.restarts) == ("exit code 3", 3)
    done = laptop.mlo("describe", "--json", laptop.name)
    told = [event["text"] for event in json.loads(done.stdout)["events"]]
    again = ["started again", "ended: exit code 3"]
    assert told == ["created", "started", "paused", "goes on", "ended: exit code 3", *3 * again]


def test_a_stopped_job_goes_on_with_the_secrets_of_today(laptop: Laptop, project: Path) -> None:
    """Its checkpoint is written; no secret is on the disk until it goes on; a new process knows all that. Then the run
    before has a log of its own."""
    laptop.submit("--grace", "20s", "-c", f"print -r -- $HF_TOKEN; python3 -c '{CHECKPOINT}'")
    laptop.wait_for_log("started")
    before = laptop.mlo("logs", "--previous", laptop.name)
    assert (before.returncode, b"has no earlier run" in before.stderr) == (73, True), before.stderr
    done = laptop.mlo("stop", laptop.name)
    assert done.returncode == 0, done.stderr
    assert (project / "checkpoint").read_text() == "trained"
    job = listed(laptop)[laptop.name]
    assert (job["state"], job["reason"], job["exit_code"], job["finished"]) == ("Stopped", "", None, None)
    assert not laptop.secrets.exists()
    assert laptop.docker("ps", "--quiet", "--filter", f"name={laptop.name}") == ""

    file = laptop.home / ".env"
    file.write_text(file.read_text().replace("literal", "today"))
    done = laptop.mlo("resume", laptop.name)
    assert done.returncode == 0, done.stderr
    assert listed(laptop)[laptop.name]["state"] == "Running"
    laptop.wait_for_log("hf_${today}")
    assert laptop.mlo("logs", "--previous", laptop.name).stdout == b"hf_${literal}\nstarted\n"
    last = laptop.mlo("logs", "--previous", "--tail", "2", laptop.name)
    assert (last.stdout, last.stderr) == (b"started\n", b"[mlo] the job ended with exit code 143\n")
    laptop.docker("stop", laptop.name)
    job = listed(laptop)[laptop.name]
    assert (job["state"], job["reason"]) == ("Failed", "ended by signal 15"), "nobody asked mlo-submit to stop this run"
    assert not laptop.secrets.exists()


def test_a_job_that_cannot_go_on_says_why_and_is_still_stopped(laptop: Laptop) -> None:
    data = laptop.home / "data"
    data.mkdir()
    laptop.submit("--mount", f"{data}:/data")
    wait(laptop, is_in("Running"))
    assert laptop.mlo("stop", laptop.name).returncode == 0
    data.rmdir()
    done = laptop.mlo("resume", laptop.name)
    assert done.returncode != 0
    assert f"Docker does not start {laptop.name}: " in done.stderr.decode()
    assert "path does not exist" in done.stderr.decode()
    assert listed(laptop)[laptop.name]["state"] == "Stopped"
    assert not laptop.secrets.exists()
    data.touch()  # now the engine tries, and keeps why it could not
    assert laptop.mlo("resume", laptop.name).returncode != 0
    job = listed(laptop)[laptop.name]
    assert (job["state"], job["reason"].split(":")[0]) == ("Stopped", "cannot start")
    data.unlink()
    data.mkdir()
    assert laptop.mlo("resume", laptop.name).returncode == 0
    assert listed(laptop)[laptop.name]["state"] == "Running"


def test_a_ctrl_c_ends_the_wait_and_not_the_deletion(laptop: Laptop, project: Path) -> None:
    """A job is asked to end once, however often that is wanted; what waited for it last deletes it."""
    laptop.submit("--grace", "50s", "--", "python3", "-c", SLOW)
    laptop.wait_for_log("started")
    for words in (("stop", laptop.name), ("delete", "--yes", laptop.name)):
        with subprocess.Popen(
            laptop.command(*words), env=laptop.environ, cwd=laptop.home, stderr=subprocess.PIPE
        ) as waits:
            assert waits.stderr
            assert b"may write a checkpoint" in waits.stderr.readline()
            waits.send_signal(signal.SIGINT)
            assert waits.wait(10) == 130
            assert b"goes on" in waits.stderr.read()
        assert wait(laptop, is_in("Stopping")).reason == ""
        assert laptop.secrets.exists()
    assert (project / "terms").read_text() == "x"
    (project / "end").touch()
    wait_until(lambda: listed(laptop) == {})
    assert (project / "terms").read_text() == "x"
    assert not laptop.secrets.exists()
    assert not list((laptop.home / ".local/state/mlo/stops").iterdir())


def test_a_deletion_has_the_grace_period_unless_now(laptop: Laptop, project: Path) -> None:
    for options, trained in ((("--now",), False), ((), True)):
        laptop.submit("--grace", "20s", "--", "python3", "-c", CHECKPOINT)
        laptop.wait_for_log("started")
        began = time.monotonic()
        assert laptop.mlo("delete", "--yes", *options, laptop.name).returncode == 0
        assert time.monotonic() - began < 10
        assert (project / "checkpoint").exists() is trained
        assert listed(laptop) == {}
        assert not laptop.secrets.exists()


def test_output_and_errors_of_a_job_stay_apart(laptop: Laptop) -> None:
    laptop.submit("--train", "-c", "for n in 1 2 3; do echo out $n; echo err $n >&2; done")
    wait(laptop, lambda job: job.ended)
    done = laptop.mlo("logs", "--since", "1h", laptop.name)
    assert done.stdout == b"out 1\nout 2\nout 3\n"
    assert b"err 1\nerr 2\nerr 3\n" in done.stderr
    assert b"err 1" not in laptop.mlo("logs", "--tail", "1", laptop.name).stderr


def test_jobs_of_others_are_seen_and_left_alone(laptop: Laptop, tmp_path: Path) -> None:
    """Several people may share an engine. What is cleaned up is mine, and what Docker alone deleted left nothing."""
    other = replace(laptop, home=tmp_path / "other", name=f"{laptop.name}-other")
    other.home.mkdir()
    text = (laptop.home / ".env").read_text()
    (other.home / ".env").write_text(text.replace("LDAP_USERNAME=jdoe", "LDAP_USERNAME=other"))
    for here in (laptop, other):
        assert here.submit().returncode == 0
        wait(here, is_in("Running"))
    assert list(listed(laptop)) == [laptop.name]
    assert {job["user"] for job in listed(laptop, "--all-users").values()} == {"jdoe", "other"}
    assert jobs_of(laptop).find(other.name).user == "other"
    assert laptop.mlo("delete", "--yes", other.name).returncode != 0
    for here in (laptop, other):
        here.docker("rm", "--force", here.name)
    shown = laptop.mlo("cleanup", "--dry-run").stdout.decode()
    assert f"secret files {laptop.name}" in " ".join(shown.split())
    assert other.name not in shown
    assert laptop.mlo("cleanup", "--yes").returncode == 0
    assert (laptop.secrets.exists(), other.secrets.exists()) == (False, True)
