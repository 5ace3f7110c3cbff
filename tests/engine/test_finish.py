"""Launched again, and cleaned up after, on a real engine; the life of a job is in test_life.py."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.engine.laptop import Laptop


@pytest.fixture
def alone(laptop: Laptop) -> Iterator[Laptop]:
    """The laptop of a user whose jobs are this test's alone."""
    file = laptop.home / ".env"
    user = f"u{secrets.token_hex(3)}"
    file.write_text(file.read_text().replace("LDAP_USERNAME=jdoe", f"LDAP_USERNAME={user}"))
    yield laptop
    assert laptop.mlo("cleanup", "--yes", "--failed").returncode == 0
    assert laptop.docker("ps", "--all", "--quiet", "--filter", f"label=mlo-submit/user={user}") == ""


def test_a_job_is_launched_again_with_changes_and_cleaned_up(alone: Laptop) -> None:
    first = alone.submit(
        "--train", "--env", "LR=1", "--env", "SEED=2", "--follow", "-c", "echo $LR it\\'s $SEED; exit 7"
    )
    assert (first.returncode, first.stdout) == (7, "1 it's 2\n"), first.stderr
    again = alone.mlo("rerun", alone.name, "--env", "LR=3", "--follow")
    assert (again.returncode, again.stdout) == (7, b"3 it's 2\n"), again.stderr
    third = alone.mlo("rerun", f"{alone.name}-2", "--", "true")
    assert (third.returncode, third.stdout.decode()) == (0, f"{alone.name}-3\n"), third.stderr
    alone.docker("wait", f"{alone.name}-3")
    replaced = alone.mlo("rerun", "--replace", alone.name, "--follow", "--", "echo", "replaced")
    assert (replaced.returncode, replaced.stdout) == (0, b"replaced\n"), replaced.stderr

    shown = alone.mlo("cleanup", "--dry-run").stdout.decode()
    assert [line.split()[0] for line in shown.splitlines()[1:]] == [alone.name, f"{alone.name}-3"]
    assert alone.mlo("cleanup", "--yes").returncode == 0
    names = alone.docker("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={alone.name}")
    assert names == f"{alone.name}-2", "failed jobs go with --failed"
