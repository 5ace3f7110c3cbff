from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlo_submit import ending, submission
from mlo_submit.errors import LoginError, UnavailableError
from mlo_submit.job import Flags
from mlo_submit.kube import ApiRefusal
from mlo_submit.workload import STATES, Workload
from tests.terminal import Terminal
from tests.unit.submit.conftest import Invoke
from tests.unit.submit.shelf import Shelf

# ---- delete


def test_several_jobs_are_deleted_and_waited_for(invoke: Invoke, shelf: Shelf) -> None:
    shelf.looks = 3
    for name in ("a", "b", "c"):
        shelf.put(name)
    result = invoke("delete", "-y", "a", "b", "a")
    assert (result.exit_code, result.stdout) == (0, "")
    assert sorted(shelf.done) == ["delete a", "delete b"]
    assert list(shelf.there) == ["c"]
    assert result.stderr.splitlines() == [
        "a and b are stopping, which may take 30 s: they may write a checkpoint",
        "a is deleted.",
        "b is deleted.",
    ]


def test_nothing_is_deleted_when_one_name_is_wrong(invoke: Invoke, shelf: Shelf) -> None:
    """All that is wrong comes in one error."""
    shelf.put("mine")
    shelf.put("hers", user="eve")
    shelf.put("foreign", user="")
    result = invoke("delete", "-y", "mine", "gone", "hers", "foreign")
    assert result.exit_code == 73
    assert result.stderr == (
        "Error: nothing is deleted:\n"
        "  there is no job gone here: `mlo-submit list` shows yours.\n"
        "  hers is a job of eve, and is left alone.\n"
        "  foreign was not made by mlo-submit, and is left alone.\n"
    )
    assert (shelf.done, len(shelf.there)) == ([], 3)


@pytest.mark.parametrize(
    ("error", "code"),
    [(LoginError("no right"), 77), (UnavailableError("no answer"), 69), (ApiRefusal(409, "busy"), 73)],
)
def test_one_that_cannot_be_deleted_keeps_no_other(invoke: Invoke, shelf: Shelf, error: Any, code: int) -> None:
    shelf.put("a")
    shelf.put("b")
    shelf.refuses["a"] = error
    result = invoke("delete", "-y", "a", "b")
    assert (result.exit_code, list(shelf.there)) == (code, ["a"])
    assert "b is deleted." in result.stderr
    assert f"Error: not deleted: a: {error.format_message()}\n" in result.stderr


def test_now_leaves_no_time_for_a_checkpoint(invoke: Invoke, shelf: Shelf) -> None:
    shelf.looks = 1
    shelf.put("a")
    result = invoke("delete", "-y", "--now", "a")
    assert shelf.done == ["kill a"]
    assert "checkpoint" not in result.stderr


def test_a_job_that_does_not_go_is_an_error_that_tells_where_to_look(
    invoke: Invoke, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "PATIENCE", 0.01)
    shelf.looks = 10**6
    shelf.put("a", "Succeeded")
    result = invoke("delete", "-y", "a")
    assert result.exit_code == 73
    assert "not deleted: a: its deletion is not over yet: `mlo-submit describe a` may tell why." in result.stderr


def test_a_new_job_of_the_same_name_is_another_one(invoke: Invoke, shelf: Shelf) -> None:
    """As of somebody who launches the next one while the deletion is waited for."""
    shelf.put("a", ago=60)

    def delete(job: Workload, *, now: bool) -> None:
        shelf.put(job.name)

    shelf.delete = delete  # type: ignore[method-assign]
    assert invoke("delete", "-y", "a").exit_code == 0


def test_without_a_terminal_it_must_be_said_that_jobs_go(invoke: Invoke, shelf: Shelf) -> None:
    shelf.put("a", "Succeeded")
    for command in (("delete", "a"), ("cleanup",)):
        result = invoke(*command, input="y\n")
        assert result.exit_code == 2
        assert "give --yes" in result.stderr
    assert "a" in shelf.there


ASKS = """
import sys
from pathlib import Path
from mlo_submit import cli
from mlo_submit.commands import common
from tests.unit.submit.shelf import Shelf
shelf = Shelf(looks=3)
shelf.put("a", ago=7500)
shelf.put("b", "Succeeded")
common.reach = lambda _: common.Reached(name="docker", jobs=shelf, config=None, machine=None)
try:
    cli.main(["delete", "a", "b"])
finally:
    Path("done").write_text(" ".join(sorted(shelf.done)))
"""


