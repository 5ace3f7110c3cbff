"""The workloads that a submission made, and what the commands for them do, through kubectl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from typing import Any, NoReturn

from tests.standins.runai.flags import Parsed, Wrong, need

KIND = "runai/kind"  # the label that tells workloads of run:ai from other Jobs: workspace, training or pytorch
USER = "jdoe"

JSON = dict[str, Any]


def kubectl(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    argv = ["kubectl", *_where(), *words]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)


def _where() -> list[str]:
    return [f"--kubeconfig={os.environ['MLO_STANDIN_KUBECONFIG']}"]


def become(namespace: str, *words: str) -> NoReturn:
    """Become kubectl: with our own streams, terminal and signals."""
    sys.stdout.flush()
    os.execvp("kubectl", ["kubectl", *_where(), "-n", namespace, *words])  # noqa: S606, S607


def workloads(parsed: Parsed, kind: str) -> list[tuple[JSON, list[JSON]]]:
    """The Jobs of a kind (v1, or empty: of all) with their pods, oldest first."""
    need(parsed, "project")
    if "MLO_STANDIN_KUBECONFIG" not in os.environ:
        return []
    listed = kubectl("-n", _namespace(parsed), "get", "jobs,pods", "-l", KIND, "-o", "json")
    if listed.returncode:
        raise Wrong(listed.stderr.strip(), 1)
    items = sorted(json.loads(listed.stdout)["items"], key=lambda item: str(item["metadata"]["creationTimestamp"]))
    found = []
    for job in items:
        name = job["metadata"]["name"]
        pods = [pod for pod in items if pod["metadata"]["labels"].get("job-name") == name]
        of_kind = kind in ("", "v1", job["metadata"]["labels"][KIND])
        if job["kind"] == "Job" and of_kind and not (kind == "v1" and _claim_is_missing(pods)):
            found.append((job, pods))
    return found


def _namespace(parsed: Parsed) -> str:
    return f"runai-{parsed.one('project')}"


def _claim_is_missing(pods: list[JSON]) -> bool:
    """Version 1 knows nothing of such a job."""
    conditions = [item for pod in pods for item in pod["status"].get("conditions", [])]
    return any("persistentvolumeclaim" in item.get("message", "") for item in conditions)


def one(parsed: Parsed, kind: str) -> tuple[JSON, list[JSON]]:
    """The workload that a command line names."""
    if len(parsed.words) != 1:
        raise Wrong(f"one name is needed, not {parsed.words}")
    for job, pods in workloads(parsed, kind):
        if job["metadata"]["name"] == parsed.words[0]:
            return job, pods
    raise Wrong(f"workload {parsed.words[0]} was not found in project {parsed.one('project')}", 1)


# ---- what it is in


def status(job: JSON, pods: list[JSON]) -> str:
    """In the words of version 1."""
    ended = {item["type"] for item in job["status"].get("conditions", []) if item["status"] == "True"}
    if "deletionTimestamp" in job["metadata"]:
        return "Terminating"
    if "Complete" in ended or "Failed" in ended:
        return "Succeeded" if "Complete" in ended else "Failed"
    if job["spec"].get("suspend"):
        return "Suspended"
    if job["spec"].get("completions", 1) > 1 and any(pod["status"]["phase"] != "Pending" for pod in pods):
        return "Running"
    if not pods or not pods[-1]["spec"].get("nodeName"):
        return "Pending"
    containers = pods[-1]["status"].get("containerStatuses") or [{}]
    waiting = containers[0].get("state", {}).get("waiting") or {}
    return str(waiting.get("reason") or pods[-1]["status"]["phase"])


PHASES = {"Terminating": "Deleting", "Succeeded": "Completed", "Suspended": "Stopped"}


def phase(job: JSON, pods: list[JSON]) -> str:
    """In the words of version 2."""
    word = status(job, pods)
    if word == "Suspended" and pods:
        return "Stopping"
    known = ("Pending", "Running", "Failed", *PHASES)
    return PHASES.get(word, word if word in known else "Initializing")


def _gpus(job: JSON) -> str:
    return str(_container(job)["resources"].get("limits", {}).get("nvidia.com/gpu", "0"))


def _container(job: JSON) -> JSON:
    container: JSON = job["spec"]["template"]["spec"]["containers"][0]
    return container


def _age(job: JSON) -> str:
    made = datetime.fromisoformat(job["metadata"]["creationTimestamp"].replace("Z", "+00:00"))
    seconds = int((datetime.now(timezone.utc) - made).total_seconds())
    return f"{seconds}s" if seconds < 60 else f"{seconds // 60}m"


# ---- commands that look


def table(parsed: Parsed) -> int:
    """`runai list jobs`."""
    rows = []
    for job, pods in workloads(parsed, "v1"):
        node = pods[-1]["spec"].get("nodeName", "") if pods else ""
        kind = "Interactive" if job["metadata"]["labels"][KIND] == "workspace" else "Train"
        running = sum(pod["status"]["phase"] == "Running" for pod in pods)
        pending = sum(pod["status"]["phase"] == "Pending" for pod in pods)
        rows.append(
            (
                *(job["metadata"]["name"], status(job, pods), _age(job), node, _container(job)["image"], kind),
                *(parsed.one("project"), USER, f"{_gpus(job)} ({_gpus(job)})", f"{running} ({pending})", ""),
            )
        )
    if not rows:
        print(f"No jobs found in project {parsed.one('project')}")
        return 0
    titles = (
        *("NAME", "STATUS", "AGE", "NODE", "IMAGE", "TYPE", "PROJECT", "USER"),
        *("GPUs Allocated (Requested)", "PODs Running (Pending)", "SERVICE URL(S)"),
    )
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    print(f"Showing jobs for project {parsed.one('project')}")
    for row in (titles, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    return 0


def array(parsed: Parsed, release: str, kind: str) -> int:
    """`list --json`, whose array is bare in one release and not in another."""
    if "json" not in parsed.flags:
        raise Wrong("the stand-in lists as JSON only", 1)
    found = [
        {
            "name": job["metadata"]["name"],
            "type": job["metadata"]["labels"][KIND].capitalize(),
            "projectName": parsed.one("project"),
            "phase": phase(job, pods),
            "createdAt": job["metadata"]["creationTimestamp"],
            "submittedBy": f"{USER}@example.org",
            "images": [_container(job)["image"]],
            "requestedPods": {"count": 1},
            "workloadRequestedResources": {"gpu": {"request": float(_gpus(job))}},
        }
        for job, pods in workloads(parsed, kind)
    ]
    print(json.dumps(found if release == "v2.25" else {"workloads": found, "next": 0}))
    return 0


def job_info(parsed: Parsed) -> int:
    """`runai describe job`, which tells neither labels nor annotations."""
    job, pods = one(parsed, "v1")
    name = job["metadata"]["name"]
    instances = [
        {
            "status": pod["status"]["phase"].upper(),
            "name": pod["metadata"]["name"],
            "age": _age(pod),
            "node": pod["spec"].get("nodeName", "N/A"),
            "chief": pod is pods[-1],
        }
        for pod in pods
    ]
    chief = pods[-1]["metadata"]["name"] if pods else ""
    info = {"name": name, "duration": _age(job), "status": status(job, pods), "chiefName": chief}
    print(json.dumps({**info, "namespace": _namespace(parsed), "instances": instances}))
    return 0


def details(parsed: Parsed, kind: str) -> int:
    """`describe -o json` of version 2."""
    job, pods = one(parsed, kind)
    made = job["metadata"]
    print(
        json.dumps(
            {
                "general": {
                    "name": made["name"],
                    "phase": phase(job, pods),
                    "labels": made["labels"],
                    "annotations": made.get("annotations", {}),
                },
                "pods": [{"name": pod["metadata"]["name"], "status": pod["status"]["phase"]} for pod in pods],
            }
        )
    )
    return 0


# ---- commands that enter and end


def _pod(parsed: Parsed, kind: str) -> str:
    job, pods = one(parsed, kind)
    names = [str(pod["metadata"]["name"]) for pod in pods]
    chosen = parsed.one("pod") or next(iter(names[::-1]), "")
    if chosen not in names:
        raise Wrong(f"pod {chosen!r} was not found in workload {job['metadata']['name']}", 1)
    return chosen


def logs(parsed: Parsed, kind: str) -> int:
    """`logs`."""
    pod = _pod(parsed, kind)
    given = [f"--{name}={value}" for name, values in parsed.flags.items() for value in values]
    become(_namespace(parsed), "logs", pod, *(word for word in given if not word.startswith(("--pod=", "--project="))))


def execute(parsed: Parsed, kind: str) -> int:
    """`exec`."""
    streams = [f"--{name}" for name in ("stdin", "tty") if name in parsed.flags]
    become(_namespace(parsed), "exec", _pod(parsed, kind), *streams, "--", *parsed.rest)


def forward(parsed: Parsed, kind: str) -> int:
    """`port-forward`."""
    need(parsed, "port")
    address = parsed.one("address", "localhost")
    become(_namespace(parsed), "port-forward", _pod(parsed, kind), f"--address={address}", *parsed.flags["port"])


def suspend(parsed: Parsed, kind: str, suspended: bool) -> int:
    """`suspend` and `resume`."""
    job, _ = one(parsed, kind)
    patch = json.dumps({"spec": {"suspend": suspended}})
    done = kubectl("-n", _namespace(parsed), "patch", "job", job["metadata"]["name"], "-p", patch)
    if done.returncode:
        raise Wrong(done.stderr.strip(), 1)
    return 0


def delete(parsed: Parsed, kind: str) -> int:
    """`delete`, which waits for nothing."""
    job, _ = one(parsed, kind)
    words = ("delete", "job", job["metadata"]["name"], "--wait=false", "--cascade=foreground")
    done = kubectl("-n", _namespace(parsed), *words)
    if done.returncode:
        raise Wrong(done.stderr.strip(), 1)
    return 0
