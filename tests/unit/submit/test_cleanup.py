"""What is left behind goes, and nothing that is used."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from mlo_submit.errors import LoginError
from mlo_submit.workload import Leftover
from tests.unit.submit.conftest import Invoke
from tests.unit.submit.shelf import Shelf

SECRET = Leftover(kind="Secret", name="jdoe-env")
SERVICE = Leftover(kind="Service", name="train-workers")


def test_cleanup_deletes_what_has_succeeded_and_then_what_is_left(invoke: Invoke, shelf: Shelf) -> None:
    for state in ("Pending", "Starting", "Running", "Preempted", "Stopping", "Stopped", "Succeeded", "Failed"):
        shelf.put(state.lower(), state)
    shelf.put("hers", "Succeeded", user="eve")
    shelf.left = [SECRET, SERVICE]
    result = invoke("cleanup", "--yes")
    assert result.exit_code == 0
    assert shelf.there.keys() == {
        "pending",
        "starting",
        "running",
        "preempted",
        "stopping",
        "stopped",
        "failed",
        "hers",
    }
    assert shelf.done == [
        "look for what is left without succeeded",
        "delete succeeded",
        "look for what is left without",
        "remove jdoe-env",
        "remove train-workers",
    ]
    assert result.stderr.splitlines()[-3:] == [
        "succeeded is deleted.",
        "Secret jdoe-env is deleted.",
        "Service train-workers is deleted.",
    ]
    invoke("cleanup", "--yes", "--failed")
    assert "failed" not in shelf.there


def test_cleanup_leaves_what_is_new(invoke: Invoke, shelf: Shelf) -> None:
    shelf.put("old", "Succeeded", ago=2 * 86400 + 60)
    shelf.put("new", "Succeeded", ago=86400)
    now = datetime.now(timezone.utc)
    shelf.put("long", "Succeeded", ago=9 * 86400, finished=now - timedelta(hours=1))
    invoke("cleanup", "-y", "--older-than", "2d")
    assert shelf.there.keys() == {"new", "long"}


def test_a_dry_run_of_cleanup_prints_and_changes_nothing(invoke: Invoke, shelf: Shelf) -> None:
    shelf.put("a", "Succeeded")
    shelf.left = [SECRET]
    result = invoke("cleanup", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].startswith("a ")
    assert result.stdout.splitlines()[2] == "Secret jdoe-env, which no job uses any more"
    assert shelf.done == ["look for what is left without a"]


def test_what_a_job_uses_again_stays(invoke: Invoke, shelf: Shelf) -> None:
    """A job that was launched since the question, or one that did not go, needs its Secret."""
    shelf.put("a", "Succeeded")
    answers = iter([[SECRET, SERVICE], [SERVICE, Leftover(kind="Secret", name="not asked for")]])
    shelf.leftovers = lambda gone: next(answers)  # type: ignore[method-assign]
    shelf.left = [SERVICE]
    result = invoke("cleanup", "-y")
    assert shelf.done == ["delete a", "remove train-workers"]
    assert "jdoe-env" not in result.stderr


def test_what_cannot_be_cleaned_up_keeps_nothing_else(invoke: Invoke, shelf: Shelf) -> None:
    shelf.put("a", "Succeeded")
    shelf.put("b", "Succeeded")
    shelf.left = [SECRET, SERVICE]
    shelf.refuses = {"a": LoginError("no right."), "jdoe-env": LoginError("no right either.")}
    result = invoke("cleanup", "-y")
    assert result.exit_code == 77
    assert result.stderr.endswith("Error: not deleted:\n  a: no right.\n  Secret jdoe-env: no right either.\n")
    assert (list(shelf.there), shelf.left) == (["a"], [SECRET])


def test_nothing_to_clean_up_is_no_question(invoke: Invoke, shelf: Shelf) -> None:
    shelf.put("a", "Failed")
    result = invoke("cleanup")
    assert (result.exit_code, result.stderr) == (
        0,
        "There is nothing to clean up. --failed deletes jobs that failed, too.\n",
    )
