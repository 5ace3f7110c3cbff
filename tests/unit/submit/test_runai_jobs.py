from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from mlo_submit import labels
from mlo_submit.backends.runai import cli, jobs, words
from mlo_submit.errors import LoginError, RefusedError, UnavailableError
from mlo_submit.job import Flags
from mlo_submit.machine import Machine
from mlo_submit.submission import encode
from mlo_submit.workload import Leftover, LogView, Pod, Workload
from tests.standins import runai as standin
from tests.unit.submit.conftest import ENV, Api, Fake, config_of
from tests.unit.submit.runai import NO_CLAIM, NOW, ended, job_of, listed, pod, table, unscheduled

PODS = "/api/v1/namespaces/runai-mlo-jdoe/pods"

FakeOf = Callable[[str], Fake]


# ---- with run:ai alone


def connect(laptop: Machine, version: str = "", **settings: str) -> jobs.Jobs:
    settings |= {"MLO_RUNAI_VERSION": version} if version else {}
    return jobs.connect(config_of(laptop, ENV + "".join(f"{key}={value}\n" for key, value in settings.items())), laptop)


def names(found: list[Workload]) -> list[str]:
    return [job.name for job in found]


VIEWS = [
    LogView(),
    LogView(follow=True, tail=20),
    LogView(follow=True, since=NOW),
    LogView(previous=True),
]
COMMANDS = [(["zsh", "-l"], True), (["sh", "-c", 'echo "it\'s"\n$HOME'], False)]


@pytest.mark.parametrize("group", [cli.WORKSPACE, cli.TRAINING, cli.DISTRIBUTED])
@pytest.mark.parametrize("version", ["v1", "v2.18", "v2.25"])
def test_each_version_takes_every_command(
    laptop: Machine, capsys: pytest.CaptureFixture[str], version: Any, group: cli.Group
) -> None:
    """The stand-in refuses what it does not know with 2; here, where there is no such job, it ends with 1."""
    standin.install(laptop.home.parent / "bin", version)
    found = connect(laptop)
    job = job_of(listed("Running"))
    found.groups["x"] = group
    (stands_for_it,) = job.pods
    argvs = []
    for known in (stands_for_it, Pod(name="x-0-0", state="Running")):
        argvs += [list(found.log(job, known, view).argv) for view in VIEWS if version != "v1" or not view.previous]
        argvs += [found.execute(job, known, argv, tty=tty) for argv, tty in COMMANDS]
        argvs += [found.forward(job, known, 8080, 8090)] if version != "v1" else []
    for argv in argvs:
        with pytest.raises(SystemExit) as end:
            standin.main(version, argv[1:])
        assert (end.value.code, "x was not found" in capsys.readouterr().err) == (1, True), argv
    for change in (found.stop, found.resume):
        with pytest.raises(RefusedError, match="x was not found"):
            change(job)
    found.delete(job, now=False)  # it is gone already
    assert found.events(job) == []
    assert found.all() == []
    with pytest.raises(RefusedError, match="there is no job x in the project mlo-jdoe"):
        found.find("x")


def test_what_takes_a_kubeconfig_is_said(laptop: Machine, fake: FakeOf) -> None:
    fake("runai")
    old, new, job = connect(laptop, "v1"), connect(laptop, "v2"), job_of(listed("Running"))
    worker = Pod(name="x-worker-0", state="Running", rank=1)
    for refused in (
        lambda: old.log(job, job.pods[0], LogView(previous=True)),
        lambda: old.forward(job, job.pods[0], 1, 2),
        lambda: old.execute(job, worker, ["ls"], tty=False),
        lambda: new.forward(job, worker, 1, 2),
        lambda: new.address(job, job.pods[0]),
    ):
        with pytest.raises(RefusedError, match="get the kubeconfig of your cluster"):
            refused()
    assert old.leftovers([]) == []


