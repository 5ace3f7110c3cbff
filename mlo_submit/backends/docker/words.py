"""What Docker says of a container, as a `Workload` in the user's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from mlo_submit import submission, units
from mlo_submit.errors import RefusedError
from mlo_submit.labels import COMPONENT, INSTANCE, RANK, SUBMISSION, USER
from mlo_submit.workload import ENDED, TIME_LIMIT, Event, Pod, State, Workload, parse_time

# Of several ranks, the state that the job is in; a failed one does not end the others.
FIRST: Final[tuple[State, ...]] = ("Stopping", "Starting", "Running", "Stopped", "Failed", "Succeeded")
LATEST = datetime.max.replace(tzinfo=timezone.utc)
SIGNALS = range(129, 193)  # exit codes of a process that a signal ended
NANOSECONDS = 10**9


def workload(containers: Sequence[Mapping[str, Any]], asked: datetime | None = None) -> Workload:
    """A job as `docker inspect` describes its containers.

    Args:
        asked: when the run began that was asked to end, of several containers the latest; None if none was.
    """
    pods = tuple(sorted((_pod(container, asked) for container in containers), key=lambda pod: pod.rank))
    container = containers[0]
    config = container["Config"]
    labels = config["Labels"]
    kind, reason, code = _together(pods)
    created = parse_time(min(container["Created"] for container in containers))
    assert created  # noqa: S101  # for the type checker: every container has been created
    finished = max((pod.finished for pod in pods if pod.finished), default=None)
    return Workload(
        name=name(container),
        backend="docker",
        user=labels.get(USER, ""),
        kind="training" if labels.get(COMPONENT) == "training" else "interactive",
        state=kind,
        reason=reason,
        image=config["Image"],
        gpus=sum(request["Count"] for request in container["HostConfig"].get("DeviceRequests") or []),
        created=created,
        started=min((pod.started for pod in pods if pod.started), default=None),
        finished=finished if kind in ENDED else None,
        restarts=sum(pod.restarts for pod in pods),
        exit_code=code,
        pods=pods,
        submission=labels.get(SUBMISSION, ""),
    )


def name(container: Mapping[str, Any]) -> str:
    """The job of a container."""
    labels = container["Config"]["Labels"]
    found: str = labels[INSTANCE] if RANK in labels else container["Name"].removeprefix("/")
    return found


def alone(pod: Pod) -> dict[str, Any]:
    """The fields of a job that had this pod alone."""
    own = ("state", "reason", "created", "started", "finished", "restarts")
    return {"pods": (pod,), **{field: getattr(pod, field) for field in own}}


def _pod(container: Mapping[str, Any], asked: datetime | None) -> Pod:
    state = container["State"]
    started = parse_time(state["StartedAt"])
    kind, reason = _state(container, stopped=bool(started and asked and started <= asked))
    ended = kind in ENDED
    return Pod(
        name=container["Name"].removeprefix("/"),
        state=kind,
        reason=reason,
        rank=int(container["Config"]["Labels"].get(RANK, 0)),
        restarts=container["RestartCount"],
        exit_code=(143 if reason == TIME_LIMIT else state["ExitCode"]) if ended else None,
        created=parse_time(container["Created"]),
        started=started,
        finished=parse_time(state["FinishedAt"]) if ended else None,
    )


def _together(pods: Sequence[Pod]) -> tuple[State, str, int | None]:
    """The state of a job, why it is so, and its exit code: those of its only container, or of all ranks together."""
    if len(pods) == 1:
        return pods[0].state, pods[0].reason, pods[0].exit_code
    told = min(pods, key=lambda pod: FIRST.index(pod.state))
    failed = [pod for pod in pods if pod.state == "Failed"]
    first = min(failed, key=lambda pod: pod.finished or pod.created or LATEST, default=None)
    if not first:
        return told.state, told.reason, told.exit_code
    why = f"{first.reason} (rank {first.rank})"
    if told.state in ENDED:
        return "Failed", why, first.exit_code
    return told.state, why, None


def _state(container: Mapping[str, Any], *, stopped: bool) -> tuple[State, str]:
    state = container["State"]
    status, code, error = state["Status"], state["ExitCode"], state["Error"]
    refused = f"cannot start: {error}" if error else ""
    if status in ("removing", "dead"):
        return "Stopping", "is being deleted"
    if status in ("running", "restarting", "paused") and stopped:
        return "Stopping", ""
    if status == "restarting":
        return "Starting", f"tried again after {_failure(container)}"
    if status == "paused":
        return "Running", "paused by `docker pause`"
    if status == "running":
        return "Running", ""
    if stopped:
        return "Stopped", refused
    if status == "created" and not error:
        return "Starting", ""
    if error or code or _over_time(container):
        return "Failed", refused or _failure(container)
    return "Succeeded", ""


def _failure(container: Mapping[str, Any]) -> str:
    state, memory = container["State"], container["HostConfig"]["Memory"]
    if _over_time(container):
        return TIME_LIMIT
    if state["OOMKilled"]:
        return f"OOM killed at {units.size(memory)}" if memory else "OOM killed"
    return ending(state["ExitCode"])


def _over_time(container: Mapping[str, Any]) -> bool:
    """Whether a command has run as long as it was allowed to: then its own watcher ended it."""
    started, finished = (parse_time(container["State"][key]) for key in ("StartedAt", "FinishedAt"))
    try:
        flags = submission.decode(container["Config"]["Labels"].get(SUBMISSION, ""))
    except RefusedError:
        return False
    limit = flags.time if flags.argv or flags.line else None  # without a command the pod waits that long, and is done
    return bool(started and finished and limit and finished - started >= timedelta(seconds=limit))


def ending(code: int) -> str:
    """How a process ended, by its exit code."""
    return f"ended by signal {code - 128}" if code in SIGNALS else f"exit code {code}"


def events(job: Workload, told: Iterable[Mapping[str, Any]]) -> list[Event]:
    """What happened to a job, oldest first.

    Args:
        told: what `docker events` tells of its container. The engine remembers little: what it has forgotten comes from
            the job, as far as that knows.
    """
    found: dict[str, list[Event]] = {"create": [], "start": [], "die": []}
    for item in told:
        action, facts = item["Action"], item["Actor"]["Attributes"]
        code = int(facts.get("exitCode", 0))
        text = {
            "create": "created",
            "start": "started again" if found["start"] else "started",
            "die": _end(ending(code)),
            "oom": "out of memory",
            "kill": f"sent signal {facts.get('signal')}",
            "pause": "paused",
            "unpause": "goes on",
        }.get(action)
        if text:
            at = datetime.fromtimestamp(item["timeNano"] / NANOSECONDS, timezone.utc)
            found.setdefault(action, []).append(Event(at=at, text=text, warning=bool(code) or action == "oom"))
    if not found["create"]:
        found["create"] = [Event(at=job.created, text="created")]
    if job.started and not found["start"]:
        found["start"] = [Event(at=job.started, text="started again" if job.restarts else "started")]
    if job.finished:
        # Of its last end the job knows more than an exit code.
        text = _end(job.reason or ending(0))
        found["die"][-1:] = [Event(at=job.finished, text=text, warning=job.state == "Failed")]
    return sorted((event for events in found.values() for event in events), key=lambda event: event.at)


def _end(reason: str) -> str:
    return reason if reason.startswith("ended") else f"ended: {reason}"
