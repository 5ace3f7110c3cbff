"""What run:ai and the pods say of a job, as a `Workload` in the user's words. Pure."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from mlo_submit import labels, submission
from mlo_submit.backends.kubernetes import words
from mlo_submit.backends.kubernetes.manifest import GPU
from mlo_submit.backends.runai.cli import DISTRIBUTED, TRAINING, WORKSPACE, find
from mlo_submit.backends.runai.listing import Listed, status_of, time_of
from mlo_submit.errors import RefusedError
from mlo_submit.job import array_of
from mlo_submit.workload import ENDED, Event, Pod, State, Workload

REPLICA_TYPE = "training.kubeflow.org/replica-type"
REPLICA_INDEX = "training.kubeflow.org/replica-index"

# What run:ai's words say no more than ours do.
PLAIN: Final[Mapping[str, State]] = {
    "pending": "Pending",
    "containercreating": "Starting",
    "podinitializing": "Starting",
    "initializing": "Starting",
    "running": "Running",
    "preempted": "Preempted",
    "deleting": "Stopping",
    "terminating": "Stopping",
    "stopping": "Stopping",
    "stopped": "Stopped",
    "suspended": "Stopped",
    "succeeded": "Succeeded",
    "completed": "Succeeded",
    "failed": "Failed",
    "error": "Failed",
}
# What they say more; it becomes the reason.
TELLING: Final[Mapping[str, State]] = {
    "creating": "Pending",
    "resuming": "Pending",
    "imagepullbackoff": "Starting",
    "errimagepull": "Starting",
    "invalidimagename": "Starting",
    "createcontainerconfigerror": "Starting",
    "createcontainererror": "Starting",
    "crashloopbackoff": "Starting",
    "updating": "Running",
    "degraded": "Running",
    "oomkilled": "Failed",
    "timedout": "Failed",
}
GONE = frozenset({"deleted"})

SLACK = timedelta(seconds=5)  # between what run:ai looked at and the clock


def state_of(status: str) -> State:
    """Our word for run:ai's; Pending for one that nobody has heard of."""
    low = status.lower()
    return PLAIN.get(low) or TELLING.get(low) or ("Starting" if low.startswith("init:") else "Pending")


def workload(
    listed: Listed, *, pods: Sequence[Mapping[str, Any]], detail: object, account: str, project: str
) -> Workload:
    """A job as run:ai lists it.

    Args:
        listed: its line.
        pods: its pods as Kubernetes has them, in any order; empty where they cannot be seen.
        detail: what `runai describe` tells; None where it was not asked.
        account: the user of .env.
        project: the project of .env.
    """
    history = sorted(pods, key=words.age)
    array = any(labels.ARRAY in pod["metadata"]["labels"] for pod in history)
    newest = _in_order(history) if array else {rank_of(pod): pod for pod in history}
    known = tuple(replace(words.pod_of(pod), rank=rank) for rank, pod in sorted(newest.items()))
    state, reason = _state(listed, known)
    seen = known or _described(detail, listed, state)
    marks = _mapping(detail, "labels") | (history[-1]["metadata"]["labels"] if history else {})
    notes = _mapping(detail, "annotations") | ((history[-1]["metadata"].get("annotations") or {}) if history else {})
    flags = unpack(notes.get(labels.SUBMISSION, ""))
    if array and state not in ("Pending", "Stopping"):
        reason = "; ".join(filter(None, (progress(known, flags), reason)))
    container: Mapping[str, Any] = history[-1]["spec"]["containers"][0] if history else {}
    limits = (container.get("resources") or {}).get("limits") or {}
    interactive = marks.get(labels.COMPONENT, "interactive" if listed.group == WORKSPACE else "training")
    return Workload(
        name=listed.name,
        backend="runai",
        user=marks.get(labels.USER) or owner(listed.user, account, project),
        kind="interactive" if interactive == "interactive" else "training",
        state=state,
        reason=reason,
        image=container.get("image") or listed.image,
        gpus=int(limits.get(GPU, 0)) or listed.gpus,
        created=min([listed.created, *(pod.created for pod in known if pod.created and listed.late)]),
        started=_first(pod.started for pod in known) if state not in ("Pending", "Starting") else None,
        finished=max(filter(None, (pod.finished for pod in known)), default=None) if state in ENDED else None,
        restarts=sum(pod.restarts for pod in known) + len(history) - len(newest),
        exit_code=_exit_code(state, known),
        pods=seen,
        submission=flags,
    )


