"""All about a job, as text and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mlo_submit import advice, table
from mlo_submit.array import compress
from mlo_submit.tasks import Failure, named
from mlo_submit.workload import Event, State, Workload, to_json

FILES: Final = ("/run/mlo/boot.json", "/run/mlo/idle.json")
"""What a pod of our image tells of itself."""


@dataclass(frozen=True, kw_only=True)
class Detail:
    """A job, and what is known beside it. `boot` and `idle` are what a running pod tells, see docs/json.md."""

    job: Workload
    failures: Sequence[Failure]
    """Of an array."""
    events: Sequence[Event]
    boot: Mapping[str, Any] | None
    idle: Mapping[str, Any] | None
    submitted: Mapping[str, object] | None
    hint: str


def told(text: str) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """The boot and the idle state in FILES, printed one after the other; None for one that is absent or broken."""
    boot = idle = None
    decoder = json.JSONDecoder()
    try:
        while text := text.strip():
            found, end = decoder.raw_decode(text)
            text = text[end:]
            if "idle_seconds" in found:
                idle = {key: found[key] for key in ("idle_seconds", "stop_after", "why_busy")}
            else:
                boot = {key: found[key] for key in ("user", "start", "ms", "warnings")}
    except (ValueError, TypeError, KeyError):
        pass  # not of our image
    return boot, idle


def as_json(detail: Detail) -> Mapping[str, object]:
    """What `describe --json` prints."""
    return {
        **to_json(detail.job),
        "failures": [
            {"indices": compress(failure.indices), "reason": failure.reason, "exit_code": failure.exit_code}
            for failure in detail.failures
        ],
        "events": [
            {"at": event.at.isoformat(), "text": event.text, "warning": event.warning} for event in detail.events
        ],
        "boot": detail.boot,
        "idle": detail.idle,
        "submitted": detail.submitted,
        "hint": detail.hint,
    }


def as_text(detail: Detail, command: str, now: datetime, paint: Callable[[State, str], str]) -> list[str]:
    """What `describe` prints. `command` launches such a job; `now` has the time zone in which times are told."""
    job = detail.job
    pods = len(job.pods)
    only = job.pods[0] if pods == 1 else None
    facts = {
        "kind": f"{job.kind}, on {job.backend}",
        "user": job.user,
        "image": job.image,
        "GPUs": (f"{job.gpus} for each of {pods} pods" if pods > 1 else str(job.gpus)) if job.gpus else "",
        "pod": only.name if only and only.name != job.name else "",
        "node": only.node if only else "",
        "created": _moment(job.created, now),
        "started": _moment(job.started, now),
        "finished": _moment(job.finished, now),
        "run time": table.run_time(job, now),
        "tasks": _tasks(job),
        "restarts": str(job.restarts or ""),
        "exit code": "" if job.exit_code is None else str(job.exit_code),
        "boot": _boot(detail.boot),
        "idle": _idle(detail.idle),
        "submitted": command,
    }
    why = "" if job.state == "Running" and not job.reason else f": {advice.why(job)}"
    lines = [f"{job.title} is {paint(job.state, job.state)}{why}", ""]
    lines += [f"  {name:<11}{_clean(fact)}" for name, fact in facts.items() if fact]
    for warning in (detail.boot or {}).get("warnings", ()):
        lines.append(f"  {'':<11}warning: {table.printable(warning)}")
    if detail.failures:
        lines += ["", *(f"  {line}" for line in _failures(detail.failures))]
    if pods > 1:
        lines += ["", *(f"  {pod}" for pod in _pods(job))]
    if detail.events:
        lines += ["", *_timeline(detail.events, now)]
    return [*lines, "", detail.hint]


def _clean(text: str) -> str:
    return "\n".join(map(table.printable, text.split("\n")))


def _tasks(job: Workload) -> str:
    if not job.tasks:
        return ""
    tasks = job.tasks
    running = f", {tasks.running} running" if tasks.running else ""
    at_once = f"; at most {tasks.array.at_once} at a time" if tasks.array.at_once else ""
    return f"{tasks.text}{running}, of {named(tasks.array.indices)}{at_once}"


def _failures(failures: Sequence[Failure]) -> list[str]:
    columns = {
        "FAILED": [named(failure.indices) for failure in failures],
        "REASON": [table.printable(failure.reason) for failure in failures],
    }
    return [line.rstrip() for line in table.grid(columns)]


def _pods(job: Workload) -> list[str]:
    columns: dict[str, list[str]] = {
        "POD": [pod.name for pod in job.pods],
        "STATE": [str(pod.state) for pod in job.pods],
        "EXIT": ["" if pod.exit_code is None else str(pod.exit_code) for pod in job.pods],
        "RESTARTS": [str(pod.restarts or "") for pod in job.pods],
        "NODE": [pod.node for pod in job.pods],
        "REASON": [table.printable(pod.reason) for pod in job.pods],
    }
    return [line.rstrip() for line in table.grid(columns)]


def _timeline(events: Sequence[Event], now: datetime) -> list[str]:
    """What happened, oldest first. What happened several times is told once, where it did so last."""
    times: dict[str, int] = {}
    lines: dict[str, str] = {}
    for event in events:
        times[event.text] = times.get(event.text, 0) + 1
        at = event.at.astimezone(now.tzinfo)
        clock = f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"
        warning = "warning: " if event.warning else ""
        again = f" ({times[event.text]} times)" if times[event.text] > 1 else ""
        lines.pop(event.text, None)
        lines[event.text] = f"  {clock}  {_ago(at, now):>10}  {warning}{table.printable(event.text)}{again}"
    return list(lines.values())


def _moment(at: datetime | None, now: datetime) -> str:
    return f"{at.astimezone(now.tzinfo):%Y-%m-%d %H:%M:%S} ({_ago(at, now)})" if at else ""


def _ago(at: datetime, now: datetime) -> str:
    return f"{table.span((now - at).total_seconds())} ago"


def _boot(boot: Mapping[str, Any] | None) -> str:
    return f"{boot['user']}, ready in {boot['ms']:.0f} ms" if boot else ""


def _idle(idle: Mapping[str, Any] | None) -> str:
    if not idle:
        return ""
    if idle["why_busy"]:
        return f"no, busy: {table.printable(idle['why_busy'])}"
    return f"for {table.span(idle['idle_seconds'])}; the job ends after {table.span(idle['stop_after'])} of it"
