"""A job that trains, as a backend tells of it, for tests of what is made of that."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from mlo_submit.job import Flags
from mlo_submit.submission import encode
from mlo_submit.workload import Pod, Workload

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


def ago(**units: float) -> datetime:
    return NOW - timedelta(**units)


FLAGS = Flags(name="train", argv=("python", "train.py"), train=True, gpus=2, time=9000)
TRAIN = Workload(
    name="train",
    backend="kubernetes",
    user="jdoe",
    kind="training",
    state="Running",
    image="image:1",
    gpus=2,
    created=ago(hours=3),
    started=ago(hours=2, minutes=5),
    pods=(Pod(name="train-abcde", state="Running", node="gpu-1"),),
    submission=encode(FLAGS),
)
