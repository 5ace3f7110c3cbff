"""The tasks of an array on Kubernetes, as commands show them: what is asked of the API, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlo_submit import sweep
from mlo_submit.backends.kubernetes.arrays import RANK
from mlo_submit.backends.kubernetes.manifest import render
from mlo_submit.env import Config
from mlo_submit.job import Flags, from_flags
from mlo_submit.sweep import Task
from mlo_submit.tasks import named
from tests.unit.submit.conftest import ENV, Api, Fake, Invoke
from tests.unit.submit.test_kubernetes_jobs import EVENTS, JOBS, PODS, Query, recorded
from tests.unit.submit.test_look import check, documented
from tests.unit.submit.test_words import BEGAN, CREATED, ENDED, NO_GPU, RUNS, a_pod, ended

NOW = datetime(2026, 11, 24)
FAILED = {"type": "Failed", "status": "True", "reason": "FailedIndexes", "lastTransitionTime": ENDED}
COMPLETE = {"type": "Complete", "status": "True", "lastTransitionTime": ENDED}
ROWS = sweep.Sweep(file="sweep.csv", rows=sweep.pack([Task(env={"LR": str(row)}) for row in range(110)]))

Put = Callable[..., dict[str, Any]]


def an_array(config: Config, text: str = "0-99%8", **status: Any) -> dict[str, Any]:
    """The Job of an array as the API has it."""
    flags = Flags(name="sweep", array=text, sweep=ROWS, argv=("train",), retries=1)
    job = render(from_flags(config, flags, NOW))
    job["metadata"].update(uid="sweep", creationTimestamp=CREATED)
    return {**job, "status": {"startTime": BEGAN, **status}}


def of_task(place: int, pod: dict[str, Any]) -> dict[str, Any]:
    pod["metadata"].update(
        name=f"sweep-{place}-abcde", labels={"job-name": "sweep"}, annotations={RANK: str(place)}, uid=f"pod-{place}"
    )
    return pod


@pytest.fixture
def put(api: Api, config: Config, env_file: Path) -> Put:
    """Puts an array into the API, without any pod."""
    env_file.write_text(ENV + "MLO_BACKEND=kubernetes\n")

    def add(text: str = "0-99%8", **status: Any) -> dict[str, Any]:
        job = an_array(config, text, **status)
        api.answers["GET", JOBS] = 200, {"items": [job]}
        api.answers["GET", f"{JOBS}/sweep"] = 200, job
        api.answers["GET", PODS] = api.answers["GET", EVENTS] = 200, {"items": []}
        return job

    return add


# ---- what is sent


def test_one_indexed_job_whose_tasks_fail_and_are_tried_again_each_by_itself(config: Config) -> None:
    job = from_flags(config, Flags(name="x", array="5-104%8", argv=("train",), retries=2, time=60), NOW)
    spec = render(job)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 100, 8)
    assert spec["backoffLimitPerIndex"] == 2
    assert {"backoffLimit", "maxFailedIndexes", "activeDeadlineSeconds"} & spec.keys() == set()
    assert spec["podFailurePolicy"]["rules"][1]["action"] == "FailIndex"
    assert spec["template"]["spec"]["activeDeadlineSeconds"] == 60
    assert spec["template"]["spec"]["containers"][0]["args"][0] == "mlo-task"
    many = from_flags(config, Flags(name="x", array="0-3%8", argv=("train",)), NOW)
    assert render(many)["spec"]["parallelism"] == 4


@pytest.mark.parametrize("tasks", [1, 100, 1000])
def test_any_number_of_tasks_is_one_request(invoke: Invoke, put: Put, api: Api, tasks: int) -> None:
    put()
    api.answers["POST", JOBS] = 201, {"metadata": {"uid": "1"}}
    api.answers["GET", f"{PODS[:-5]}/persistentvolumeclaims/mlo-scratch"] = 200, {}
    words = ("run", "--skip-secret-sync", "--name", "sweep", "--array", f"0-{tasks - 1}", "--", "train")
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    assert [method for method, _ in api.paths()] == ["GET", "POST"]
    assert "mlo-submit logs --index 0 sweep" in result.stderr


def test_a_name_leaves_room_for_the_highest_place(invoke: Invoke, put: Put) -> None:
    put()
    result = invoke("run", "--dry-run", "--name", "n" * 60, "--array", "0-99", "--", "train")
    assert (result.exit_code, "at most 60" in result.stderr) == (0, False), result.stderr
    result = invoke("run", "--dry-run", "--name", "n" * 60, "--array", "0-100", "--", "train")
    assert (result.exit_code, "at most 59" in result.stderr) == (73, True)


# ---- list and describe


def test_an_array_is_one_row_and_its_pods_are_not_asked_for(invoke: Invoke, put: Put, api: Api) -> None:
    put(active=1, ready=1, completedIndexes="0-16,18-98", failedIndexes="17,40-41", failed=6)
    pods = recorded(api, PODS, lambda _: [])
    titles, row = invoke("list").stdout.splitlines()
    assert row.split("  ")[:4] == ["sweep", "training", "Running", "98/100 done, 3 failed"]
    assert "TASKS" in titles
    assert row.endswith("failed so far: tasks 17, 40-41")
    assert [query["labelSelector"].rpartition(",")[2] for query in pods] == ["!mlo-submit/array"]
    (found,) = json.loads(invoke("list", "--json").stdout)
    check(found["tasks"], documented()["`tasks`"])
    assert found["tasks"] == {
        "total": 100,
        "at_once": 8,
        "running": 1,
        "succeeded": 98,
        "failed": 3,
        "indices": "0-99",
        "failed_indices": "17,40-41",
    }
    assert (found["restarts"], found["pods"], found["exit_code"]) == (3, [], None)


def test_why_an_array_waits_is_told_by_some_of_its_pods(invoke: Invoke, put: Put, api: Api) -> None:
    """One request more, of a bounded answer."""
    put(active=8)
    waits = [of_task(place, a_pod("Pending", NO_GPU, node="")) for place in range(8)]
    pods = recorded(api, PODS, lambda query: waits if query.get("fieldSelector") == "status.phase=Pending" else [])
    assert "no node has 8 free nvidia.com/gpu" in invoke("describe", "--why", "sweep").stdout
    assert [query["limit"] for query in pods] == ["1000", "100"]
    assert "Pending  0/100 done" in invoke("list").stdout


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        ({}, "Pending", "its pod is not made yet"),
        ({"active": 8}, "Pending", "its pod is not made yet"),
        ({"active": 8, "completedIndexes": "0-7"}, "Running", ""),
        ({"active": 8, "ready": 3}, "Running", ""),
        ({"completedIndexes": "0-99", "conditions": [COMPLETE]}, "Succeeded", ""),
        ({"completedIndexes": "0-98", "failedIndexes": "99", "conditions": [FAILED]}, "Failed", "task 99"),
    ],
)
def test_the_state_of_an_array(invoke: Invoke, put: Put, status: dict[str, Any], state: str, reason: str) -> None:
    put(**status)
    (found,) = json.loads(invoke("list", "--json").stdout)
    assert (found["state"], found["reason"]) == (state, reason)


@pytest.mark.parametrize(
    ("left", "state"), [({"active": 2}, "Stopping"), ({"terminating": 2}, "Stopping"), ({}, "Stopped")]
)
def test_an_array_is_stopped_once_its_last_pod_is_gone(
    invoke: Invoke, put: Put, left: dict[str, Any], state: str
) -> None:
    job = put(**left)
    job["spec"]["suspend"] = True
    job["metadata"]["annotations"]["mlo-submit/stopped"] = "true"
    (found,) = json.loads(invoke("list", "--json").stdout)
    assert found["state"] == state


def test_a_job_whose_indices_do_not_fit_is_none(invoke: Invoke, put: Put) -> None:
    """Somebody changed its annotation."""
    for text in ("0-98", "nonsense", ""):
        put()["metadata"]["annotations"]["mlo-submit/array"] = text
        assert json.loads(invoke("list", "--json").stdout)[0]["tasks"] is None


def test_describe_tells_which_failed_and_why_without_asking_for_each(invoke: Invoke, put: Put, api: Api) -> None:
    """Those with one reason together; the last try counts; what nobody knows any more is said."""
    put("10-109%8", completedIndexes="0-2,4-98", failedIndexes="3,7,50-52", conditions=[FAILED], failed=9)
    killed = [of_task(50 + n, a_pod("Failed", state=ended(137, "OOMKilled"))) for n in range(2)]
    first = of_task(3, a_pod("Failed", number=1, state=ended(9)))
    last = of_task(3, a_pod("Failed", number=2, state=ended(2)))
    gave_up = of_task(1, a_pod("Failed", number=3, state=ended(5)))  # and then it did not
    failed = [*killed, last, first, gave_up, of_task(7, a_pod("Failed", state=ended(2)))]
    asked = recorded(api, PODS, lambda query: failed if query.get("fieldSelector") == "status.phase=Failed" else [])
    text = invoke("describe", "sweep").stdout
    lines = [line.split("  ", 1) for line in map(str.strip, text.splitlines())]
    assert ["13, 17", "exit code 2"] in [[a, b.strip()] for a, b in (line for line in lines if len(line) == 2)]
    assert "60-61   OOM killed at 64Gi" in text
    assert "62      its pod is gone, and the reason with it" in text
    assert "98/100 done, 5 failed, of 10-109; at most 8 at a time" in text
    assert "mlo-submit rerun sweep --failed" in text
    assert len(asked) == 3, "those of the job, of its events, and the failed ones"
    found = json.loads(invoke("describe", "--json", "sweep").stdout)
    fields = documented()
    check(found, fields["A job"] | fields["What `describe` adds to a job"])
    check(found["submitted"], fields["`submitted`"])
    for failure in found["failures"]:
        check(failure, fields["A failure"])
    assert found["failures"][0] == {"indices": "13,17", "reason": "exit code 2", "exit_code": 2}


def test_a_task_whose_time_was_over_says_so(invoke: Invoke, put: Put, api: Api) -> None:
    """Its pod has the time limit, and not the Job; its container ends as it likes."""
    put(failedIndexes="3", active=8, ready=8)
    api.answers["GET", PODS] = (
        200,
        {"items": [of_task(3, a_pod("Failed", state=ended(0, "Completed"), reason="DeadlineExceeded"))]},
    )
    assert json.loads(invoke("describe", "--json", "sweep").stdout)["failures"][0]["reason"] == "time limit"


def test_many_indices_are_cut_where_people_read_them() -> None:
    assert named([3, 17, 40, 41, 42]) == "3, 17, 40-42"
    text = named(range(0, 1000, 2))
    assert len(text) < 70
    assert text.endswith("30, …")


# ---- one task


@pytest.fixture
def kubectl(fake: Callable[[str], Fake]) -> Fake:
    program = fake("kubectl")
    program.reply(out="2026-11-24T08:00:05Z step\n")
    return program


def test_the_log_of_a_task_is_that_of_its_pod(invoke: Invoke, put: Put, api: Api, kubectl: Fake) -> None:
    """Found by its place in the Job, which is not its index."""
    put("10-109", active=90, ready=90, completedIndexes="0-9")
    asked = recorded(
        api, PODS, lambda query: [of_task(7, a_pod("Running", state=RUNS))] if RANK in query["labelSelector"] else []
    )
    result = invoke("logs", "sweep", "--index", "17")
    assert (result.exit_code, result.stdout) == (0, "step\n")
    assert asked[-1]["labelSelector"] == f"job-name=sweep,{RANK}=7"
    assert kubectl.calls[0][3:5] == ["sweep-7-abcde", "--container"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--index", "100"), 73, "sweep has no task 100. Its indices: 0-99."),
        (("--index", "50"), 0, "task 50 of sweep is Pending: it waits for its turn."),
        (("--index", "3"), 73, "task 3 of sweep is Succeeded: it ended as it should. Its pod is gone, and its log"),
        (("--index", "9"), 73, "task 9 of sweep is Failed: its pod is gone, and the reason with it."),
        ((), 73, "an array of 100 tasks (9/100 done, 1 failed): name one, such as --index 10."),
    ],
)
def test_logs_that_there_are_not(invoke: Invoke, put: Put, words: tuple[str, ...], code: int, says: str) -> None:
    put(active=8, ready=8, completedIndexes="0-8", failedIndexes="9")
    result = invoke("logs", "sweep", *words)
    assert (result.exit_code, says in " ".join(result.stderr.split())) == (code, True), result.stderr


def test_following_a_task_ends_with_it(invoke: Invoke, put: Put, api: Api, kubectl: Fake) -> None:
    """The array goes on."""
    put(active=8, ready=8, failedIndexes="7")
    api.answers["GET", PODS] = 200, {"items": [of_task(7, a_pod("Failed", state=ended(5)))]}
    result = invoke("logs", "-f", "--exit-code", "sweep", "--index", "7")
    assert (result.exit_code, result.stdout) == (5, "step\n")
    assert "task 7 of sweep failed after 59m: exit code 5." in result.stderr


def test_following_an_array_tells_how_far_it_is_and_what_failed(
    invoke: Invoke, put: Put, api: Api, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is that of the first task that failed, by its index."""
    put()
    monkeypatch.setattr("mlo_submit.follow.LOOKS", (0.01, 0.02))
    course = [
        an_array(config, active=8, ready=8, completedIndexes="0-7"),
        an_array(config, active=8, ready=8, completedIndexes="0-7", failedIndexes="9"),
        an_array(config, completedIndexes="0-2,4-8,10-99", failedIndexes="3,9", conditions=[FAILED]),
    ]
    api.answers["GET", f"{JOBS}/sweep"] = lambda: (200, course.pop(0) if len(course) > 1 else course[0])
    pods = [of_task(9, a_pod("Failed", state=ended(4))), of_task(3, a_pod("Failed", state=ended(6)))]
    api.answers["GET", PODS] = lambda query: (200, {"items": pods if "fieldSelector" in query else []})
    result = invoke("logs", "-f", "--exit-code", "sweep")
    assert (result.exit_code, result.stdout) == (6, "")
    assert result.stderr.splitlines() == [
        "sweep is Running: 8/100 done.",
        "task 9 of sweep failed: exit code 4. See `mlo-submit logs sweep --index 9`.",
        "sweep is Running: 8/100 done, 1 failed.",
        "task 3 of sweep failed: exit code 6. See `mlo-submit logs sweep --index 3`.",
        "sweep failed after 59m (98/100 done, 2 failed): tasks 3, 9.",
    ]


