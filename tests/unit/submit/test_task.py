"""One task of an array: what commands show of it and do in it, and how an array is followed and killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlo_submit.backends.kubernetes.arrays import RANK
from mlo_submit.env import Config
from tests.unit.submit.arrays import FAILED, Put, an_array, of_task, putting
from tests.unit.submit.conftest import Api, Fake, Invoke
from tests.unit.submit.kubejobs import JOBS, PODS, Query, recorded
from tests.unit.submit.test_words import RUNS, a_pod, ended


@pytest.fixture
def put(api: Api, config: Config, env_file: Path) -> Put:
    return putting(api, config, env_file)


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
