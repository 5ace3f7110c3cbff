"""What later `exec` sessions read: the job's environment, for the user alone."""

from __future__ import annotations

from .. import environment, report
from ..actions import ROOT, Warn, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..actions import Action
    from ..host import Host
    from ..settings import Settings

ENV_SH = "/run/mlo/env.sh"


def plan(settings: Settings, host: Host) -> Iterator[Action]:
    """A script for their shells."""
    content = environment.session_script(settings, host)
    yield WriteFile(ROOT, ENV_SH, content, 0o400, settings.uid, settings.gid)
    if settings.environ.get(report.IDLE_VARIABLE):
        yield WriteFile(ROOT, report.IDLE_JSON, b"{}", 0o644, settings.uid, settings.gid)
    if lost := environment.lost(settings.environ):
        yield Warn(ROOT, f"no program can pass these variables on to the command: {', '.join(map(repr, lost))}")
