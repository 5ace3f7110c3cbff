"""What the engine is asked, and what becomes of a job's secrets."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from mlo_submit import errors
from mlo_submit.backends.docker import secretfiles, stops
from mlo_submit.backends.docker.jobs import Jobs, connect
from mlo_submit.backends.docker.words import workload
from mlo_submit.env import Config
from mlo_submit.machine import Machine
from mlo_submit.workload import LogView
from tests.unit.submit.conftest import Fake
from tests.unit.submit.containers import container, told


@pytest.fixture
def engine(fake: Callable[[str], Fake], tmp_path: Path) -> Fake:
    """A Docker without containers, and the rm that cleans up after them."""
    (tmp_path / "bin/rm").symlink_to("/bin/rm")
    program = fake("docker")
    program.reply("container", "inspect", code=1, out="[]", err="Error: No such container: x")
    return program


@pytest.fixture
def jobs(config: Config, laptop: Machine) -> Jobs:
    return connect(config, laptop)


def test_a_list_is_two_questions_however_long_it_is(jobs: Jobs, engine: Fake) -> None:
    """The engine may have lost one between them."""
    engine.reply("ps", out="id1\nid2\nid3\n")
    older = container(name="older") | {"Created": "2026-11-23T10:00:00Z"}
    engine.reply(
        "container", "inspect", code=1, out=json.dumps([older, container(name="new")]), err="no such container"
    )
    assert [job.name for job in jobs.all()] == ["new", "older"]
    ours = "label=app.kubernetes.io/managed-by=mlo-submit"
    ps = ["ps", "--all", "--quiet", "--no-trunc", "--filter", ours]
    mine = [*ps, "--filter", "label=mlo-submit/user=jdoe"]
    assert engine.calls == [mine, ["container", "inspect", "id1", "id2", "id3"]]
    jobs.all(everybody=True)
    assert engine.calls[2] == ps
    engine.reply("ps")
    assert jobs.all() == []


@pytest.mark.parametrize(
    "there",
    [[], [container(labels={})], [container(name="y", container_id="xabc")]],
    ids=["none", "not ours", "by its id"],
)
def test_there_is_no_such_job(jobs: Jobs, engine: Fake, there: list[Any]) -> None:
    engine.reply("container", "inspect", out=json.dumps(there), code=0 if there else 1, err="No such container: x")
    with pytest.raises(errors.RefusedError, match="no job x on this machine"):
        jobs.find("x")


def test_an_engine_that_does_not_tell_is_no_engine_without_jobs(jobs: Jobs, engine: Fake) -> None:
    engine.reply("container", "inspect", code=1, err="Error response from daemon: disk full")
    with pytest.raises(errors.UnavailableError, match="disk full"):
        jobs.find("x")


def test_the_run_before_ends_where_the_last_begins(jobs: Jobs) -> None:
    """Its last lines are not those of --tail, which counts all that there is."""
    job = workload([container()])
    log = jobs.log(job, job.pods[0], LogView(previous=True, tail=3))
    assert log.argv == ("docker", "logs", "--timestamps", "--until", "2026-11-24T10:00:01.250000+00:00", "x")
    assert log.tail == 3


def test_programs_that_the_caller_runs(jobs: Jobs) -> None:
    job = workload([container()])
    [pod] = job.pods
    assert jobs.log(job, pod, LogView()).argv == ("docker", "logs", "--timestamps", "x")
    since = datetime(2026, 11, 24, 10, tzinfo=timezone.utc)
    assert jobs.log(job, pod, LogView(follow=True, since=since, tail=3)).argv == (
        *("docker", "logs", "--timestamps", "--follow"),
        *("--since", "2026-11-24T10:00:00+00:00", "--tail", "3", "x"),
    )
    assert jobs.execute(job, pod, ["a", "b c"], tty=False) == ["docker", "exec", "--interactive", "x", "a", "b c"]
    assert "--tty" in jobs.execute(job, pod, ["a"], tty=True)
    *program, name, local, remote = jobs.forward(job, pod, 8888, 80)
    assert (program[0], Path(program[-1]).name, name, local, remote) == (sys.executable, "relay.py", "x", "8888", "80")


def wait_for(engine: Fake, *call: str) -> None:
    deadline = time.monotonic() + 10
    while list(call) not in engine.calls:
        assert time.monotonic() < deadline, engine.calls
        time.sleep(0.01)


def test_a_stop_is_known_to_the_next_process_and_asked_for_once(jobs: Jobs, engine: Fake) -> None:
    engine.reply("container", "inspect", out=json.dumps([container()]))
    jobs.stop(jobs.find("x"))
    wait_for(engine, "stop", "x")
    assert jobs.find("x").state == "Stopping"
    jobs.stop(jobs.find("x"))
    jobs.delete(jobs.find("x"), now=False)
    wait_for(engine, "rm", "x")
    ends = [call[0] for call in engine.calls if call[0] in ("stop", "wait", "rm", "kill")]
    assert ends == ["stop", "wait", "rm"]


def test_a_stop_that_the_engine_refuses_is_no_stop(jobs: Jobs, engine: Fake, laptop: Machine) -> None:
    engine.reply("container", "inspect", out=json.dumps([container()]))
    engine.reply("stop", code=1, err="permission denied")
    jobs.stop(jobs.find("x"))
    deadline = time.monotonic() + 10
    while jobs.find("x").state != "Running":
        assert time.monotonic() < deadline
    assert not stops.path(laptop, "x").exists()


@pytest.mark.parametrize(
    ("there", "now"),
    [(container(), True), (container(status="exited"), False), (container(status="exited", code=1), True)],
)
def test_what_needs_no_time_to_end_is_deleted_at_once(
    jobs: Jobs, engine: Fake, laptop: Machine, there: dict[str, Any], now: bool
) -> None:
    with secretfiles.locked(secretfiles.path(laptop, "x")):
        pass
    jobs.delete(workload([there]), now=now)
    assert engine.calls == [["rm", "--force", "x"]]
    assert not secretfiles.path(laptop, "x").exists()


@pytest.mark.parametrize("err", ["Error: No such container: x", "removal of container x is already in progress"])
def test_to_delete_what_is_gone_is_no_error(jobs: Jobs, engine: Fake, err: str) -> None:
    engine.reply("rm", code=1, err=f"Error response from daemon: {err}")
    jobs.delete(workload([container()]), now=True)
    engine.reply("rm", code=1, err="Error response from daemon: device busy")
    with pytest.raises(errors.RefusedError, match="Docker does not delete x: device busy"):
        jobs.delete(workload([container()]), now=True)


def stopped(laptop: Machine, source: Path | None) -> dict[str, Any]:
    mounts = {"/mloscratch": "/srv", **({"/run/secrets/mlo": str(source)} if source else {})}
    there = container(status="exited", code=143, mounts=mounts)
    stops.write(laptop, workload([there]))
    return there


def test_a_stopped_job_leaves_no_secret_and_gets_todays_when_it_goes_on(
    jobs: Jobs, engine: Fake, laptop: Machine
) -> None:
    directory = secretfiles.path(laptop, "x")
    with secretfiles.locked(directory):
        secretfiles.write(directory, {"OLD": "hidden"})
    engine.reply("container", "inspect", out=json.dumps([stopped(laptop, directory)]))
    job = jobs.find("x")
    assert job.state == "Stopped"
    assert not directory.exists()
    jobs.resume(job)
    assert engine.calls[-1] == ["start", "x"]
    assert {file.name for file in directory.iterdir()} == {"HF_TOKEN", "WANDB_API_KEY"}
    assert (directory.stat().st_mode & 0o777, (directory / "HF_TOKEN").stat().st_mode & 0o777) == (0o700, 0o600)
    assert stops.read(laptop, "x") is None


def test_a_job_that_cannot_go_on_is_still_stopped_and_has_no_secrets(jobs: Jobs, engine: Fake, laptop: Machine) -> None:
    directory = secretfiles.path(laptop, "x")
    engine.reply("container", "inspect", out=json.dumps([stopped(laptop, directory)]))
    engine.reply("start", code=1, err="Error response from daemon: no GPU\nError: failed to start containers: x\n")
    with pytest.raises(errors.RefusedError, match=r"Docker does not start x: no GPU$"):
        jobs.resume(jobs.find("x"))
    assert jobs.find("x").state == "Stopped"
    assert not directory.exists()


def test_what_cannot_go_on(jobs: Jobs, engine: Fake, laptop: Machine) -> None:
    with pytest.raises(errors.RefusedError, match="x is Running: only a stopped job can go on"):
        jobs.resume(workload([container()]))
    engine.reply("container", "inspect", out=json.dumps([stopped(laptop, Path("/home/b/x"))]))
    with pytest.raises(errors.RefusedError, match="x has its secrets from /home/b/x, and yours lie in"):
        jobs.resume(jobs.find("x"))
    assert not secretfiles.path(laptop, "x").exists()


def test_a_job_without_files_of_secrets_goes_on_without(jobs: Jobs, engine: Fake, laptop: Machine) -> None:
    engine.reply("container", "inspect", out=json.dumps([stopped(laptop, None)]))
    jobs.resume(jobs.find("x"))
    assert not secretfiles.path(laptop, "x").exists()


def test_what_jobs_left_behind(jobs: Jobs, engine: Fake, laptop: Machine) -> None:
    for name in ("gone", "ended", "runs", "doomed"):
        with secretfiles.locked(secretfiles.path(laptop, name)):
            secretfiles.write(secretfiles.path(laptop, name), {"KEY": "hidden"})
    engine.reply("ps", out="exited ended\nrunning runs\nrunning doomed\n")
    left = jobs.leftovers(["doomed"])
    assert [(item.kind, item.name) for item in left] == [("secret files", name) for name in ("doomed", "ended", "gone")]
    for item in left:
        jobs.remove(item)
    assert [path.name for path in secretfiles.path(laptop, "").iterdir()] == ["runs"]


def test_the_time_until_which_events_are_asked_for_is_now(jobs: Jobs, engine: Fake) -> None:
    """Docker waits for later ones."""
    engine.reply("events", out=json.dumps(told("create", 0)) + "\n" + json.dumps(told("start", 1)) + "\n")
    found = jobs.events(workload([container()]))
    assert [event.text for event in found] == ["created", "started"]
    [call] = engine.calls
    assert call[:2] == ["events", "--since"]
    until = datetime.fromisoformat(call[call.index("--until") + 1])
    assert timedelta() <= datetime.now(timezone.utc) - until < timedelta(seconds=10)
