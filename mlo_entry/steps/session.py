"""What the hand-off and later `exec` sessions read: the job's environment, for the user alone."""

from __future__ import annotations

from .. import environment
from ..actions import ROOT, Warn, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..actions import Action
    from ..host import Host
    from ..settings import Settings

ENV_SH = "/run/mlo/env.sh"
JOB_SH = "/run/mlo/job.sh"


def plan(settings: Settings, host: Host) -> Iterator[Action]:
    """Two scripts, one for the shells of sessions and one for the hand-off."""
    job = environment.job(settings, host)
    scripts = (
        (ENV_SH, environment.session_script(settings, host)),
        (JOB_SH, environment.job_script(job.script)),
    )
    for path, content in scripts:
        yield WriteFile(ROOT, path, content, 0o400, settings.uid, settings.gid, required=True)
    if job.lost:
        yield Warn(ROOT, f"no program can pass these variables on to the command: {', '.join(map(repr, job.lost))}")
