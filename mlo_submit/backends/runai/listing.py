"""How run:ai lists its workloads: version 1 as a table for people, version 2 as JSON. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from mlo_submit.backends.runai.cli import DISTRIBUTED, TRAINING, WORKSPACE, Group, find
from mlo_submit.workload import parse_time

UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
NOWHERE = frozenset({"", "-", "<none>", "<multiple>", "N/A"})


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A workload as run:ai lists it, `status` in its own words; `gpus` is for each pod.

    `created` is up to `late` after the creation, of which version 1 tells no more than "3h" ago.
    """

    name: str
    status: str
    group: Group
    created: datetime
    late: timedelta = timedelta()
    message: str = ""
    user: str = ""
    image: str = ""
    node: str = ""
    gpus: int = 0


def from_table(text: str, now: datetime) -> list[Listed]:
    """The rows of `runai list jobs`. Columns are where their titles are.

    Raises:
        ValueError: it is neither a table nor says that there are no jobs.
    """
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if re.match(r"NAME\s", line)), None)
    if start is None:
        return _none(text)
    titles = list(re.finditer(r"\S+(?: \S+)*", lines[start]))
    ends = [*(title.start() for title in titles[1:]), None]
    spans = [(title[0].split()[0], slice(title.start(), end)) for title, end in zip(titles, ends, strict=True)]
    rows = [{title: line[span].strip() for title, span in spans} for line in lines[start + 1 :]]
    return [_row(cells, now) for cells in rows if cells["NAME"]]


def _none(text: str) -> list[Listed]:
    if text.strip() and not re.search(r"\bno (\w+ )?(jobs|workloads)\b", text, re.IGNORECASE):
        raise ValueError(text.strip())
    return []


def _row(cells: Mapping[str, str], now: datetime) -> Listed:
    node = cells.get("NODE", "")
    requested = _numbers(cells.get("GPUs", ""))[-1:]  # "allocated (requested)", or "allocated/requested"
    pods = sum(_numbers(cells.get("PODs", "")))  # "running (pending)"
    age, unit = _age(cells.get("AGE", ""))
    return Listed(
        name=cells["NAME"],
        status=cells.get("STATUS", ""),
        group=group_of(cells.get("TYPE", "")),
        created=now - age,
        late=unit,
        user=cells.get("USER", ""),
        image=cells.get("IMAGE", ""),
        node="" if node in NOWHERE else node,
        gpus=math.ceil(sum(requested) / max(pods, 1)),
    )


def _numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell)]


def _age(cell: str) -> tuple[timedelta, timedelta]:
    """An age, and the unit in which it is told."""
    parts = [(int(count), UNITS[unit]) for count, unit in re.findall(r"(\d+)([smhd])", cell)]
    return sum((count * unit for count, unit in parts), timedelta()), parts[-1][1] if parts else UNITS["s"]


def from_json(text: str, now: datetime) -> list[Listed]:
    """The workloads of `runai workload list --json`: a list, or an object that holds one.

    Raises:
        ValueError: it is neither JSON nor says that there are no workloads.
    """
    try:
        answer: object = json.loads(text)
    except ValueError:
        return _none(text)
    items = answer if isinstance(answer, list) else find(answer, {"workloads", "items", "data"}, list) or []
    return [_item(item, now) for item in items if isinstance(item, dict)]


def _item(item: Mapping[str, Any], now: datetime) -> Listed:
    images = find(item, {"images"}, list) or []
    return Listed(
        name=find(item, {"name", "workloadname"}, str) or "",
        status=status_of(item),
        group=group_of(find(item, {"type", "workloadtype", "kind"}, str) or ""),
        created=time_of(item, {"createdat", "creationtime", "creationtimestamp", "created"}) or now,
        message=find(item, {"phasemessage", "statusmessage"}, str) or "",
        user=find(item, {"submittedby", "createdby", "user"}, str) or "",
        image=find(item, {"image"}, str) or next((image for image in images if isinstance(image, str)), ""),
        node=find(item, {"node", "nodename"}, str) or "",
        gpus=_gpus(item),
    )


def _gpus(item: Mapping[str, Any]) -> int:
    each = _requested(find(item, {"podsrequestedresources"}, dict))
    if each:
        return math.ceil(each)
    pods = find(find(item, {"requestedpods"}, dict), {"count"}, int) or 1
    return math.ceil(_requested(item) / pods)


def _requested(resources: object) -> float:
    gpu = find(resources, {"gpu"}, dict)
    return float(find(gpu, {"request"}, float) or find(gpu, {"request"}, int) or 0)


def status_of(answer: object) -> str:
    """The state of a job in run:ai's words; empty where it tells none."""
    return find(answer, {"status", "phase", "state"}, str) or ""


def time_of(answer: object, keys: set[str]) -> datetime | None:
    """A moment: RFC 3339, or in milliseconds since 1970."""
    if number := find(answer, keys, int):
        return datetime.fromtimestamp(number / 1000, timezone.utc)
    try:
        moment = parse_time(find(answer, keys, str))
    except ValueError:
        return None
    return moment.astimezone(timezone.utc) if moment else None


def group_of(kind: str) -> Group:
    """The commands of version 2 for a workload of this type, as either version names it."""
    low = kind.lower()
    if "distributed" in low or "pytorch" in low:
        return DISTRIBUTED
    return WORKSPACE if "workspace" in low or "interactive" in low else TRAINING
