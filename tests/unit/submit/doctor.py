"""What the tests of `mlo-submit doctor` share."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.submit.conftest import Invoke


def examine(invoke: Invoke, backend: str = "kubernetes") -> dict[str, dict[str, Any]]:
    """What the doctor finds, by check; its exit code must be that of its findings."""
    result = invoke("--backend", backend, "doctor", "--json")
    found = {item["check"]: item for item in json.loads(result.stdout)}
    assert result.exit_code == (1 if any(item["ok"] is False for item in found.values()) else 0)
    assert "the check itself failed" not in result.output
    return found
