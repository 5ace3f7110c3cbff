from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import advice, table
from mlo_submit.advice import MEANING, hint
from mlo_submit.workload import STATES, State, Workload
from tests.unit.submit.workloads import NOW, TRAIN, ago

WAITS = replace(
    TRAIN, name="waits", state="Pending", reason="no node has 64 free GPUs: 4 at most", gpus=64, started=None, pods=()
)
BROKEN = replace(
    TRAIN, name="broken", kind="interactive", state="Failed", exit_code=3, created=ago(days=4), finished=ago(hours=2)
)
JOBS = [WAITS, TRAIN, BROKEN]


def test_a_table() -> None:
    assert table.render(JOBS, NOW) == [
        "NAME    KIND         STATE    EXIT    AGE   TIME  GPUS  NODE   REASON",
        "waits   training     Pending     -  3h00m      -    64  -      no node has 64 free GPUs: 4 at most",
        "train   training     Running     -  3h00m  2h05m     2  gpu-1",
        "broken  interactive  Failed      3     4d     5m     2  gpu-1",
    ]


def test_the_reason_gives_way_and_where_it_has_no_room_it_stands_beneath() -> None:
    assert table.render(JOBS, NOW, width=90)[1].endswith("  no node has 64 free GPUs: …")
    assert table.render(JOBS, NOW, width=80)[:3] == [
        "NAME    KIND         STATE    EXIT    AGE   TIME  GPUS  NODE",
        "waits   training     Pending     -  3h00m      -    64  -",
        "    no node has 64 free GPUs: 4 at most",
    ]
    assert table.render(JOBS, NOW, width=20)[:3] == [
        "NAME    KIND       …",
        "waits   training   …",
        "    no node has 64 …",
    ]


def test_columns_that_are_empty_for_all_are_left_out_and_the_others_are_never_blank() -> None:
    job = replace(TRAIN, gpus=0, pods=(), started=None, state="Pending")
    assert table.render([job], NOW) == ["NAME   KIND      STATE      AGE", "train  training  Pending  3h00m"]
    pods = tuple(replace(TRAIN.pods[0], name=f"p{rank}", node=f"n{rank}", rank=rank) for rank in range(4))
    title, row = table.render([replace(job, pods=pods, gpus=8, restarts=2)], NOW, users=True)
    assert title.split() == ["NAME", "USER", "KIND", "STATE", "RESTARTS", "AGE", "GPUS", "NODE"]
    assert row.split() == ["train", "jdoe", "training", "Pending", "2", "3h00m", "4x8", "n0,+3"]


def test_only_the_state_is_coloured_and_the_width_is_that_of_what_is_seen() -> None:
    def paint(state: State, text: str) -> str:
        return f"<{state}>{text}</>"

    plain, coloured = (table.render(JOBS, NOW, width=30, paint=how) for how in (lambda _, text: text, paint))
    assert coloured[1] == "waits   training     <Pending>Pending</> …"
    assert [line.replace("<Running>", "").replace("</>", "") for line in coloured[3:4]] == plain[3:4]


def test_what_others_wrote_is_one_line_and_no_command_to_the_terminal() -> None:
    (_, row) = table.render([replace(WAITS, reason="a\n\x1b]0;title\x07b\u202e c")], NOW)
    assert row.endswith("  a ]0;title b c")


@given(
    st.lists(st.builds(replace, st.sampled_from(JOBS), reason=st.text(), restarts=st.integers(0, 99)), min_size=1),
    st.integers(1, 200),
)
def test_no_line_is_wider_than_the_terminal(jobs: list[Workload], width: int) -> None:
    assert max(map(len, table.render(jobs, NOW, width=width))) <= width


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (3599, "59m"),
        (7500, "2h05m"),
        (86399, "23h59m"),
        (108000, "1d06h"),
        (345600, "4d"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert table.span(seconds) == text


def test_thousands_of_jobs_are_no_work() -> None:
    jobs = [replace(WAITS, name=f"train-{number}") for number in range(5000)]
    began = time.process_time()
    assert len(table.render(jobs, NOW, width=120)) == 5001
    assert time.process_time() - began < 0.5


def say(*words: str) -> str:
    return " ".join(["mlo-submit", *words])


@pytest.mark.parametrize(
    ("state", "reason", "command"),
    [
        ("Pending", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", "mlo-submit list --all-users"),
        ("Pending", "PVC data does not exist", "mlo-submit rerun train --pvc CLAIM"),
        ("Pending", "waits in its queue", "mlo-submit list --all-users"),
        (
            "Pending",
            "waits in the queue q: 1 more nvidia.com/gpu must become free; 1 job before it",
            "mlo-submit queue",
        ),
        (
            "Pending",
            "waits in the queue q: it asks for 9 nvidia.com/gpu of 8 in all; 0 jobs before it",
            "--gpus NUMBER",
        ),
        ("Pending", "waits in the queue q: (is there a WorkloadPriorityClass p?)", "mlo-submit rerun train --priority"),
        ("Starting", "the image x:1 cannot be pulled: denied", "mlo-submit rerun train --image IMAGE"),
        ("Starting", "", "mlo-submit logs -f train"),
        ("Running", "", "mlo-submit shell train"),
        ("Stopped", "", "mlo-submit resume train"),
        ("Succeeded", "", "mlo-submit logs train"),
        ("Failed", "OOM killed at 64Gi", "mlo-submit rerun train --memory AMOUNT"),
        ("Failed", "time limit", "mlo-submit rerun train --time DURATION"),
        ("Failed", "ended by signal 9", "outside killed it"),
        ("Failed", "nobody used its pod", "mlo-submit rerun train --stop-when-idle DURATION"),
        ("Failed", "evicted: shared memory grew beyond 1Gi", "mlo-submit rerun train --shm-size AMOUNT"),
        ("Failed", "exit code 127", "no such command"),
        ("Failed", "exit code 64", "its boot refused"),
        ("Failed", "exit code 640", "its last words"),
        ("Failed", "exit code 1", "mlo-submit logs train"),
    ],
)
def test_the_hint_fits_the_state_and_the_reason(state: State, reason: str, command: str) -> None:
    assert command in hint(replace(TRAIN, state=state, reason=reason), say)


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_meaning_and_a_hint_whatever_the_reason(state: State) -> None:
    job = replace(TRAIN, state=state, reason="something new")
    assert hint(job, say).endswith(".")
    assert advice.why(job) == "something new"
    assert advice.why(replace(job, reason="")) == MEANING[state]
