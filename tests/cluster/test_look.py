"""To see jobs on Kubernetes."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.lab import Lab, Laptop, until
from tests.screen import Screen


@pytest.fixture
def jobs(laptop: Laptop, lab: Lab) -> Iterator[str]:
    """How the names of four jobs begin: one runs, one waits, one failed, one is done."""
    prefix = f"look-{secrets.token_hex(2)}"
    flags = {
        "runs": ("--gpus", "1"),
        "waits": ("--gpus", "64"),
        "failed": ("--train", "-c", "exit 3"),
        "done": ("--train", "--", "true"),
    }
    for name, words in flags.items():
        done = laptop.submit("run", "--name", f"{prefix}-{name}", *words)
        assert done.returncode == 0, done.stderr
    yield prefix
    lab.delete(*(f"{prefix}-{name}" for name in flags))


def described(laptop: Laptop, job: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(laptop.submit("describe", "--json", job).stdout)
    return found


def test_each_job_is_seen_as_it_is(laptop: Laptop, jobs: str) -> None:
    seen = {
        "runs": ("Running", r"interactive +Running .* 1 "),
        "waits": ("Pending", r"interactive +Pending .* 64 .* free nvidia.com/gpu"),
        "failed": ("Failed", r"training +Failed +3 .* exit code 3"),
        "done": ("Succeeded", r"training +Succeeded +0 "),
    }
    for name, (state, _) in seen.items():

        def is_so(job: str = f"{jobs}-{name}", state: str = state) -> bool:
            return bool(described(laptop, job)["state"] == state)

        until(is_so, f"{name} is {state}")
    rows = {row.split()[0]: row for row in laptop.submit("list").stdout.splitlines()}
    for name, (_, row) in seen.items():
        assert re.search(row, rows[f"{jobs}-{name}"]), rows
    assert laptop.submit("list", "-q", "--state", "failed").stdout.split().count(f"{jobs}-failed") == 1

    text = laptop.submit("describe", f"{jobs}-runs").stdout
    assert re.search(r"boot +jdoe \(123456:83070\), ready in \d+ ms", text), text
    assert f"submitted  mlo-submit run --name {jobs}-runs --gpus 1\n" in text
    assert f"`mlo-submit shell {jobs}-runs`" in text
    waits = laptop.submit("describe", f"{jobs}-waits").stdout
    assert "mlo-submit list --all-users" in waits.splitlines()[-1]
    assert "gpu" in laptop.submit("describe", "--why", f"{jobs}-waits").stdout
    found = described(laptop, f"{jobs}-runs")
    assert found["pods"][0]["node"]
    assert any(event["text"] for event in found["events"])


def test_watch_shows_a_job_begin_and_end(laptop: Laptop) -> None:
    laptop.launch("--train", "-c", "until [ -e go ]; do sleep 0.1; done")
    environ = {**laptop.environment(), "TERM": "xterm"}
    with Screen(["mlo-submit", "list", "--watch"], env=environ, cwd=laptop.project, columns=150) as screen:
        screen.wait_for(rf"{laptop.name} +training +Running ")
        assert laptop.submit("exec", laptop.name, "--", "touch", "go").returncode == 0
        screen.wait_for(rf"{laptop.name} +training +Succeeded ")
        screen.type("\x03")
        assert (screen.wait(), screen.restored()) == (130, True)
