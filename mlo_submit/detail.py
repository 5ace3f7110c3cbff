"""All about a job, as text and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mlo_submit import advice, table
from mlo_submit.workload import Event, State, Workload, to_json

FILES: Final = ("/run/mlo/boot.json", "/run/mlo/idle.json")
"""What a pod of our image tells of itself."""


@dataclass(frozen=True, kw_only=True)
class Detail:
    """A job, and what is known beside it. `boot` and `idle` are what a running pod tells, see docs/json.md."""

    job: Workload
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
    facts = {
        "kind": f"{job.kind}, on {job.backend}",
        "user": job.user,
        "image": job.image,
        "GPUs": (f"{job.gpus} for each of {pods} pods" if pods > 1 else str(job.gpus)) if job.gpus else "",
        "created": _moment(job.created, now),
        "started": _moment(job.started, now),
        "finished": _moment(job.finished, now),
        "run time": table.run_time(job, now),
        "restarts": str(job.restarts or ""),
        "exit code": "" if job.exit_code is None else str(job.exit_code),
        "boot": _boot(detail.boot),
        "idle": _idle(detail.idle),
        "submitted": command,
    }
    lines = [f"{job.name} is {paint(job.state, job.state)}: {advice.why(job)}", ""]
    lines += [f"  {name:<11}{_clean(fact)}" for name, fact in facts.items() if fact]
    for warning in (detail.boot or {}).get("warnings", ()):
        lines.append(f"  {'':<11}warning: {table.printable(warning)}")
    if pods:
        lines += ["", *(f"  {pod}" for pod in _pods(job))]
    if detail.events:
        lines += ["", *(_event(event, now) for event in detail.events)]
    return [*lines, "", detail.hint]


def _clean(text: str) -> str:
    return "\n".join(map(table.printable, text.split("\n")))


def _pods(job: Workload) -> list[str]:
    rows = [("POD", "STATE", "NODE", "EXIT", "REASON")]
    for pod in job.pods:
        code = "" if pod.exit_code is None else str(pod.exit_code)
        rows.append((pod.name, pod.state, pod.node, code, table.printable(pod.reason)))
    kept = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in kept]
    cells = zip(
        *([cell.ljust(width) for cell in column] for column, width in zip(kept, widths, strict=True)), strict=True
    )
    return [table.GAP.join(row).rstrip() for row in cells]


def _event(event: Event, now: datetime) -> str:
    at = event.at.astimezone(now.tzinfo)
    clock = f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"
    return f"  {clock}  {_ago(at, now):>10}  {'warning: ' if event.warning else ''}{table.printable(event.text)}"


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
        return f"no: {idle['why_busy']} is in use"
    return f"for {table.span(idle['idle_seconds'])}; the job ends after {table.span(idle['stop_after'])} of it"