def test_a_command_needs_a_task_that_runs(invoke: Invoke, put: Put, api: Api, kubectl: Fake) -> None:
    put(active=8, ready=8, completedIndexes="0-8", failedIndexes="9")
    api.answers["GET", PODS] = lambda query: (
        200,
        {"items": [of_task(10, a_pod("Running", state=RUNS))] if f"{RANK}=10" in query["labelSelector"] else []},
    )
    assert invoke("exec", "sweep", "--index", "10", "--", "true").exit_code == 0
    assert "sweep-10-abcde" in kubectl.calls[0]
    for words, says in (
        (("--index", "3"), "task 3 of sweep has ended, and nothing runs in it any more"),
        (("--index", "9"), "`mlo-submit rerun sweep --array 9`"),
        ((), "name one, such as --index 10."),
    ):
        result = invoke("exec", "sweep", *words, "--", "true")
        assert (result.exit_code, says in " ".join(result.stderr.split())) == (73, True), result.stderr


def test_a_job_that_is_no_array_has_no_index(invoke: Invoke, put: Put) -> None:
    del put()["metadata"]["annotations"]["mlo-submit/array"]
    assert "sweep is no array: leave out --index." in invoke("logs", "sweep", "--index", "3").stderr


def test_killing_an_array_is_two_requests(invoke: Invoke, put: Put, api: Api) -> None:
    put(active=8, ready=8)
    asked: list[Query] = []

    def delete(query: Query) -> tuple[int, Any]:
        asked.append(query)
        api.answers["GET", JOBS] = 200, {"items": []}
        return 200, {}

    api.answers["DELETE", f"{JOBS}/sweep"] = 200, {}
    api.answers["DELETE", PODS] = delete
    assert invoke("delete", "--yes", "--now", "sweep").exit_code == 0
    assert asked == [{"labelSelector": "job-name=sweep", "gracePeriodSeconds": "0"}]


