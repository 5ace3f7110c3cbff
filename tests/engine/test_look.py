"""To see jobs on a real engine."""

from __future__ import annotations

import json

from tests.engine.laptop import Laptop


def test_a_running_a_finished_and_a_failed_job_are_seen(laptop: Laptop) -> None:
    """As a table, as text with what to do next, and as JSON with what the pod tells of its boot."""
    assert laptop.mlo("run", "--name", f"{laptop.name}-runs").returncode == 0
    for name, code in (("done", 0), ("failed", 3)):
        words = ("run", "--name", f"{laptop.name}-{name}", "--train", "--follow", "-c", f"echo 'a  b'; exit {code}")
        assert laptop.mlo(*words).returncode == code
    listed = laptop.mlo("list", "--all-users").stdout.decode().splitlines()
    rows = {row.split()[0]: row.split()[1:] for row in listed}
    assert (rows[f"{laptop.name}-runs"][:3], rows[f"{laptop.name}-done"][:4], rows[f"{laptop.name}-failed"][:4]) == (
        ["jdoe", "interactive", "Running"],
        ["jdoe", "training", "Succeeded", "0"],
        ["jdoe", "training", "Failed", "3"],
    )
    text = laptop.mlo("describe", f"{laptop.name}-failed").stdout.decode()
    assert text.startswith(f"{laptop.name}-failed is Failed: exit code 3\n")
    assert f"run --name {laptop.name}-failed --command 'echo '\\''a  b'\\''; exit 3' --train\n" in text
    assert f"`mlo-submit --backend docker logs {laptop.name}-failed`" in text.splitlines()[-1]
    assert laptop.mlo("describe", "--why", f"{laptop.name}-failed").stdout == b"exit code 3\n"
    found = json.loads(laptop.mlo("describe", "--json", f"{laptop.name}-runs").stdout)
    assert (found["state"], found["boot"]["user"].split()[0], found["boot"]["warnings"]) == ("Running", "jdoe", [])
    assert found["submitted"]["name"] == f"{laptop.name}-runs"