@contextmanager
def asked(directory: Path) -> Iterator[Terminal]:
    """`mlo-submit delete a b` on a terminal, which has asked; what it then does is in the file `done`."""
    environ = {"PATH": "", "HOME": str(directory), "PYTHONPATH": str(Path(__file__).parents[3]), "TERM": "xterm"}
    with Terminal([sys.executable, "-c", ASKS], env=environ, cwd=directory) as terminal:
        yield terminal


def test_on_a_terminal_it_asks_and_tells_what_runs(tmp_path: Path) -> None:
    with asked(tmp_path) as terminal:
        shown = terminal.expect("Delete this? [y/N]: ")
        assert re.search(r"\r\na +training +Running .* 2h05m .*\r\nb +training +Succeeded ", shown)
        assert shown.endswith("\r\na is running.\r\n")
        terminal.type("y\n")
        terminal.expect("a is stopping: 0 of 30 s, it may write a checkpoint")
        terminal.expect("a is deleted.\r\nb is deleted.\r\n")
        assert terminal.wait() == 0
    assert (tmp_path / "done").read_text() == "delete a delete b"


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_any_other_answer_deletes_nothing(tmp_path: Path, answer: str) -> None:
    with asked(tmp_path) as terminal:
        terminal.expect("Delete this? [y/N]: ")
        terminal.type(answer)
        assert terminal.wait() == 1
    assert (tmp_path / "done").read_text() == ""


def test_a_ctrl_c_at_the_question_deletes_nothing(tmp_path: Path) -> None:
    with asked(tmp_path) as terminal:
        terminal.expect("Delete this? [y/N]: ")
        assert terminal.interrupt() == 130
        assert "Traceback" not in terminal.seen.decode()
    assert (tmp_path / "done").read_text() == ""


def test_what_is_waited_for_is_told(shelf: Shelf) -> None:
    long = shelf.put("long", submission=submission.encode(Flags(grace=300)))
    short, ended = shelf.put("short", submission="{"), shelf.put("ended", "Failed")
    change = ending.deletion(shelf, now=False)  # type: ignore[arg-type]
    assert ending.words(change, [long, short, ended], 12.3)[1] == (
        "long and short are stopping: 12 of 300 s, they may write a checkpoint"
    )
    assert ending.words(change, [short], 31)[1] == "short is stopping: the 30 s are over, and it is killed"
    assert ending.words(change, [ended], 1) == ("waiting for the deletion of ended",) * 2
    many = [shelf.put(f"j{number}") for number in range(12)]
    assert ending.words(change, many, 0)[0].startswith("12 jobs (j0, j1, …) are stopping")


# ---- stop and resume


def test_a_job_is_stopped_and_goes_on(invoke: Invoke, shelf: Shelf) -> None:
    shelf.looks = 2
    shelf.put("a")
    result = invoke("stop", "a")
    assert (result.exit_code, shelf.there["a"].state) == (0, "Stopped")
    assert "a is stopping, which may take 30 s: it may write a checkpoint\n" in result.stderr
    assert "a is stopped. Next: mlo-submit resume a\n" in result.stderr
    result = invoke("resume", "a")
    assert (result.exit_code, shelf.there["a"].state) == (0, "Pending")
    assert "a is resumed. Next: mlo-submit logs -f a\n" in result.stderr
    assert shelf.done == ["stop a", "resume a"]


def test_a_stop_is_over_when_no_pod_runs_any_more(shelf: Shelf) -> None:
    over = ending.stop(shelf).over  # type: ignore[arg-type]
    pods = {state: shelf.put("pod", state).pods[0] for state in STATES}
    assert not over(shelf.put("a", "Stopping"))
    assert not over(shelf.put("a", "Stopped", pods=(pods["Failed"], pods["Stopping"])))
    assert over(shelf.put("a", "Stopped", pods=(pods["Failed"],)))
    assert over(shelf.put("a", "Succeeded"))
    assert over(None)


@pytest.mark.parametrize(
    ("command", "state", "message"),
    [
        ("stop", "Succeeded", "a has ended (Succeeded), and there is nothing to stop: `mlo-submit delete a` deletes"),
        ("stop", "Stopped", "a is stopped already."),
        ("resume", "Failed", "a has ended (Failed): `mlo-submit rerun a` launches it again."),
        ("resume", "Running", "a is not stopped, but Running."),
    ],
)
def test_what_cannot_be_stopped_or_resumed(
    invoke: Invoke, shelf: Shelf, command: str, state: Any, message: str
) -> None:
    shelf.put("a", state)
    shelf.put("b", "Stopped" if command == "resume" else "Running")
    result = invoke(command, "a", "b")
    assert (result.exit_code, shelf.done) == (73, [])
    assert message in result.stderr