# ---- rerun


def test_only_what_failed_is_launched_again_with_its_own_rows(invoke: Invoke, put: Put) -> None:
    put(completedIndexes="0-2,4-16,18-99", failedIndexes="3,17", conditions=[FAILED])
    for words, name in (((), "sweep-2"), (("--replace",), "sweep")):
        result = invoke("rerun", "sweep", "--failed", "--dry-run", *words)
        assert result.exit_code == 0, result.output
        sent = yaml.safe_load(result.stdout)
        assert (sent["metadata"]["name"], sent["spec"]["completions"]) == (name, 2)
        environ = {each["name"]: each["value"] for each in sent["spec"]["template"]["spec"]["containers"][0]["env"]}
        assert environ["MLO_ARRAY"] == "3,17"
        assert [task.env for task in sweep.unpack(environ["MLO_SWEEP"])] == [{"LR": "3"}, {"LR": "17"}]


def test_what_cannot_be_launched_again(invoke: Invoke, put: Put) -> None:
    put(active=8, completedIndexes="0-8")
    result = invoke("rerun", "sweep", "--failed", "--dry-run")
    assert (result.exit_code, "no task of sweep has failed (9/100 done)" in result.stderr) == (73, True)
    put(failedIndexes="3")
    result = invoke("rerun", "sweep", "--failed", "--array", "4", "--dry-run")
    assert (result.exit_code, "--failed and --array exclude each other" in result.stderr) == (2, True)
