"""The jobs that are there: what is asked of the API, and what is made of the answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mlo_submit.backends.kubernetes import jobs as backend
from mlo_submit.backends.kubernetes import words
from mlo_submit.backends.kubernetes.jobs import Jobs
from mlo_submit.env import Config
from mlo_submit.errors import LoginError, RefusedError
from tests.unit.submit.conftest import Api, status
from tests.unit.submit.kubejobs import (
    EVENTS,
    JOBS,
    MINE,
    NAMESPACE,
    PODS,
    Query,
    event,
    named,
    pod_for,
    recorded,
)
from tests.unit.submit.test_words import BEGAN, CREATED, GAVE_WAY, RUNS, a_pod, ended

# ---- all and find


def test_my_jobs_newest_first_selected_by_the_server(api: Api, jobs: Jobs, config: Config) -> None:
    asked = recorded(api, JOBS, lambda _: [named(config, "old"), named(config, "new", BEGAN), named(config, "also")])
    pods = recorded(api, PODS, lambda _: [pod_for("new", a_pod("Running", state=RUNS))])
    found = jobs.all()
    assert [(job.name, job.state) for job in found] == [("new", "Running"), ("old", "Pending"), ("also", "Pending")]
    assert found[0].nodes == ("gpu-0",)
    selector = f"{MINE},mlo-submit/backend!=runai"
    assert [query["labelSelector"] for query in asked + pods] == [selector, f"{selector},!mlo-submit/array"]
    assert pods[0]["fieldSelector"] == "status.phase!=Succeeded"
    jobs.all(everybody=True)
    assert "mlo-submit/user" not in asked[-1]["labelSelector"] + pods[-1]["labelSelector"]


def test_jobs_and_pods_are_asked_for_at_once(api: Api, jobs: Jobs, config: Config) -> None:
    both = threading.Barrier(2, timeout=5)

    def meet() -> tuple[int, Any]:
        both.wait()
        return 200, {"items": []}

    api.answers["GET", JOBS] = api.answers["GET", PODS] = meet
    assert jobs.all() == []


@pytest.mark.parametrize("few", [1, 0])
def test_pods_of_jobs_that_succeeded_are_asked_for_when_they_are_few(
    api: Api, jobs: Jobs, config: Config, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Without them only the node and the exact times are not known."""
    monkeypatch.setattr(backend, "FEW", few)
    api.answers["GET", JOBS] = 200, {"items": [named(config, "x", CREATED, {"type": "Complete"})]}
    done = a_pod("Succeeded", state=ended(0, "Completed"))
    asked = recorded(api, PODS, lambda query: [done] if query["fieldSelector"] == "status.phase=Succeeded" else [])
    (found,) = jobs.all()
    assert (found.state, found.exit_code, found.nodes) == ("Succeeded", 0, ("gpu-0",) if few else ())
    assert len(asked) == 1 + few


def test_a_pod_that_succeeds_between_the_two_requests_for_pods_is_one(api: Api, jobs: Jobs, config: Config) -> None:
    """As the later answer has it; two pods of a rank would be a restart."""
    api.answers["GET", JOBS] = 200, {"items": [named(config, "x", CREATED, {"type": "Complete"})]}
    before, after = a_pod("Running", state=RUNS), a_pod("Succeeded", state=ended(0, "Completed"))
    recorded(api, PODS, lambda query: [after if query["fieldSelector"] == "status.phase=Succeeded" else before])
    (found,) = jobs.all()
    assert (found.restarts, [pod.state for pod in found.pods]) == (0, ["Succeeded"])


def pages(*answers: Any) -> Callable[[Query], Any]:
    """Answers of a list: items go on to the next page, a status ends it."""

    def answer(query: Query) -> Any:
        number = int(query.get("continue", 0))
        found = (
            answers[number]
            if "limit" in query
            else [item for page in answers if isinstance(page, list) for item in page]
        )
        if isinstance(found, tuple):
            return found
        last = number + 1 == len(answers) or "limit" not in query
        return 200, {"metadata": {} if last else {"continue": str(number + 1)}, "items": found}

    return answer


def test_pages_are_put_together(api: Api, jobs: Jobs, config: Config) -> None:
    api.answers["GET", JOBS] = pages([named(config, "a")], [named(config, "b")])
    assert {job.name for job in jobs.all()} == {"a", "b"}


def test_a_list_of_a_moment_that_the_server_forgot_is_begun_anew(api: Api, jobs: Jobs, config: Config) -> None:
    """Each job comes once."""
    api.answers["GET", JOBS] = pages([named(config, "a")], status(410, "the provided continue parameter is too old"))
    assert [job.name for job in jobs.all()] == ["a"]
    api.answers["GET", JOBS] = status(410, "gone")
    with pytest.raises(RefusedError, match="gone"):
        jobs.all()


