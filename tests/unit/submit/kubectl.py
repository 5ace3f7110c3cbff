"""A job on Kubernetes whose kubectl breaks off, in the words of both."""

from __future__ import annotations

import itertools
import json
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tests.unit.submit.conftest import Api, status

NAMESPACE = "runai-mlo-jdoe"
JOB = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/x"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"
BEGIN = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
OURS = {"app.kubernetes.io/managed-by": "mlo-submit"}


class Kubectl:
    """A kubectl whose calls are connections, in this order: what each prints, and how it ends. The last one stays."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0
        path = directory / "kubectl"
        script = f"""\
            #!{sys.executable} -IS
            import json, os, sys, time
            os.chdir({str(directory)!r})
            with open("calls", "a") as calls:
                print(json.dumps([os.getpid(), sys.argv[1:]]), file=calls)
            number = sum(1 for _ in open("calls"))
            while not os.path.exists(f"connection-{{number}}"):
                number -= 1
            out, err, code, seconds = json.load(open(f"connection-{{number}}"))
            os.write(1, out.encode("latin1")), os.write(2, err.encode())
            time.sleep(seconds)
            sys.exit(code)
            """
        path.write_text(textwrap.dedent(script))
        path.chmod(0o755)

    def then(self, *lines: bytes, err: str = "", code: int = 0, seconds: float = 0) -> None:
        self._count += 1
        reply = [b"".join(lines).decode("latin1"), err, code, seconds]
        (self._directory / f"connection-{self._count}").write_text(json.dumps(reply))

    @property
    def calls(self) -> list[list[str]]:
        return [argv for _, argv in self._made()]

    @property
    def pids(self) -> list[int]:
        return [pid for pid, _ in self._made()]

    @property
    def over(self) -> bool:
        """Whether there is one connection left, or none."""
        return len(self.calls) >= self._count - 1

    def _made(self) -> list[tuple[int, list[str]]]:
        log = self._directory / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def job(condition: str = "", **status_fields: Any) -> dict[str, Any]:
    ended = [{"type": condition, "status": "True", "lastTransitionTime": "2026-11-24T13:02:00Z"}] if condition else []
    return {
        "metadata": {"name": "x", "creationTimestamp": "2026-11-24T10:00:00Z", "labels": OURS},
        "spec": {"template": {"spec": {"containers": [{"image": "i"}]}}},
        "status": {"startTime": "2026-11-24T10:00:00Z", "conditions": ended, **status_fields},
    }


def pod(
    name: str = "x-1", phase: str = "Running", state: dict[str, Any] | None = None, rank: int = 0, **fields: Any
) -> dict[str, Any]:
    if state is None:
        code = {"Succeeded": 0, "Failed": 42}.get(phase)
        ended = {"exitCode": code, "startedAt": "2026-11-24T12:00:00Z", "finishedAt": "2026-11-24T12:59:00Z"}
        state = {"running": {"startedAt": "2026-11-24T12:00:00Z"}} if code is None else {"terminated": ended}
    status_of = {
        "phase": phase,
        "conditions": [{"type": "PodScheduled", "status": "True"}, *fields.pop("conditions", [])],
        "containerStatuses": [{"name": "job", "state": state, **fields}],
    }
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": f"2026-11-24T12:00:0{name[-1]}Z",
            "labels": {"job-name": "x"},
            "annotations": {"batch.kubernetes.io/job-completion-index": str(rank)},
        },
        "spec": {"containers": [{"name": "job", "image": "i"}], "nodeName": "n"},
        "status": status_of,
    }


GONE = status(404, "not found")


def moments(api: Api, *found: tuple[dict[str, Any] | tuple[int, Any], list[dict[str, Any]]]) -> None:
    """What the API tells of the job (or answers instead) and of its pods, at one look after another; the last stays."""
    jobs, pods = (iter([*all_of, *itertools.repeat(all_of[-1], 100)]) for all_of in zip(*found, strict=True))

    def of_job() -> Any:
        answer = next(jobs)
        return answer if isinstance(answer, tuple) else (200, answer)

    api.answers["GET", JOB] = of_job
    api.answers["GET", PODS] = lambda: (200, {"items": next(pods)})
    api.answers["GET", EVENTS] = 200, {"items": []}


def until_over(api: Api, kubectl: Kubectl, code: int = 0) -> None:
    """The job runs until there is one connection left."""
    after = (job("Failed"), [pod(phase="Failed")]) if code else (job("Complete"), [pod(phase="Succeeded")])
    api.answers["GET", JOB] = lambda: (200, after[0] if kubectl.over else job())
    api.answers["GET", PODS] = lambda: (200, {"items": after[1] if kubectl.over else [pod()]})


def line(second: float, text: str) -> bytes:
    moment = BEGIN + timedelta(seconds=second)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z {text}\n".encode("latin1")


LOGS = ("logs", "--backend", "kubernetes", "x")
