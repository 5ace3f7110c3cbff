"""JobSets and PyTorchJobs that are there: in every look as any other job."""

from __future__ import annotations

from typing import Any

import pytest

from mlo_submit.backends.kubernetes import kinds
from mlo_submit.backends.kubernetes.jobs import Jobs
from mlo_submit.backends.kubernetes.manifest import render
from mlo_submit.env import Config
from mlo_submit.errors import RefusedError
from tests.unit.submit.conftest import Api, status
from tests.unit.submit.kinds import JOBSETS, OTHERS, PYTORCHJOBS, Told, a_job, made
from tests.unit.submit.kubejobs import CORE, JOBS

PLACES = {"jobset": JOBSETS, "pytorchjob": PYTORCHJOBS}
GROUPS = {"groups": [{"name": "batch"}, {"name": "jobset.x-k8s.io"}, {"name": "kubeflow.org"}]}
CREATED, ENDED = "2026-11-24T08:00:00Z", "2026-11-24T09:00:00Z"


def pod_of(kind: str, rank: int, *, attempt: int = 0, **state: Any) -> Told:
    if kind == "jobset":
        marks = {"jobset.sigs.k8s.io/jobset-name": "x", "jobset.sigs.k8s.io/restart-attempt": str(attempt)}
        name, annotations = f"x-ranks-0-{rank}-abcde", {"batch.kubernetes.io/job-completion-index": str(rank)}
    else:
        role, index = ("worker", rank - 1) if rank else ("master", 0)
        prefix = "training.kubeflow.org"
        marks = {f"{prefix}/job-name": "x", f"{prefix}/replica-type": role, f"{prefix}/replica-index": str(index)}
        name, annotations = f"x-{role}-{index}", {}
    container = kinds.KINDS[kind].CONTAINER  # type: ignore[index]
    phase = "Failed" if "terminated" in state else "Running"
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": CREATED,
            "labels": {**marks, "job-name": "x-ranks-0"} if kind == "jobset" else marks,
            "annotations": annotations,
        },
        "spec": {"nodeName": f"gpu-{rank}", "containers": [{"name": container}]},
        "status": {"phase": phase, "containerStatuses": [{"name": container, "state": state}]},
    }


def there(config: Config, kind: str, *conditions: Told, **more: Any) -> Told:
    """What the API has of a job of that kind."""
    found = made(config, kind, **more)
    found["metadata"].update(uid="uid-of-x", creationTimestamp=CREATED)
    found["status"] = {"conditions": [{"status": "True", "lastTransitionTime": ENDED, **each} for each in conditions]}
    return found


RUNS: Told = {"running": {"startedAt": CREATED}}
ENDS: Told = {"terminated": {"exitCode": 3, "startedAt": CREATED, "finishedAt": ENDED}}


@pytest.fixture
def jobs(api: Api, jobs: Jobs) -> Jobs:
    """Those of a cluster that has all kinds."""
    api.answers["GET", "/apis"] = 200, GROUPS
    return jobs


@OTHERS
def test_one_job_in_every_look(api: Api, jobs: Jobs, config: Config, kind: str) -> None:
    found = there(config, kind)
    api.answers["GET", PLACES[kind]] = 200, {"items": [found]}
    api.answers["GET", f"{PLACES[kind]}/x"] = 200, found
    api.answers["GET", f"{CORE}/pods"] = 200, {"items": [pod_of(kind, rank, **RUNS) for rank in (2, 0, 1)]}
    (job,) = jobs.all()
    assert job == jobs.find("x")
    assert (job.name, job.state, job.gpus, job.made_as) == ("x", "Running", 4, kind)
    assert [(pod.rank, pod.node) for pod in job.pods] == [(0, "gpu-0"), (1, "gpu-1"), (2, "gpu-2")]
    container = {"jobset": "job", "pytorchjob": "pytorch"}[kind]
    assert f"--container {container}" in " ".join(jobs.execute(job, job.pods[1], ["true"], tty=False))


@OTHERS
def test_how_a_rank_that_fails_ends_it(api: Api, jobs: Jobs, config: Config, kind: str) -> None:
    api.answers["GET", f"{PLACES[kind]}/x"] = 200, there(config, kind, {"type": "Failed", "reason": "x"})
    api.answers["GET", f"{CORE}/pods"] = 200, {"items": [pod_of(kind, 0, **RUNS), pod_of(kind, 1, **ENDS)]}
    job = jobs.find("x")
    assert (job.state, job.reason, job.exit_code) == ("Failed", "exit code 3 (rank 1)", 3)


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("jobset", {"reason": "FailJobSetFailurePolicyAction"}),
        ("pytorchjob", {"message": "Job x has failed because it was active longer than specified deadline"}),
    ],
)
def test_a_time_limit_of_an_older_version(api: Api, jobs: Jobs, config: Config, kind: str, condition: Told) -> None:
    """It was the object's, whose pods are gone."""
    found = there(config, kind, {"type": "Failed", **condition})
    if kind == "jobset":
        found["spec"]["replicatedJobs"][0]["template"]["spec"]["activeDeadlineSeconds"] = 60
    api.answers["GET", f"{PLACES[kind]}/x"] = 200, found
    assert (jobs.find("x").reason, jobs.find("x").exit_code) == ("time limit", 143)