def test_find_also_finds_the_jobs_of_others(api: Api, jobs: Jobs, config: Config) -> None:
    theirs = named(config, "x")
    theirs["metadata"]["labels"]["mlo-submit/user"] = "other"
    api.answers["GET", f"{JOBS}/x"] = 200, theirs
    asked = recorded(api, PODS, lambda _: [a_pod("Running", state=RUNS)])
    found = jobs.find("x")
    assert (found.user, found.state) == ("other", "Running")
    assert asked[0]["labelSelector"] == "job-name=x,!mlo-submit/array"


def test_find_finds_only_what_mlo_submit_made(api: Api, jobs: Jobs, config: Config) -> None:
    with pytest.raises(RefusedError, match=f"there is no job x in {NAMESPACE}: `mlo-submit list` shows yours"):
        jobs.find("x")
    helms = named(config, "x")
    helms["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "helm"
    api.answers["GET", f"{JOBS}/x"] = 200, helms
    with pytest.raises(RefusedError, match="was not made by mlo-submit"):
        jobs.find("x")


def test_a_name_cannot_leave_its_place(api: Api, jobs: Jobs) -> None:
    with pytest.raises(RefusedError):
        jobs.find("../pods/x")
    assert ("GET", f"{JOBS}/..%2Fpods%2Fx") in api.paths()


def test_a_quota_is_read_from_the_events_only_where_no_pod_is_made(api: Api, jobs: Jobs, config: Config) -> None:
    api.answers["GET", f"{JOBS}/x"] = 200, named(config, "x")
    quota = 'Error creating: pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=9, limited: pods=9'
    asked = recorded(api, EVENTS, lambda _: [event("x", "Job", "FailedCreate", quota), event("y", "Job", "", "other")])
    assert jobs.find("x").reason == "the quota q has no room for 1 more pods (9 of 9 used)"
    assert [query["fieldSelector"] for query in asked] == ["involvedObject.kind=Job,reason=FailedCreate"]
    api.answers["GET", PODS] = 200, {"items": [a_pod("Running", state=RUNS)]}
    jobs.find("x")
    assert len(asked) == 1


# ---- events


def test_a_timeline(api: Api, jobs: Jobs, config: Config) -> None:
    """Of the Job and all of its pods, also of one that is gone; what both the events and the pods tell is told once."""
    job = named(config, "x", CREATED, {"type": "Failed", "reason": "FailedIndexes"})
    api.answers["GET", f"{JOBS}/x"] = 200, job
    api.answers["GET", PODS] = 200, {"items": [a_pod("Failed", state=ended(3), number=1)]}
    told = {
        "x": [
            event("x", "Job", "SuccessfulCreate", "Created pod: x-0-0", "2026-11-24T08:00:00Z"),
            event("x", "Job", "SuccessfulCreate", "Created pod: x-0-1", "2026-11-24T08:00:01Z"),
            event("x", "Job", "FailedIndexes", "Job has failed indexes"),
            event(
                *("x", "Job", "Stopped", "Preempted to accommodate a workload (UID: 1) due to prioritization"),
                "2026-11-24T08:00:01Z",
                count=2,
            ),
            event("x", "Job", "SuccessfulCreate", "Created pod: x-0-earlier", "2026-11-23T08:00:01Z"),
        ],
        "x-0-0": [
            event(
                "x-0-0", "Pod", "Scheduled", f"Successfully assigned {NAMESPACE}/x-0-0 to gpu-1", "2026-11-24T08:00:01Z"
            ),
            event("x-0-0", "Pod", "Started", "Started container job", "2026-11-24T08:00:02Z"),
            event(
                "x-0-0",
                "Pod",
                "Preempted",
                "Preempted by pod 6f3 on node gpu-1",
                "2026-11-24T08:00:03Z",
                type="Warning",
            ),
        ],
        "x-0-1": [
            event(
                *("x-0-1", "Pod", "FailedScheduling"),
                "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available.",
                "2026-11-24T08:00:04Z",
                type="Warning",
                lastTimestamp=None,
                eventTime="2026-11-24T08:00:03.500000Z",
                series={"count": 12, "lastObservedTime": "2026-11-24T08:00:04.500000Z"},
            ),
            event("x-0-1", "Pod", "Started", "Started container job", BEGAN),
            event("x-0-1", "Pod", "Tomorrow", "What nobody knows yet", "2026-11-24T08:30:00Z"),
        ],
    }
    asked = recorded(api, EVENTS, lambda query: told.get(query["fieldSelector"].partition("name=")[2], []))
    found = jobs.events(jobs.find("x"))
    assert [(f"{each.at:%H:%M:%S}", each.text, each.warning) for each in found] == [
        ("08:00:00", "created", False),
        ("08:00:01", "gave way to another job of its queue", False),
        ("08:00:01", "placed on gpu-1", False),
        ("08:00:02", "runs", False),
        ("08:00:03", "gave way to a job of higher priority", True),
        ("08:00:04", "no node has 8 free nvidia.com/gpu (12 times)", True),
        ("08:00:05", "runs on gpu-0", False),
        ("08:30:00", "What nobody knows yet", False),
        ("09:00:00", "failed: exit code 3", True),
    ]
    assert {query["fieldSelector"] for query in asked} == {
        f"involvedObject.name={name}" for name in ("x", "x-0-0", "x-0-1")
    }


def test_a_timeline_that_the_cluster_has_forgotten(api: Api, jobs: Jobs, config: Config) -> None:
    """An hour later there are no events any more."""
    suspended = {"type": "Suspended", "status": "False", "lastTransitionTime": "2026-11-24T08:00:03Z"}
    api.answers["GET", f"{JOBS}/x"] = 200, named(config, "x", CREATED, suspended)
    pods = [a_pod("Failed", GAVE_WAY, state=ended(143)), a_pod("Running", state=RUNS, number=59)]
    pods[1]["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": "2026-11-24T09:00:09Z"}}
    api.answers["GET", PODS] = 200, {"items": pods}
    assert [f"{each.at:%H:%M:%S} {each.text}" for each in jobs.events(jobs.find("x"))] == [
        "08:00:00 created",
        "08:00:03 resumed",
        "08:00:05 runs on gpu-0",
        "09:00:00 its pod ended: gave way to a job of higher priority",
        "09:00:09 runs on gpu-0",
    ]


