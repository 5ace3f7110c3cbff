"""Logs that are put together from connections that break off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.unit.submit.conftest import Api, Invoke, status
from tests.unit.submit.kubectl import (
    GONE,
    LOGS,
    PODS,
    Kubectl,
    job,
    line,
    moments,
    pod,
    until_over,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def kubectl(tmp_path: Path) -> Kubectl:
    return Kubectl(tmp_path / "bin")


def test_a_log_goes_on_through_breaks_within_a_line_and_a_second(
    api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl
) -> None:
    """With lines that are alike, at the same moment too; one of them is new, and so is shown."""
    until_over(api, kubectl, code=42)
    kubectl.then(line(1.2, "a"), line(1.2, "a"), line(1.7, "b\xff\r1\r2"), line(2.1, "cut off")[:-4], code=-9 & 255)
    kubectl.then(err="error: unexpected EOF\n", code=1)
    kubectl.then(
        *(line(1.2, "a"), line(1.2, "a"), line(1.7, "b\xff\r1\r2"), line(2.1, "cut off"), line(2.1, "cut off")),
        *(line(4.0, "a"), line(4.5, "c")),
    )
    kubectl.then(line(4.0, "a"), line(4.5, "c"), line(4.5, "c"), line(9.0, "end"))
    kubectl.then(line(9.0, "end"))
    result = invoke(*LOGS, "-f", "--exit-code")
    assert result.stdout_bytes == b"a\na\nb\xff\r1\r2\ncut off\ncut off\na\nc\nc\nend\n"
    assert result.exit_code == 42
    assert result.stderr.splitlines() == ["x failed after 1h02m: exit code 42."]
    since = [word for call in kubectl.calls for word in call if word.startswith("--since-time")]
    assert since == [f"--since-time=2026-11-24T12:00:{second}Z" for second in ("00", "00", "03", "08")]
    assert [("--follow" in call) for call in kubectl.calls] == [True, True, True, True, False]


def test_the_exit_code_is_zero_unless_it_is_asked_for(
    api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl
) -> None:
    moments(api, (job("Failed"), [pod(phase="Failed")]))
    kubectl.then(line(1, "a"))
    assert invoke(*LOGS, "-f").exit_code == 0
    assert invoke(*LOGS, "-f", "--exit-code").exit_code == 42
    assert invoke(*LOGS).exit_code == 0


def test_only_what_is_asked_for(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    moments(api, (job(), [pod(restartCount=1)]))
    kubectl.then(line(1, "a"), line(2, "b"))
    shown = invoke(*LOGS, "--tail", "2", "--since", "10m", "--timestamps", "--previous")
    assert shown.stdout_bytes == line(1, "a") + line(2, "b")
    ((*_, since, tail, previous),) = kubectl.calls
    assert (tail, previous) == ("--tail=2", "--previous"), "the container's, which was restarted in its pod"
    ago = datetime.now(timezone.utc) - datetime.fromisoformat(
        since.removeprefix("--since-time=").replace("Z", "+00:00")
    )
    assert timedelta(minutes=10) <= ago < timedelta(minutes=11)
    for wrong in (("-f", "--previous"), ("--exit-code",), ("--tail", "-1"), ("--since", "soon")):
        assert invoke(*LOGS, *wrong).exit_code == 2


def test_there_is_no_run_before_the_first(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    moments(api, (job(), [pod()]))
    api.answers["GET", f"{PODS}/x-1"] = 200, pod()
    result = invoke(*LOGS, "--previous")
    assert (result.exit_code, "x-1 is the first run" in result.stderr) == (73, True)
    assert kubectl.calls == []
    moments(api, (job(), [pod(restartCount=1)]))
    kubectl.then(
        err='Error from server (BadRequest): previous terminated container "job" in pod "x-1" not found\n', code=1
    )
    result = invoke(*LOGS, "--previous")
    assert (result.exit_code, "x-1 before its last restart is gone" in result.stderr) == (73, True)


def test_the_run_before_is_that_of_the_pod_that_was_replaced(
    api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl
) -> None:
    """Also while the next one waits; of the same rank, and of the same Job, since all labels are the same."""
    waits = pod("x-4", phase="Pending", state={"waiting": {"reason": "ContainerCreating"}})
    pods = [pod("x-1", "Failed"), pod("x-2", "Failed"), pod("x-3", "Failed", rank=1), waits]
    asked: list[str] = []

    def listed(query: dict[str, str]) -> Any:
        asked.append(query["labelSelector"])
        return 200, {"items": pods}

    moments(api, (job(), pods))
    api.answers["GET", PODS] = listed
    api.answers["GET", f"{PODS}/x-4"] = 200, waits
    kubectl.then(line(1, "a"))
    shown = invoke(*LOGS, "--previous", "--worker", "0")
    assert shown.stdout_bytes == b"a\n"
    assert "x-2" in kubectl.calls[0]
    assert "--previous" not in kubectl.calls[0]
    assert asked[-1] == "job-name=x"
    pods[:2] = []
    waits["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] = "2"
    gone = invoke(*LOGS, "--previous", "--worker", "0")
    assert (gone.exit_code, "no run before x-4 can be shown" in gone.stderr) == (73, True)


def test_a_job_that_has_not_started_has_no_log_yet(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    creating = pod(phase="Pending", state={"waiting": {"reason": "ContainerCreating"}})
    moments(api, (job(), [creating]))
    result = invoke(*LOGS)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "x has printed nothing yet. x is Starting" in result.stderr
    assert "`mlo-submit --backend kubernetes logs -f x`" in result.stderr
    assert kubectl.calls == []


def test_a_start_is_waited_for_and_told_once(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    creating = pod(phase="Pending", state={"waiting": {"reason": "ContainerCreating"}})
    moments(api, *[(job(), [])] * 2, *[(job(), [creating])] * 2, (job("Complete"), [pod(phase="Succeeded")]))
    kubectl.then(line(1, "a"))
    result = invoke(*LOGS, "-f")
    assert (result.exit_code, result.stdout) == (0, "a\n")
    pending, starting, ended = result.stderr.splitlines()
    assert pending.startswith("x is Pending: ")
    assert starting.startswith("x is Starting: ")
    assert ended.startswith("x succeeded")


def test_an_image_that_cannot_be_pulled_ends_it(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown"}}
    moments(api, (job(), [pod(phase="Pending", state=waiting)]))
    result = invoke(*LOGS, "-f")
    assert result.exit_code == 73
    assert "the image i cannot be pulled" in result.stderr
    assert "`mlo-submit --backend kubernetes delete x`" in result.stderr


def test_a_deletion_is_told_once_the_pods_have_had_their_last_word(
    api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl
) -> None:
    moments(api, (job(), [pod()]), (GONE, []))
    kubectl.then(line(1, "checkpoint written"), seconds=0.3)
    result = invoke(*LOGS, "-f")
    assert (result.exit_code, result.stdout) == (73, "checkpoint written\n")
    assert "x was deleted while it was followed." in result.stderr
    assert "there is no job x" in invoke(*LOGS, "-f").stderr


def test_a_pod_that_takes_over_is_announced(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    preempted = pod(
        "x-1",
        "Failed",
        conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
    )
    moments(
        api,
        (job(), [pod("x-1")]),
        (job(), [preempted]),
        *[(job(), [pod("x-2", "Pending", {"waiting": {"reason": "ContainerCreating"}})])] * 3,
        (job("Complete"), [pod("x-2", "Succeeded")]),
    )
    kubectl.then(line(1, "first"))
    kubectl.then(line(1, "first"), line(2, "last"))
    kubectl.then(line(5, "second"))
    result = invoke(*LOGS, "-f")
    assert result.stdout == "first\nlast\nsecond\n"
    assert "x was preempted; its next pod is x-2." in result.stderr.splitlines()


def test_a_container_that_restarts_goes_on(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    """With the end of the run that the connection did not bring any more."""
    moments(
        api,
        (job(), [pod()]),
        *[(job(), [pod(restartCount=1)])] * 3,
        (job("Complete"), [pod(phase="Succeeded", restartCount=1)]),
    )
    kubectl.then(line(1, "run 1"), code=1)
    kubectl.then(line(1, "run 1"), line(2, "run 1 ends"))
    kubectl.then(line(3, "run 2"))
    result = invoke(*LOGS, "-f")
    assert result.stdout == "run 1\nrun 1 ends\nrun 2\n"
    assert [("--previous" in call) for call in kubectl.calls][:3] == [False, True, False]


def test_workers_stand_side_by_side(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    moments(api, (job("Complete"), [pod("x-1", "Succeeded"), pod("x-2", "Succeeded", rank=1)]))
    kubectl.then(line(1, "a"), line(1, "b"))
    assert sorted(invoke(*LOGS, "-f").stdout.splitlines()) == ["x-0 │ a", "x-0 │ b", "x-1 │ a", "x-1 │ b"]
    assert invoke(*LOGS, "--worker", "1").stdout == "a\nb\n"
    assert kubectl.calls[-1][3] == "x-2"
    for follow in ((), ("-f",)):
        result = invoke(*LOGS, "--worker", "7", *follow)
        assert (result.exit_code, "x has no worker 7. Those that it has: 0, 1." in result.stderr) == (73, True)


def test_a_log_that_cannot_be_had(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    """Says why, as the tool does; and of a pod that ended, the job's end is told even so."""
    moments(api, (job("Complete"), [pod(phase="Succeeded")]))
    kubectl.then(err="Error from server: dial tcp 10.0.0.1:10250: connect: no route to host\n", code=1)
    once = invoke(*LOGS)
    assert (once.exit_code, "the log of x-1 cannot be had: Error from server: dial tcp" in once.stderr) == (69, True)
    followed = invoke(*LOGS, "-f")
    assert followed.exit_code == 0
    assert "Warning: the log of x-1 may lack its end: Error from server: dial tcp" in followed.stderr
    assert "x succeeded" in followed.stderr


