"""The workloads of a run:ai project."""

from __future__ import annotations

from mlo_submit import backends
from mlo_submit.env import Config
from mlo_submit.errors import UnavailableError
from mlo_submit.machine import Machine


def connect(config: Config, machine: Machine) -> backends.Jobs:
    """Reach the project of .env."""
    raise UnavailableError("not written yet")
