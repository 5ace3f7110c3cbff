from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlo_submit import submission
from mlo_submit.commands import common
from mlo_submit.commands.rerun import next_name
from mlo_submit.job import Flags, Mount
from tests.unit.submit.conftest import ENV, Invoke
from tests.unit.submit.shelf import Shelf

KEPT = Flags(
    name="train",
    argv=("python", "train.py"),
    train=True,
    gpus=2,
    time=7200,
    image="kept:1",
    large_shm=True,
    host_ipc=True,
    node_types=("h100", "h200"),
    env={"LR": "1e-3", "SEED": "1"},
    mounts=(Mount(source="data", target="/data", read_only=True),),
)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, env_file: Path) -> Shelf:
    made = Shelf()
    monkeypatch.setattr(common, "reach", lambda _: common.Reached(name="docker", jobs=made, config=None, machine=None))  # type: ignore[arg-type]
    return made


@pytest.fixture
def rerun(invoke: Invoke, shelf: Shelf) -> Callable[..., Flags]:
    """The flags with which `rerun` would launch a job, read from the `docker run` that it shows."""

    def call(*argv: str, kept: Flags = KEPT) -> Flags:
        shelf.put("train", "Succeeded", submission=submission.encode(kept))
        result = invoke("rerun", "--backend", "docker", "--dry-run", "train", *argv)
        assert result.exit_code == 0, result.output
        found = re.search(r"'mlo-submit/submission=(.*?)'(?: |$)", result.stdout.replace("'\\''", "\0"))
        assert found
        return submission.decode(found[1].replace("\0", "'"))

    return call


def but(**other: Any) -> Flags:
    return Flags(**{**{name: getattr(KEPT, name) for name in KEPT.__dataclass_fields__}, "name": "train-2", **other})


def test_the_same_again_has_a_new_name(rerun: Callable[..., Flags]) -> None:
    assert rerun() == but()


@pytest.mark.parametrize(
    ("argv", "changed"),
    [
        (("-g", "4", "--time", "1h"), {"gpus": 4, "time": 3600}),
        (("-g", "0"), {"gpus": 0}),
        (("--env", "LR=1e-4", "--env", "X="), {"env": {"LR": "1e-4", "SEED": "1", "X": ""}}),
        (("--node-type", "v100"), {"node_types": ("v100",)}),
        (("--mount", "other:/o"), {"mounts": (Mount(source="other", target="/o"),)}),
        (("--no-large-shm", "--no-host-ipc", "--no-train"), {"large_shm": False, "host_ipc": False, "train": False}),
        (("-c", "make all"), {"line": "make all", "argv": ()}),
        (("--", "python", "-c", "pass", "--gpus", "9"), {"argv": ("python", "-c", "pass", "--gpus", "9")}),
        (("--name", "mine"), {"name": "mine"}),
        (("--replace",), {"name": "train"}),
    ],
)
def test_flags_that_are_given_take_the_place_of_those_kept(
    rerun: Callable[..., Flags], argv: tuple[str, ...], changed: dict[str, Any]
) -> None:
    assert rerun(*argv) == but(**changed)


def test_a_command_takes_the_place_of_a_line(rerun: Callable[..., Flags]) -> None:
    assert rerun("--", "true", kept=Flags(name="train", line="make all")) == Flags(name="train-2", argv=("true",))


def test_a_name_that_was_made_is_made_anew(invoke: Invoke, shelf: Shelf) -> None:
    shelf.put("jdoe-20260101-000000", submission=submission.encode(Flags()))
    for options, name in (((), r"jdoe-2\d{7}-\d{6}"), (("--replace",), "jdoe-20260101-000000")):
        shown = invoke("rerun", "--backend", "docker", "--dry-run", *options, "jdoe-20260101-000000").stdout
        found = re.search(r"--name (\S+)", shown)
        assert found
        assert re.fullmatch(name, found[1])
        assert (found[1] == "jdoe-20260101-000000") == bool(options)


@pytest.mark.parametrize(
    ("old", "taken", "new"),
    [
        ("train", {"train"}, "train-2"),
        ("train-2", {"train-2"}, "train-3"),
        ("train", {"train", "train-2", "train-3"}, "train-4"),
        ("train-9", set(), "train-10"),
        ("exp-20260101", set(), "exp-20260101-2"),
        ("2", set(), "2-2"),
        ("a" * 63, set(), "a" * 61 + "-2"),
        ("a" * 60 + "-bc", set(), "a" * 60 + "-2"),
    ],
)
def test_the_number_of_a_name_is_raised(old: str, taken: set[str], new: str) -> None:
    assert next_name(old, taken) == new


def test_the_env_of_now_is_used(invoke: Invoke, shelf: Shelf, env_file: Path) -> None:
    shelf.put("train", submission=submission.encode(Flags(name="train")))
    env_file.write_text(ENV.replace("base:1", "base:2"))
    assert " registry.example.org/mlo/base:2 " in invoke("rerun", "--backend", "docker", "--dry-run", "train").stdout


def test_names_of_others_are_taken(invoke: Invoke, shelf: Shelf) -> None:
    shelf.put("train", submission=submission.encode(KEPT))
    shelf.put("train-2", user="eve")
    assert "--name train-3 " in invoke("rerun", "--backend", "docker", "--dry-run", "train").stdout


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        ("", "does not tell with which flags it was launched: submit it with `mlo-submit --backend docker run`"),
        ('{"banana": 1}', "('banana')"),
        ('{"memory": "much"}', "'much' is no amount of memory"),
        ('{"gpus": 1000}', "--gpus"),
        ('{"env": {"1 A": "x"}}', "cannot be the name of a variable"),
        ('{"mounts": [{"source": "a", "target": "b/../.."}]}', "must be SRC:DST"),
    ],
)
def test_what_no_run_would_take_is_refused(invoke: Invoke, shelf: Shelf, kept: str, why: str) -> None:
    """As a submission that was changed by hand."""
    shelf.put("train", submission=kept)
    result = invoke("rerun", "--backend", "docker", "--dry-run", "train")
    assert (result.exit_code, result.stdout) == (73, "")
    assert why in result.stderr


def test_a_line_and_a_command_exclude_each_other(invoke: Invoke, shelf: Shelf) -> None:
    shelf.put("train", submission=submission.encode(KEPT))
    assert invoke("rerun", "--dry-run", "train", "-c", "a", "--", "b").exit_code == 2