def test_a_user_who_may_not_read_logs(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    moments(api, (job(), [pod()]))
    kubectl.then(err='Error from server (Forbidden): pods "x-1" is forbidden: cannot get pods/log\n', code=1)
    result = invoke(*LOGS, "-f")
    assert (result.exit_code, "is not for you to read" in result.stderr) == (77, True)


def test_an_api_server_that_goes_away_is_waited_for(api: Api, invoke: Invoke, env_file: Path, kubectl: Kubectl) -> None:
    """And so is a login that has run out, where it can be renewed."""
    away, unknown = status(503, "etcd is away"), status(401, "Unauthorized")
    running, ended = [pod()], [pod(phase="Succeeded")]
    moments(api, (job(), running), (away, []), (away, []), (unknown, []), (job(), running), (job("Complete"), ended))
    kubectl.then(line(1, "a"), code=1)
    kubectl.then(line(1, "a"), line(2, "b"))
    result = invoke(*LOGS, "-f")
    assert (result.exit_code, result.stdout) == (0, "a\nb\n")
    assert [text for text in result.stderr.splitlines() if "HTTP 503" in text and text.endswith("Trying again.")]


# ---- the process: signals, pipes


@pytest.fixture
def program(api: Api, env_file: Path, kubectl: Kubectl) -> Iterator[subprocess.Popen[bytes]]:
    """`mlo-submit logs -f x` of a job that runs: as a process, whose kubectl has printed and stays."""
    moments(api, (job(), [pod()]))
    kubectl.then(line(1, "a"), seconds=60)
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "mlo_submit", *LOGS, "-f"]
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_ctrl_c_ends_what_was_started_and_not_the_job(program: subprocess.Popen[bytes], kubectl: Kubectl) -> None:
    assert program.stdout
    assert program.stdout.readline() == b"a\n"
    program.send_signal(signal.SIGINT)
    _, stderr = program.communicate(timeout=10)
    assert (program.returncode, stderr) == (130, b"\nx goes on.\n")
    (child,) = kubectl.pids
    with suppress(psutil.NoSuchProcess):
        psutil.Process(child).wait(10)


@pytest.mark.parametrize(("words", "seconds"), [(["-f"], 60), ([], 0)])
def test_a_reader_that_has_seen_enough_ends_it_quietly(
    api: Api, env_file: Path, kubectl: Kubectl, words: list[str], seconds: int
) -> None:
    """Also where the tool fails, since nobody reads what it prints either."""
    moments(api, (job(), [pod()]))
    kubectl.then(*(line(1, f"{number}") for number in range(50_000)), code=1, seconds=seconds)
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "mlo_submit", *LOGS, *words]
    began = time.monotonic()
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=10) == 1
    assert time.monotonic() - began < 10
