"""What counts as a use of a pod."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlo_entry import idle, supervise
from mlo_entry.idle import CPU, GPU, NETWORK, Sample, activity

BEFORE = Sample(at=1000.0, cpu=50.0, network=7_000_000, gpu=0, typed=990.0)
QUIET = Sample(at=1030.0, cpu=50.0 + 30 * CPU, network=7_000_000 + int(30 * NETWORK), gpu=GPU, typed=990.0)


def test_what_stays_below_the_marks_is_no_use() -> None:
    assert activity(BEFORE, QUIET) == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cpu": 50.0 + 30 * 0.5}, "processors (0.50 of one)"),
        ({"network": 7_000_000 + 30 * 20_000}, "the network (20 kB/s)"),
        ({"gpu": 97}, "a GPU (97 %)"),
        ({"typed": 998.0}, "a terminal"),
    ],
)
def test_each_use_is_named(changes: dict[str, float], told: str) -> None:
    assert activity(BEFORE, QUIET._replace(**changes)) == told  # type: ignore[arg-type]  # of mixed numbers


def test_a_process_that_ended_unseen_takes_its_time_along() -> None:
    """The sum may shrink then, and that is no use."""
    assert activity(BEFORE, QUIET._replace(cpu=40.0)) == ""


def test_a_terminal_that_closes_while_it_is_looked_at_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(idle, "_terminals", lambda: [str(tmp_path / "closed")])
    assert idle._eye()().typed == 0


def test_a_job_of_which_only_what_sudo_started_is_left_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refuse)
    assert supervise.is_alive(1)
