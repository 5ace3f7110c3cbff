"""The tasks of an array on Kubernetes, as commands show them: what is asked of the API, and what is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlo_submit import sweep
from mlo_submit.backends.kubernetes.manifest import render
from mlo_submit.backends.kubernetes.words import FAILURES
from mlo_submit.env import Config
from mlo_submit.job import Flags, from_flags
from mlo_submit.tasks import named
from tests.unit.submit.arrays import COMPLETE, FAILED, NOW, Put, of_task, putting
from tests.unit.submit.conftest import Api, Invoke
from tests.unit.submit.kubejobs import JOBS, PODS, recorded
from tests.unit.submit.test_look import check, documented
from tests.unit.submit.test_words import NO_GPU, a_pod, ended


@pytest.fixture
def put(api: Api, config: Config, env_file: Path) -> Put:
    return putting(api, config, env_file)


# ---- what is sent


def test_one_indexed_job_whose_tasks_fail_and_are_tried_again_each_by_itself(config: Config) -> None:
    job = from_flags(config, Flags(name="x", array="5-104%8", argv=("train",), retries=2, time=60), NOW)
    spec = render(job)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 100, 8)
    assert spec["backoffLimitPerIndex"] == 2
    assert {"backoffLimit", "maxFailedIndexes"} & spec.keys() == set()
    final = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [137]}}
    assert spec["podFailurePolicy"]["rules"][1] == final
    assert spec["template"]["spec"]["containers"][0]["args"][0] == "mlo-task"
    many = from_flags(config, Flags(name="x", array="0-3%8", argv=("train",)), NOW)
    assert render(many)["spec"]["parallelism"] == 4


@pytest.mark.parametrize("tasks", [1, 100, 1000])
def test_any_number_of_tasks_is_one_request(invoke: Invoke, put: Put, api: Api, tasks: int) -> None:
    put()
    api.answers["POST", JOBS] = 201, {"metadata": {"uid": "1"}}
    api.answers["GET", f"{PODS[:-5]}/persistentvolumeclaims/mlo-scratch"] = 200, {"kind": "PersistentVolumeClaim"}
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


def test_describe_tells_of_one_task_as_of_a_job(invoke: Invoke, put: Put, api: Api) -> None:
    """Its pod, its reason, its restarts, and the commands for it alone."""
    put(failedIndexes="3", active=8, ready=8)
    pod = of_task(3, a_pod("Failed", state=ended(2)))
    pod["metadata"]["annotations"][FAILURES] = "2"
    asked = recorded(api, PODS, lambda query: [pod] if query["labelSelector"].endswith("=3") else [])
    text = invoke("describe", "--index", "3", "sweep").stdout
    assert text.startswith("task 3 of sweep is Failed: exit code 2\n")
    facts = [line.split() for line in text.splitlines()]
    assert ["pod", pod["metadata"]["name"]] in facts
    assert ["restarts", "2"] in facts
    assert "`mlo-submit logs --index 3 sweep`" in text
    assert "`mlo-submit rerun --array 3 sweep`" in text
    assert sum("!mlo-submit/array" not in query["labelSelector"] for query in asked) == 1
    assert "no task 100" in invoke("describe", "--why", "--index", "100", "sweep").stderr


def test_a_task_whose_time_was_over_says_so(invoke: Invoke, put: Put, api: Api) -> None:
    """That of an older version: its pod had the limit, and its container ended as it liked."""
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
