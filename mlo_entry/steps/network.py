"""Multi-node: tells what `environment` hands on for NCCL over RDMA, or why it goes without."""

from __future__ import annotations

from .. import network
from ..actions import ROOT, Tell, Warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..actions import Action
    from ..host import Host
    from ..settings import Settings


def plan(settings: Settings, host: Host) -> Iterator[Action]:
    """A line for what was chosen, a WARNING for what was asked for and cannot be had."""
    found = network.rdma(settings.environ, host.rdma)
    if found.chosen:
        yield Tell(ROOT, found.chosen)
    if found.missing:
        yield Warn(ROOT, found.missing)
