"""Arrays: their indices, their sweeps, and what is sent for them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import array, sweep
from mlo_submit.array import Array
from mlo_submit.env import Config
from mlo_submit.job import Flags, container_environ, from_flags
from mlo_submit.sweep import Task
from tests.unit.submit.conftest import Invoke

NOW = datetime(2026, 11, 24)
RUN = ("run", "--backend", "kubernetes", "--name", "x", "--dry-run")


@pytest.mark.parametrize(
    ("text", "indices", "at_once", "canonical"),
    [
        ("0-3", (0, 1, 2, 3), None, "0-3"),
        ("0-3%2", (0, 1, 2, 3), 2, "0-3"),
        ("7,1,3", (1, 3, 7), None, "1,3,7"),
        ("0-10:5,1,0-1", (0, 1, 5, 10), None, "0-1,5,10"),
        ("4", (4,), None, "4"),
    ],
)
def test_indices(text: str, indices: tuple[int, ...], at_once: int | None, canonical: str) -> None:
    found = array.parse(text)
    assert found == Array(indices, at_once)
    assert str(found) == canonical


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no list of indices"),
        ("a", "no list of indices"),
        ("1,,2", "no list of indices"),
        ("-1", "no list of indices"),
        ("1-2-3", "no list of indices"),
        ("\u0661", "no list of indices"),
        ("9" * 10, "no list of indices"),
        ("3-1", "no index in 3-1"),
        ("0-4:0", "no index in 0-4:0"),
        ("0-3%", "number behind '%'"),
        ("0-3%0", "number behind '%'"),
        ("%8", "no list of indices"),
        ("0-10000", "more than 10000 tasks"),
        ("0-999999999", "more than 10000 tasks"),
        ("0-5000,10000-15000", "more than 10000 tasks"),
    ],
)
def test_what_is_no_array(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        array.parse(text)


@given(st.sets(st.integers(0, 10**9 - 1), min_size=1, max_size=50))
def test_indices_come_back_from_their_text(indices: set[int]) -> None:
    assert array.expand(array.compress(sorted(indices))) == tuple(sorted(indices))


@given(
    st.lists(
        st.builds(Task, env=st.dictionaries(st.text(), st.text()), args=st.lists(st.text()).map(tuple)), max_size=5
    )
)
def test_a_sweep_comes_back_from_its_word(tasks: list[Task]) -> None:
    assert sweep.unpack(sweep.pack(tasks)) == tasks


def test_both_kinds_of_file_say_the_same(tmp_path: Path) -> None:
    table, toml = tmp_path / "sweep.csv", tmp_path / "sweep.toml"
    table.write_text("\ufeffLR, SEED,args\n1e-4,0,\n\n3e-4,,--width 512 'a b'\n\"x,\ny\",2,\n")
    toml.write_text(
        '[[task]]\nLR = "1e-4"\nSEED = 0\n\n[[task]]\nLR = "3e-4"\nSEED = ""\nargs = ["--width", 512, "a b"]\n'
        '[[task]]\nLR = "x,\\ny"\nSEED = 2\n'
    )
    found = sweep.read(str(table)).tasks()
    assert found == [
        Task(env={"LR": "1e-4", "SEED": "0"}),
        Task(env={"LR": "3e-4", "SEED": ""}, args=("--width", "512", "a b")),
        Task(env={"LR": "x,\ny", "SEED": "2"}),
    ]
    assert sweep.read(str(toml)).tasks() == found


def test_numbers_and_truth_of_toml_are_as_people_write_them(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text("[[task]]\nAMP = true\nLR = 0.001\nSTEPS = 100\n")
    assert sweep.read(str(file)).tasks() == [Task(env={"AMP": "true", "LR": "0.001", "STEPS": "100"})]


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [
        ("a.csv", "1X,Y,Y\n1,2\n", ["its header: '1X' cannot be", "names Y twice", "line 2 has 2 cells"]),
        ("a.csv", "X,args\n1,'\n", ["line 2: args: no closing quotation"]),
        ("a.csv", 'X\n"\n', ["line 2: unexpected end"]),
        ("a.csv", "X\n", ["has no task"]),
        ("a.csv", "", ["has no task"]),
        ("a.csv", "X\n" + "1\n" * 10_001, ["has 10001 tasks"]),
        ("a.toml", "x = [", ["Invalid value"]),
        ("a.toml", "lr = 1\n", ["tables [[task]], and nothing else: not lr"]),
        ("a.toml", "[task]\nX = 1\n", ["tables [[task]]"]),
        (
            "a.toml",
            "[[task]]\nX = [1]\n[[task]]\nargs = 1\n'a b' = 1\n[[task]]\nargs = [[]]\n",
            ["task 0: X must be", "task 1: args must be a list", "task 1: 'a b' cannot", "task 2: args must be a text"],
        ),
        ("a.json", "[]", ["neither a .csv nor a .toml"]),
    ],
)
def test_all_that_is_wrong_with_a_sweep_comes_in_one_error(
    invoke: Invoke, env_file: Path, name: str, content: str, problems: list[str]
) -> None:
    (env_file.parent / name).write_text(content)
    result = invoke(*RUN, "--sweep", str(env_file.parent / name), "--", "train")
    assert result.exit_code == 2
    assert [problem for problem in problems if problem not in result.stderr] == []


def test_a_sweep_that_does_not_fit_into_a_variable_is_refused_before_anything_is_sent(
    invoke: Invoke, env_file: Path
) -> None:
    import random

    noise = random.Random(1)  # noqa: S311  # no secret
    file = env_file.parent / "a.csv"
    file.write_text("X\n" + "".join(f"{noise.getrandbits(400):x}\n" for _ in range(3000)))
    result = invoke(*RUN, "--sweep", str(file), "--", "train")
    assert (result.exit_code, "too much for a variable of a pod" in result.stderr) == (2, True)
    assert "KiB packed, of 96" in result.stderr


def test_each_task_finds_its_place_in_the_environment(config: Config) -> None:
    """The contract with mlo-task."""
    rows = sweep.Sweep(file="s.csv", rows=sweep.pack([Task(env={"LR": str(row)}) for row in range(5)]))
    environ = container_environ(from_flags(config, Flags(argv=("a",), array="1,3-4%2", sweep=rows), NOW))
    assert environ["MLO_ARRAY"] == "1,3-4"
    assert [task.env["LR"] for task in sweep.unpack(environ["MLO_SWEEP"])] == ["1", "3", "4"]
    job = from_flags(config, Flags(argv=("a",), array="%2", sweep=rows), NOW)
    assert (job.array, job.training) == (Array((0, 1, 2, 3, 4), 2), True)
    assert "MLO_SWEEP" not in container_environ(from_flags(config, Flags(argv=("a",), array="0-1"), NOW))


@pytest.mark.parametrize(
    ("words", "problems"),
    [
        (("--array", "0-3", "--workers", "1"), ["--workers is not for an array", "needs a command"]),
        (("--array", "%3", "--", "train"), ["--array needs indices"]),
        (("--array", "x", "--", "train"), ["no list of indices"]),
        (("--array", "0-3", "--stop-when-idle", "1h", "--", "train"), ["--stop-when-idle is for interactive"]),
        (("--array", "0-3", "--kind", "jobset", "-c", "a", "--", "b"), ["-c and -- COMMAND", "--kind is for a job"]),
        (("--sweep", "two.csv", "--array", "0-2", "--", "train"), ["the index 2, and", "no such row: its 2 rows"]),
        (("--sweep", "none.csv", "--", "train"), ["cannot be read: No such file"]),
    ],
)
def test_what_an_array_cannot_have(
    invoke: Invoke, env_file: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], problems: list[str]
) -> None:
    monkeypatch.chdir(env_file.parent)
    Path("two.csv").write_text("X\n1\n2\n")
    result = invoke(*RUN, *words)
    assert result.exit_code == 2
    assert [problem for problem in problems if problem not in " ".join(result.stderr.split())] == []


def test_docker_has_no_arrays_and_says_what_to_do(invoke: Invoke, env_file: Path) -> None:
    result = invoke("run", "--backend", "docker", "--dry-run", "--array", "3-5", "--", "train")
    assert result.exit_code == 73
    assert "--env MLO_ARRAY_INDEX=3" in result.stderr
