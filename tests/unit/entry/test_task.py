"""`mlo-task`: which task of an array a pod is, from its environment to that of the command."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_entry.errors import SettingsError
from mlo_entry.task import read_indices, read_place, read_sweep, variables
from mlo_submit import sweep
from mlo_submit.array import Array
from mlo_submit.sweep import Task
from tests.unit.entry.tasks import run_task

TELL = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"
TOLD = ("MLO_ARRAY_INDEX", *(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "COUNT", "MIN", "MAX")))


def packed(rows: object) -> str:
    return base64.b64encode(zlib.compress(json.dumps(rows).encode())).decode()


@given(st.sets(st.integers(0, 2_000), min_size=1), st.data())
def test_each_place_has_an_index_of_its_own(chosen: set[int], data: st.DataObject) -> None:
    indices = sorted(chosen)
    assert read_indices(str(Array(tuple(indices)))) == tuple(indices), "as mlo-submit writes them"
    place = data.draw(st.integers(0, len(indices) - 1))
    assert read_place(str(place), len(indices)) == place
    told = [indices[place], indices[place], len(indices), indices[0], indices[-1]]
    assert [variables(indices, place)[name] for name in TOLD] == list(map(str, told))


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
TASKS = st.builds(
    Task,
    env=st.dictionaries(st.from_regex(r"(?a:[A-Za-z_]\w*)", fullmatch=True), WORDS),
    args=st.lists(WORDS).map(tuple),
)


@given(st.lists(TASKS, max_size=5))
def test_a_sweep_arrives_as_it_was_sent(tasks: list[Task]) -> None:
    found = read_sweep(sweep.pack(tasks), len(tasks))
    assert [(own.env, tuple(own.args)) for own in found] == [(task.env, task.args) for task in tasks]


@pytest.mark.parametrize("text", ["", "x", "3-1", "1,1", "2,1", "1,", "0-9:2", "-1", "1-3-5", "\u0661", "0-999999999"])
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^MLO_ARRAY="):
        read_indices(text)


@pytest.mark.parametrize("text", ["3", "-1", "x", "²"])
def test_a_place_outside_of_the_array_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="no place among the 3 tasks"):
        read_place(text, 3)


@pytest.mark.parametrize(
    "text",
    [
        "no base64!",
        base64.b64encode(b"no zlib").decode(),
        base64.b64encode(zlib.compress(b"no json")).decode(),
        packed({}),
        packed([{}]),
        packed([{}, 1]),
        packed([{}, {"word": []}]),
        packed([{}, {"env": {"1A": ""}}]),
        packed([{}, {"env": {"A": 1}}]),
        packed([{}, {"env": {"A": "\0"}}]),
        packed([{}, {"args": "ab"}]),
        packed([{}, {"args": ["\udfff\ud800"]}]),
    ],
)
def test_what_is_no_sweep_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^MLO_SWEEP "):
        read_sweep(text, 2)


def told(*command: str, **environ: str) -> tuple[dict[str, str], list[str]]:
    done = run_task(sys.executable, "-c", TELL, *command, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    found: Any = json.loads(done.stdout)
    return found[0], found[1]


def test_kubernetes_tells_the_place_and_a_sweep_adds_to_the_command() -> None:
    rows = packed([{}, {"env": {"LR": "0.1 'é\n", "HOME": "/sweep"}, "args": ["--lr", "a b"]}, {}])
    place = {"MLO_ARRAY": "3,7-8", "MLO_SWEEP": rows, "LR": "1"}
    environ, argv = told("train", **place, JOB_COMPLETION_INDEX="1")
    assert [environ[name] for name in TOLD] == ["7", "7", "3", "3", "8"]
    assert (environ["LR"], environ["HOME"]) == ("0.1 'é\n", "/sweep"), "the sweep wins over the pod"
    assert argv == ["train", "--lr", "a b"]
    environ, argv = told("train", **place, JOB_COMPLETION_INDEX="2")
    assert (environ["MLO_ARRAY_INDEX"], environ["LR"], argv) == ("8", "1", ["train"])


def test_the_command_takes_the_place_of_the_program() -> None:
    """Signals and its exit code are its own; python's ignored SIGPIPE is not handed down."""
    script = "kill -PIPE $$; exit 3"
    assert run_task("sh", "-c", script, MLO_ARRAY="0", JOB_COMPLETION_INDEX="0").returncode == -signal.SIGPIPE


@pytest.mark.parametrize(
    ("environ", "code", "why"),
    [
        ({}, 64, "this pod is no task of an array: MLO_ARRAY is not set"),
        ({"MLO_ARRAY": "a"}, 64, "MLO_ARRAY=a is no ascending list of indices"),
        ({"MLO_ARRAY": "0-2", "JOB_COMPLETION_INDEX": "3"}, 64, "JOB_COMPLETION_INDEX=3 is no place"),
        ({"MLO_ARRAY": "0-2", "JOB_COMPLETION_INDEX": "0", "MLO_SWEEP": "?"}, 64, "MLO_SWEEP cannot be read"),
        ({"MLO_ARRAY": "0-2"}, 64, "to claim one on scratch takes SCRATCH_HOME and MLO_ARRAY_ID"),
        ({"MLO_ARRAY": "0", "SCRATCH_HOME": "/", "MLO_ARRAY_ID": "../x"}, 64, "cannot be the name of a directory"),
        (
            {"MLO_ARRAY": "0", "SCRATCH_HOME": "/dev/null", "MLO_ARRAY_ID": "x"},
            73,
            "no task can be claimed in /dev/null",
        ),
    ],
)
def test_what_cannot_be_is_one_message(environ: dict[str, str], code: int, why: str) -> None:
    done = run_task("true", **environ)
    assert done.returncode == code
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("place", [{"JOB_COMPLETION_INDEX": "0"}, {"MLO_ARRAY_ID": "x"}])
def test_a_command_that_is_not_there_is_told_as_a_shell_does(tmp_path: Path, place: dict[str, str]) -> None:
    done = run_task("no-such", MLO_ARRAY="0", SCRATCH_HOME=str(tmp_path), **place)
    assert done.returncode == 127
    assert "the command cannot be started: no-such: No such file or directory" in done.stderr


def test_mlo_task_is_this_program() -> None:
    """The file of the image, by the isolated python that runs it there."""
    root = Path(__file__).parents[3]
    code = f"import sys; sys.path[:] = {[str(root), *sys.path]!r}; sys.argv = ['mlo-task']; exec(open(0).read())"
    source = (root / "docker/bin/mlo-task").read_bytes()
    argv = [sys.executable, "-I", "-c", code]
    done = subprocess.run(argv, input=source, env={"PATH": os.environ["PATH"]}, capture_output=True, check=False)
    assert done.returncode == 64
    assert b"a command is missing: mlo-task COMMAND" in done.stderr
