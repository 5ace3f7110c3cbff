"""Arrays on a real Kubernetes: real pods, each with its index and its row of a sweep, in one Job and one row.

MLO_TEST_ARRAY=200%8 has so many of them in the first test, which then takes minutes: a pod takes 2 processors half a
second.
"""

from __future__ import annotations

import json
import os

from mlo_submit.workload import parse_time
from tests.cluster.lab import Lab, Laptop, until
from tests.cluster.test_life_kubernetes import comes_to

TASKS, AT_ONCE = map(int, os.environ.get("MLO_TEST_ARRAY", "12%4").split("%"))
FAILING = {3: 4, 7: 5, TASKS - 1: 5}
"""Indices, with the exit codes of their tasks."""


def test_all_but_three_tasks_succeed_at_most_so_many_at_a_time(laptop: Laptop, lab: Lab) -> None:
    """The others go on, each failure is told with its reason, and what failed can be launched again, alone."""
    codes = " ".join(f"[{index}]={code}" for index, code in FAILING.items())
    line = f"typeset -A codes=({codes}); echo this is $SLURM_ARRAY_TASK_ID; exit ${{codes[$MLO_ARRAY_INDEX]:-0}}"
    done = laptop.submit(
        "run", "-n", laptop.name, "--array", f"0-{TASKS - 1}%{AT_ONCE}", "-f", "-c", line, seconds=60 + 5 * TASKS
    )
    assert done.returncode == 4, done.stderr
    assert f"({TASKS - 3}/{TASKS} done, 3 failed): tasks 3, 7, {TASKS - 1}." in done.stderr
    _, row = laptop.submit("list").stdout.splitlines()
    assert f"  Failed  {TASKS - 3}/{TASKS} done, 3 failed  " in row
    found = json.loads(laptop.submit("describe", "--json", laptop.name).stdout)
    assert found["failures"] == [
        {"indices": "3", "reason": "exit code 4", "exit_code": 4},
        {"indices": f"7,{TASKS - 1}", "reason": "exit code 5", "exit_code": 5},
    ]
    assert found["pods"] == []
    assert most_at_once(lab, laptop.name) <= AT_ONCE
    assert "this is 7\n" in laptop.submit("logs", laptop.name, "--index", "7").stdout
    again = laptop.submit("rerun", laptop.name, "--failed", "--replace", "-f", "-c", "echo again $MLO_ARRAY_INDEX")
    assert again.returncode == 0, again.stderr
    assert "(3/3 done)" in again.stderr
    assert f"again {TASKS - 1}\n" in laptop.submit("logs", laptop.name, "--index", str(TASKS - 1)).stdout


def most_at_once(lab: Lab, job: str) -> int:
    """How many containers of a job ran at the same time, at most."""
    changes = []
    for pod in lab.pods(job):
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        # Whole seconds: an end stands before a start of the same one.
        changes += [(parse_time(ended["startedAt"]), 1), (parse_time(ended["finishedAt"]), -1)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most


SWEEP = """\
LR,NOTE,args
1e-3,it's,--width 512
1e-4,"two
lines",--name 'a b'
1e-5,,
"""


def test_each_task_has_its_row_and_its_own_retries(laptop: Laptop) -> None:
    """Row N is that of index N, also where --array chooses some. A task that fails is tried again, and no other."""
    (laptop.project / "sweep.csv").write_text(SWEEP)
    once = '[[ $MLO_ARRAY_INDEX != 1 || -e once ]] || { touch once; exit 3; }; printf "<%s>" "$LR" "$NOTE" "$@"; echo'
    job = laptop.launch("--sweep", "sweep.csv", "--array", "1-2", "--retries", "1", "-c", once)
    found = comes_to(laptop, "Succeeded")
    assert (found["tasks"]["succeeded"], found["tasks"]["indices"], found["restarts"]) == (2, "1-2", 1)
    assert "<1e-4><two\nlines><--name><a b>\n" in laptop.submit("logs", job, "--index", "1").stdout
    assert "<1e-5><>\n" in laptop.submit("logs", job, "--index", "2").stdout


def test_a_time_limit_of_a_task(laptop: Laptop) -> None:
    """Its own alone: it has failed, whatever it made of it."""
    stubborn = '[ $MLO_ARRAY_INDEX = 0 ] || { trap "exit 0" TERM; sleep 600 & wait; }'
    job = laptop.launch("--array", "0-1", "--time", "2s", "-c", stubborn)
    found = comes_to(laptop, "Failed")
    assert (found["tasks"]["succeeded"], found["tasks"]["failed_indices"], found["restarts"]) == (1, "1", 0)
    told = json.loads(laptop.submit("describe", "--json", job).stdout)
    assert told["failures"] == [{"indices": "1", "reason": "time limit", "exit_code": 143}]


def test_an_array_is_entered_stopped_and_resumed(laptop: Laptop, lab: Lab) -> None:
    """What has succeeded by then is not run again."""
    job = laptop.launch("--array", "5,9%1", "-c", "[ $MLO_ARRAY_INDEX = 5 ] || until [ -e go ]; do sleep 0.1; done")
    until(lambda: running(laptop)["succeeded"] == 1, "the first task is done")
    entered = laptop.submit("exec", job, "--index", "9", "--", "sh", "-c", "echo in $PWD")
    assert entered.stdout == f"in {laptop.working_dir}\n", entered.stderr
    assert laptop.submit("stop", job).returncode == 0
    assert comes_to(laptop, "Stopped")["tasks"]["succeeded"] == 1
    assert laptop.submit("resume", job).returncode == 0
    until(lambda: running(laptop)["running"] == 1, "the second task runs")
    assert laptop.submit("exec", job, "--index", "9", "--", "touch", "go").returncode == 0
    log = laptop.submit("logs", "-f", "--exit-code", job, "--index", "9")
    assert log.returncode == 0
    assert "task 9 of" in log.stderr
    assert comes_to(laptop, "Succeeded")["tasks"]["succeeded"] == 2
    assert len(lab.pods(job)) == 2, "and the one that was stopped is gone"


def running(laptop: Laptop) -> dict[str, int]:
    found: dict[str, int] = json.loads(laptop.submit("describe", "--json", laptop.name).stdout)["tasks"]
    return found


def test_killing_an_array_takes_all_its_pods(laptop: Laptop, lab: Lab) -> None:
    job = laptop.launch("--array", "0-3", "--grace", "5m", "-c", "trap '' TERM; while true; do sleep 1; done")
    until(lambda: running(laptop)["running"] == 4, "all of them run")
    done = laptop.submit("delete", "--yes", "--now", job, seconds=60)
    assert done.returncode == 0, done.stderr
    assert lab.pods(job) == []
