"""How a log ends: in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mlo_submit.follow import end
from mlo_submit.workload import Workload
from tests.unit.submit.kubectl import BEGIN


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"state": "Succeeded"}, "x succeeded after 3h02m."),
        ({"state": "Failed", "reason": "OOM killed at 64Gi"}, "x failed after 3h02m: OOM killed at 64Gi."),
        ({"state": "Failed", "started": None}, "x failed."),
    ],
)
def test_how_a_job_ended(fields: dict[str, Any], says: str) -> None:
    base = {"started": BEGIN, "finished": BEGIN + timedelta(hours=3, minutes=2)}
    known = {**base, **fields}
    found = Workload(name="x", backend="docker", user="jdoe", kind="training", created=BEGIN, **known)
    assert end(found, BEGIN) == says