def _in_order(pods: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """The pods of an array: which task each of them is, it alone knows, so they have the order of their creation."""
    return dict(
        enumerate(sorted(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"])))
    )


def unlisted(name: str, pods: Sequence[Mapping[str, Any]], *, account: str, project: str) -> Workload:
    """A job of ours that run:ai does not list, though it has pods, which tell why."""
    newest = max(pods, key=words.age)["metadata"]
    training = DISTRIBUTED if REPLICA_TYPE in newest["labels"] else TRAINING
    listed = Listed(
        name=name,
        status=_worst([words.pod_of(pod) for pod in pods]).state,
        group=training if newest["labels"].get(labels.COMPONENT) == "training" else WORKSPACE,
        created=datetime.fromisoformat(newest["creationTimestamp"].replace("Z", "+00:00")),
    )
    job = workload(listed, pods=pods, detail=None, account=account, project=project)
    if job.state == "Stopping":
        return job
    return replace(job, reason="; ".join(filter(None, (job.reason, "run:ai does not list it"))))


def progress(pods: Sequence[Pod], flags: str) -> str:
    """How far an array is, by its pods and by the flags that launched it."""
    try:
        array, _ = array_of(submission.decode(flags))
    except (RefusedError, ValueError):
        array = None
    done, failed = (sum(pod.state == state for pod in pods) for state in ("Succeeded", "Failed"))
    total = f" of {len(array.indices)}" if array else ""
    return f"{done}{total} tasks done" + (f", {failed} pod{'s' if failed > 1 else ''} failed" if failed else "")


def same(before: datetime, job: Workload, listed: Listed | None) -> bool:
    """Whether this is the job that was created then, and no later one of its name."""
    return not listed or job.created - before <= listed.late + SLACK


def _state(listed: Listed, pods: Sequence[Pod]) -> tuple[State, str]:
    state = state_of(listed.status)
    said = listed.message or ("" if listed.status.lower() in PLAIN else listed.status)
    if not pods or state not in ("Pending", "Starting", "Preempted", "Failed"):
        return state, said
    worst = next((pod for pod in pods if pod.state == state), _worst(pods))
    if state in ("Pending", "Starting") and worst.state in ("Pending", "Starting", "Preempted"):
        return worst.state, worst.reason or said
    again = "is tried again after " if worst.state == "Failed" != state and worst.reason else ""
    return state, again + worst.reason or said


def _worst(pods: Sequence[Pod]) -> Pod:
    return min(pods, key=lambda pod: words.WORST.index(pod.state))


def _exit_code(state: State, pods: Sequence[Pod]) -> int | None:
    """That of the job's pods; without them run:ai tells no more than that it failed."""
    if state not in ENDED:
        return None
    return next((pod.exit_code for pod in pods if pod.exit_code), 1) if state == "Failed" else 0


def _described(detail: object, listed: Listed, state: State) -> tuple[Pod, ...]:
    """The pods that `describe` names; else one that stands for them and has the job's name."""
    found: dict[int, Pod] = {}
    for item in find(detail, {"instances", "pods"}, list) or []:
        name = item if isinstance(item, str) else find(item, {"name", "podname"}, str)
        if name:
            status = status_of(item)
            node = find(item, {"node", "nodename"}, str) or ""
            rank = _rank(name)
            found[rank] = Pod(name=name, state=state_of(status) if status else state, rank=rank, node=node)
    return tuple(found[rank] for rank in sorted(found)) or (Pod(name=listed.name, state=state, node=listed.node),)


def rank_of(pod: Mapping[str, Any]) -> int:
    """The rank of a pod: the master of a distributed job is 0, its workers come after it."""
    marks = pod["metadata"].get("labels") or {}
    if REPLICA_TYPE in marks:
        return int(marks.get(REPLICA_INDEX, 0)) + 1 if marks[REPLICA_TYPE].lower() == "worker" else 0
    return _rank(pod["metadata"]["name"])


def _rank(name: str) -> int:
    worker = re.search(r"-worker-(\d+)$", name)
    return int(worker[1]) + 1 if worker else 0


def makers(pods: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What made the pods, each once: a kind as kubectl writes it (`Job.v1.batch`), and a name."""
    found: dict[tuple[str, str], None] = {}
    for pod in pods:
        for maker in pod["metadata"].get("ownerReferences") or []:
            group, _, version = maker["apiVersion"].rpartition("/")
            found[".".join(filter(None, (maker["kind"], version, group))), maker["name"]] = None
    return list(found)


def owner(told: str, account: str, project: str) -> str:
    """Whose a job without our label is: mine in a project that has my name, else whose run:ai says."""
    mine = told.partition("@")[0].lower() == account.lower() or f"-{project}".lower().endswith(f"-{account}".lower())
    return labels.user(account) if mine else told


def events(detail: object) -> list[Event]:
    """The events that `describe` tells, oldest first."""
    found = []
    for item in find(detail, {"events"}, list) or []:
        at = time_of(item, {"lasttimestamp", "createdat", "timestamp", "time"})
        if at:
            warning = (find(item, {"type"}, str) or "").lower() == "warning"
            found.append(Event(at=at, text=find(item, {"message"}, str) or "", warning=warning))
    return sorted(found, key=lambda event: event.at)


def pack(text: str) -> str:
    """A text as one word without quotes, or `=`, at which run:ai splits: unpadded base64."""
    return binascii.b2a_base64(text.encode(), newline=False).decode().rstrip("=")


def unpack(word: str) -> str:
    """The text of `pack`; empty for what is none."""
    try:
        return binascii.a2b_base64(word + "=" * (-len(word) % 4)).decode()
    except ValueError:
        return ""


def _first(moments: Iterable[datetime | None]) -> datetime | None:
    return min(filter(None, moments), default=None)


def _mapping(detail: object, key: str) -> dict[str, str]:
    """Labels or annotations: an object, or a list of names and values."""
    items = find(detail, {key}, list) or []
    pairs = {item.get("name", ""): item.get("value", "") for item in items if isinstance(item, dict)}
    return find(detail, {key}, dict) or pairs