def test_find_asks_describe_for_the_pods(laptop: Machine, fake: FakeOf) -> None:
    program = fake("runai")
    program.reply("list", "jobs", out=table(("x", "Failed", "9s", "Pytorch", "jdoe", "- (4)", "2 (0)")))
    instances = [
        {"name": "x-worker-0", "status": "SUCCEEDED", "node": "n2", "chief": False},
        {"name": "x-master-0", "status": "FAILED", "node": "n1", "chief": True},
    ]
    program.reply("describe", "job", "x", out=json.dumps({"name": "x", "status": "Failed", "instances": instances}))
    found = connect(laptop, "v1")
    job = found.find("x")
    assert [(pod.rank, pod.name, pod.state, pod.node) for pod in job.pods] == [
        (0, "x-master-0", "Failed", "n1"),
        (1, "x-worker-0", "Succeeded", "n2"),
    ]
    assert (job.exit_code, job.gpus, job.kind) == (1, 2, "training")
    log = found.log(job, job.pods[1], LogView(since=NOW, follow=True))
    assert log.stamped
    assert log.argv == (
        *("runai", "logs", "x", "--project", "mlo-jdoe", "-f", "--pod", "x-worker-0"),
        *("--since-time", "2026-11-24T12:00:00Z", "--timestamps"),
    )


def test_events_of_describe(laptop: Machine, fake: FakeOf) -> None:
    events = [
        {"lastTimestamp": "2026-11-24T11:00:05Z", "type": "Warning", "message": "no place"},
        {"lastTimestamp": "2026-11-24T11:00:00Z", "type": "Normal", "message": "queued"},
        {"message": "never"},
    ]
    fake("runai").reply("training", "describe", "x", out=json.dumps({"general": {}, "events": events}))
    told = connect(laptop, "v2").events(job_of(listed("Pending")))
    assert [(event.text, event.warning) for event in told] == [("queued", False), ("no place", True)]


def test_jobs_of_others_are_left_out(laptop: Machine, fake: FakeOf) -> None:
    rows = [
        {"name": "theirs", "phase": "Running", "type": "Workspace", "submittedBy": "jane@lab"},
        {"name": "mine", "phase": "Running", "type": "Workspace", "submittedBy": "JDoe@lab"},
        {"name": "gone", "phase": "Deleted", "type": "Workspace", "submittedBy": "jdoe@lab"},
    ]
    fake("runai").reply("workload", "list", out=json.dumps(rows))
    shared = connect(laptop, "v2", RUNAI_PROJECT="shared")
    assert names(shared.all()) == ["mine"]
    assert set(names(shared.all(everybody=True))) == {"mine", "theirs"}


def test_a_job_keeps_the_time_of_its_creation_while_it_is_looked_at(laptop: Machine, fake: FakeOf) -> None:
    """Version 1 tells an age, which grows in leaps; a job of that name that is younger is another one."""
    program, found = fake("runai"), connect(laptop, "v1")

    def look(age: str) -> datetime:
        program.reply("list", "jobs", out=table(("x", "Running", age, "Train", "jdoe", "0 (0)", "1 (0)")))
        (job,) = found.all()
        return job.created

    first = look("59m")
    assert look("1h") == first
    assert look("3s") > first + timedelta(minutes=58)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_cannot_be_read_is_no_empty_list(laptop: Machine, fake: FakeOf, version: str) -> None:
    """Else a Secret that is in use would be one that no job uses any more."""
    fake("runai").reply(out="Segmentation fault")
    with pytest.raises(UnavailableError, match="Segmentation fault"):
        connect(laptop, version).all()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_not_logged_in(laptop: Machine, fake: FakeOf, version: str) -> None:
    fake("runai").reply(code=1, err="Error: not logged in")
    with pytest.raises(LoginError, match="Log in with `runai login`"):
        connect(laptop, version).all()


# ---- with the pods' namespace