# ---- delete, stop, resume


@pytest.mark.parametrize("now", [False, True])
def test_delete(api: Api, jobs: Jobs, config: Config, now: bool) -> None:
    """The Job goes first, or it would replace the pods; what is gone already is no error."""
    api.answers["GET", f"{JOBS}/x"] = 200, named(config, "x")
    api.answers["GET", PODS] = 200, {"items": [a_pod("Running", state=RUNS)]}
    job = jobs.find("x")
    seen: list[tuple[str, Query]] = []

    def deleted(path: str, query: Query) -> tuple[int, Any]:
        seen.append((path, query))
        return 200, {}

    for path in (f"{JOBS}/x", f"{PODS}/x-0-0"):
        api.answers["DELETE", path] = partial(deleted, path)
    jobs.delete(job, now=now)
    killed = [(f"{PODS}/x-0-0", {"gracePeriodSeconds": "0"})]
    assert seen == [(f"{JOBS}/x", {"propagationPolicy": "Foreground"}), *(killed if now else [])]
    api.answers = {}
    jobs.delete(job, now=now)


def test_delete_that_is_not_allowed(api: Api, jobs: Jobs, config: Config) -> None:
    api.answers["DELETE", f"{JOBS}/x"] = status(403, 'User "jdoe" cannot delete resource "jobs"')
    with pytest.raises(LoginError, match="cannot delete"):
        jobs.delete(words.workload(named(config, "x"), []), now=False)


def test_stop_and_resume(api: Api, jobs: Jobs, config: Config) -> None:
    api.answers["GET", f"{JOBS}/x"] = 200, named(config, "x")
    api.answers["PATCH", f"{JOBS}/x"] = 200, {}
    job = jobs.find("x")
    jobs.stop(job)
    assert api.requests[-1][2] == {"metadata": {"annotations": {words.STOPPED: "true"}}, "spec": {"suspend": True}}
    jobs.resume(job)
    assert api.requests[-1][2] == {"metadata": {"annotations": {words.STOPPED: None}}, "spec": {"suspend": False}}


def test_what_cannot_be_stopped(api: Api, jobs: Jobs, config: Config) -> None:
    """A job that ended since it was looked at, and one whose suspension is Kueue's: it would fight us."""
    job = words.workload(named(config, "x"), [])
    api.answers["GET", f"{JOBS}/x"] = 200, named(config, "x", CREATED, {"type": "Complete"})
    with pytest.raises(RefusedError, match="the job x has ended: `mlo-submit rerun x` launches it again"):
        jobs.stop(job)
    queued = named(config, "x")
    queued["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team"
    api.answers["GET", f"{JOBS}/x"] = 200, queued
    for change in (jobs.stop, jobs.resume):
        with pytest.raises(RefusedError, match="in the queue team of Kueue, which decides alone"):
            change(job)
    assert not [path for method, path in api.paths() if method == "PATCH"]
