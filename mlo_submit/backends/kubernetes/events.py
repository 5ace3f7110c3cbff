"""What happened to a Job, as a timeline in the user's words. Pure.

The cluster forgets an event after an hour; what the Job and its pods tell of themselves stays as long as they do. Where
both tell the same, it is told once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mlo_submit.backends.kubernetes import reasons, words
from mlo_submit.workload import Event, Pod, Workload, parse_time

# What is told otherwise: by the Job and its pods themselves, or by another event of the same moment.
TOLD = frozenset(
    {
        *("BackoffLimitExceeded", "Completed", "Created", "DeadlineExceeded", "FailedIndexes", "Resumed", "Started"),
        *(
            "CreatedWorkload",
            "FinishedWorkload",
            "PodFailurePolicy",
            "SuccessfulCreate",
            "SuccessfulDelete",
            "Suspended",
            "TaintManagerEviction",
        ),
    }
)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Something that happened `count` times, the last time at `at`; `pod` is empty where it happened to the Job."""

    at: datetime
    pod: str
    text: str
    warning: bool = False
    count: int = 1


def pods_of(job: Workload, events: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the pods that the Job had, as far as its events tell: also of those that are gone."""
    own = (event for event in events if _at(event) >= job.created)
    made = (re.fullmatch(r"Created pod: (\S+)", event.get("message", "")) for event in own)
    return [found[1] for found in made if found]


def timeline(
    job: Workload, raw: Mapping[str, Any], pods: Sequence[Pod], events: Sequence[Mapping[str, Any]]
) -> list[Event]:
    """What happened, the oldest first.

    Args:
        job: whose timeline it is.
        raw: the Job as the API has it; empty where another kind of object makes the pods.
        pods: all that are there, also those that others have replaced.
        events: of the Job and its pods; those of an earlier job of that name are left out.
    """
    several = len(job.pods) > 1
    moments: dict[tuple[str, str], Moment] = {(each.pod, each.text): each for each in _lived(job, raw, pods)}
    lived = set(moments)
    for moment in _told(job, raw, pods, events):
        key = (moment.pod, moment.text)
        if key in lived or not moment.text:
            continue
        if before := moments.get(key):
            moment = replace(moment, at=max(moment.at, before.at), count=moment.count + before.count)
        moments[key] = moment
    return [
        Event(
            at=moment.at,
            text=(f"{moment.pod}: " if several and moment.pod else "")
            + moment.text
            + (f" ({moment.count} times)" if moment.count > 1 else ""),
            warning=moment.warning,
        )
        for moment in sorted(moments.values(), key=lambda moment: moment.at)
    ]


def _lived(job: Workload, raw: Mapping[str, Any], pods: Sequence[Pod]) -> Iterator[Moment]:
    """What the Job and its pods tell of themselves."""
    yield Moment(at=job.created, pod="", text="created")
    for condition in raw.get("status", {}).get("conditions") or []:
        at = parse_time(condition.get("lastTransitionTime"))
        if condition["type"] == "Suspended" and at:
            yield Moment(at=at, pod="", text="suspended" if condition["status"] == "True" else "resumed")
    for pod in pods:
        if pod.started:
            yield Moment(at=pod.started, pod=pod.name, text=f"runs on {pod.node}")
        if pod.finished and not (job.ended and (pod.state, pod.reason) == (job.state, job.reason)):
            text = "its pod ended" + (f": {pod.reason}" if pod.reason else "")
            yield Moment(at=pod.finished, pod=pod.name, text=text, warning=pod.state == "Failed")
    if job.finished:
        text = job.state.lower() + (f": {job.reason}" if job.reason else "")
        yield Moment(at=job.finished, pod="", text=text, warning=job.state == "Failed")


def _told(
    job: Workload, raw: Mapping[str, Any], pods: Sequence[Pod], events: Sequence[Mapping[str, Any]]
) -> Iterator[Moment]:
    """What the events tell."""
    known = {pod.name for pod in pods if pod.started}
    wants = words.asked(raw["spec"]["template"], "requests") if raw else {}
    for event in events:
        series, about = event.get("series") or {}, event["involvedObject"]
        if _at(event) < job.created:
            continue
        yield Moment(
            at=_at(event),
            pod=about["name"] if about.get("kind") == "Pod" else "",
            text=plain(event, job.image, wants, known=about["name"] in known),
            warning=event.get("type") == "Warning",
            # Kueue may tell several times that it stops a job, until it sees that the job has stopped.
            count=1 if event.get("reason") == "Stopped" else series.get("count") or event.get("count") or 1,
        )


def _at(event: Mapping[str, Any]) -> datetime:
    """When it happened last; events are of two kinds."""
    last = (event.get("series") or {}).get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return parse_time(last) or datetime.fromisoformat(event["metadata"]["creationTimestamp"].replace("Z", "+00:00"))


def plain(event: Mapping[str, Any], image: str, wants: Mapping[str, str], *, known: bool) -> str:
    """An event in plain words; empty where it is told otherwise. `known`: its pod tells of itself when it ran."""
    reason, message = event.get("reason", ""), event.get("message", "")
    if reason in ("Scheduled", "Binding") and (node := re.search(r" to (\S+)$", message)):
        return f"placed on {node[1]}"
    if message.startswith("Admitted by clusterQueue"):
        return "admitted by its queue"
    if reason == "Stopped" and message.startswith("Preempted to accommodate"):
        return "gave way to another job of its queue"
    if reason == "Started" and not known:
        return "runs"
    if reason in TOLD or re.match(r"Error: (?:ErrImage|ImagePull)|Back-off pulling", message):
        return ""
    if reason == "FailedScheduling":
        return reasons.placement(message, wants)
    if reason == "FailedCreate":
        return reasons.creation(message)
    if reason == "Evicted":
        return reasons.eviction(message)
    if reason == "Preempted":
        return reasons.disruption("PreemptionByScheduler", "")
    if reason == "Pulling":
        return f"pulls the image {image}"
    if reason == "Pulled":
        took = re.search(r" in (\S+) ", message)
        return f"the image is there, after {took[1]}" if took else "the image is on the node already"
    if reason == "Killing":
        return "its pod is asked to end"
    if message.startswith("Failed to pull image"):
        return reasons.pull(image, "ErrImagePull", message)
    return reasons.configuration(message.removeprefix("Error: "))