def test_a_jobset_that_starts_anew(api: Api, jobs: Jobs, config: Config) -> None:
    """Pods of the start before do not count any more; how often it started does."""
    found = there(config, "jobset", retries=2)
    api.answers["GET", f"{JOBSETS}/x"] = 200, found
    api.answers["GET", f"{CORE}/pods"] = 200, {"items": [pod_of("jobset", 1, **ENDS)]}
    assert jobs.find("x").reason == "is tried again after exit code 3 (rank 1)"
    found["status"].update(restarts=1, restartsCountTowardsMax=1)
    api.answers["GET", f"{CORE}/pods"] = (
        200,
        {"items": [pod_of("jobset", 1, **ENDS), pod_of("jobset", 1, attempt=1, **RUNS)]},
    )
    assert (jobs.find("x").state, jobs.find("x").restarts) == ("Running", 1)


def test_a_container_of_a_pytorchjob_that_is_to_be_started_again(api: Api, jobs: Jobs, config: Config) -> None:
    pod = pod_of("pytorchjob", 1, waiting={"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed"})
    pod["status"]["containerStatuses"][0].update(restartCount=1, lastState=ENDS)
    api.answers["GET", f"{PYTORCHJOBS}/x"] = 200, there(config, "pytorchjob", retries=2)
    api.answers["GET", f"{CORE}/pods"] = 200, {"items": [pod_of("pytorchjob", 0, **RUNS), pod]}
    job = jobs.find("x")
    assert (job.state, job.reason, job.restarts) == ("Starting", "is tried again after exit code 3", 1)


@pytest.mark.parametrize(
    ("kind", "about", "reason"),
    [("jobset", ("Job", "x-ranks-0"), "FailedCreate"), ("pytorchjob", ("PyTorchJob", "x"), "FailedCreatePod")],
)
def test_a_quota_that_leaves_no_pod(
    api: Api, jobs: Jobs, config: Config, kind: str, about: tuple[str, str], reason: str
) -> None:
    """It is told of what makes the pods: of a JobSet that is its child."""
    api.answers["GET", f"{PLACES[kind]}/x"] = 200, there(config, kind)
    message = 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=9, limited: pods=9'
    event = {"involvedObject": {"kind": about[0], "name": about[1], "uid": "other"}, "message": message}
    wanted = f"involvedObject.kind={about[0]},reason={reason}"
    api.answers["GET", f"{CORE}/events"] = lambda query: (
        200,
        {"items": [event] if query["fieldSelector"] == wanted else []},
    )
    assert jobs.find("x").reason == "the quota q has no room for 1 more pods (9 of 9 used)"


@pytest.mark.parametrize(
    ("kind", "patch"),
    [("jobset", {"suspend": True}), ("pytorchjob", {"runPolicy": {"suspend": True}})],
)
def test_stop_and_delete(api: Api, jobs: Jobs, config: Config, kind: str, patch: Told) -> None:
    place = f"{PLACES[kind]}/x"
    api.answers["GET", place] = 200, there(config, kind)
    api.answers["PATCH", place] = api.answers["DELETE", place] = 200, {}
    job = jobs.find("x")
    jobs.stop(job)
    assert api.requests[-1][2]["spec"] == patch
    jobs.delete(job, now=False)
    assert api.paths()[-1] == ("DELETE", place)


def test_a_cluster_without_them_is_asked_once(api: Api, jobs: Jobs) -> None:
    """A list asks which types there are, at the same time as for Jobs and pods, and nothing more."""
    api.answers["GET", "/apis"] = 200, {"groups": [{"name": "batch"}]}
    assert jobs.all() == []
    assert sorted(path for _, path in api.paths()) == [CORE + "/pods", "/apis", JOBS]
    with pytest.raises(RefusedError, match="there is no job x"):
        jobs.find("x")


def test_types_that_are_not_for_me_to_see_are_left_out(api: Api, jobs: Jobs) -> None:
    api.answers["GET", JOBSETS] = status(403, "jobsets is forbidden")
    assert jobs.all() == []


@OTHERS
def test_what_they_use_stays(api: Api, jobs: Jobs, config: Config, kind: str) -> None:
    """The Secret of a job that has no pod, since it is stopped; with the job it is left over."""
    api.answers["GET", PLACES[kind]] = 200, {"items": [there(config, kind)]}
    child = render(a_job(config, "job"))
    child["metadata"].update(name="x-ranks-0", labels={"jobset.sigs.k8s.io/jobset-name": "x"})
    api.answers["GET", JOBS] = 200, {"items": [child] if kind == "jobset" else []}
    api.answers["GET", f"{CORE}/secrets"] = 200, {"items": [{"metadata": {"name": "jdoe-env"}}]}
    api.answers["GET", f"{CORE}/services"] = 200, {"items": []}
    assert jobs.leftovers([]) == []
    assert [each.name for each in jobs.leftovers(["x"])] == ["jdoe-env"]