def test_kubectl_and_the_pods_do_what_they_can(laptop: Machine, fake: FakeOf, api: Api) -> None:
    program = fake("runai")
    program.reply("list", "jobs", out=table(("x", "Failed", "9s", "Train", "theirs", "- (4)", "1 (0)")))
    note = {labels.SUBMISSION: words.pack(encode(Flags(line="make")))}
    api.answers["GET", PODS] = 200, {"items": [pod(**ended(137), annotations=note)]}
    found = connect(laptop, "v1")
    job = found.find("x")
    assert (job.state, job.reason, job.exit_code) == ("Failed", "ended by signal 9", 137)
    assert (job.image, job.gpus, job.user, job.submission) == ("lab/mlo:2", 4, "jdoe", encode(Flags(line="make")))
    assert names(found.all()) == ["x"]
    assert [call[0] for call in program.calls] == ["list", "list"]
    (only,) = job.pods
    kubectl = ["kubectl", "--namespace", "runai-mlo-jdoe"]
    assert found.execute(job, only, ["a b"], tty=True)[:3] == kubectl
    assert "--container" not in found.log(job, only, LogView()).argv  # which run:ai names as it likes
    assert found.forward(job, only, 1, 2)[:3] == kubectl


def test_job_with_a_wrong_claim_is_found_though_runai_does_not_list_it(laptop: Machine, fake: FakeOf, api: Api) -> None:
    program, kubectl = fake("runai"), fake("kubectl")
    program.reply("list", "jobs", out="No jobs found in project mlo-jdoe\n")
    program.reply("delete", "job", code=1, err="job x was not found")
    api.answers["GET", PODS] = 200, {"items": [pod(**unscheduled(NO_CLAIM)), pod("x-0-1", **unscheduled(NO_CLAIM))]}
    found = connect(laptop, "v1")
    assert names(found.all()) == ["x"]
    job = found.find("x")
    assert job.state == "Pending"
    assert "wrong" in job.reason
    assert "run:ai does not list it" in job.reason
    found.delete(job, now=False)
    (deletion,) = kubectl.calls
    assert deletion[2:] == ["delete", "RunaiJob.v1.run.ai", "x", "--ignore-not-found", "--wait=false"]
    kubectl.reply(code=1, err="forbidden")
    with pytest.raises(RefusedError, match="fails: forbidden"):
        found.delete(job, now=False)


def test_deletion_at_once_takes_the_grace_period_from_the_pods(
    laptop: Machine, fake: FakeOf, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    program = fake("runai")
    job = job_of(listed("Running"), pod(phase="Running"))
    connect(laptop, "v2").delete(job, now=True)
    assert program.calls == [["workload", "delete", "x", "--project", "mlo-jdoe", "-y"]]
    assert api.paths() == [("DELETE", f"{PODS}/x-0-0")]
    (laptop.home / ".kube/config").unlink()
    connect(laptop, "v2").delete(job, now=True)
    assert "to end it at once takes the kubeconfig" in capsys.readouterr().err


def test_a_secret_stays_while_a_job_is_set_aside(laptop: Machine, fake: FakeOf, api: Api) -> None:
    """A job without pods does not tell what it uses."""
    program = fake("runai")
    secrets, services = (f"/api/v1/namespaces/runai-mlo-jdoe/{kind}" for kind in ("secrets", "services"))
    for path in (PODS, services, "/apis/batch/v1/namespaces/runai-mlo-jdoe/jobs"):
        api.answers["GET", path] = 200, {"items": []}
    api.answers["GET", secrets] = 200, {"items": [{"metadata": {"name": "jdoe-env"}}]}
    found = connect(laptop, "v1")
    program.reply("list", "jobs", out=table(("x", "Suspended", "9s", "Train", "jdoe", "- (4)", "0 (0)")))
    assert found.leftovers([]) == []
    assert found.leftovers(["x"]) == [Leftover(kind="Secret", name="jdoe-env")]
    program.reply("list", "jobs", out=table(("x", "Failed", "9s", "Train", "jdoe", "- (4)", "1 (0)")))
    refers = pod(**ended(1))
    refers["spec"]["containers"][0]["env"] = [{"valueFrom": {"secretKeyRef": {"name": "jdoe-env"}}}]
    api.answers["GET", PODS] = 200, {"items": [refers]}
    assert found.leftovers([]) == []
    (secret,) = found.leftovers(["x"])
    api.answers["DELETE", f"{secrets}/jdoe-env"] = 200, {}
    found.remove(secret)
    assert ("DELETE", f"{secrets}/jdoe-env") in api.paths()
