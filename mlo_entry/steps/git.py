"""Who commits, and which directories git may trust."""

from __future__ import annotations

import os

from ..actions import ROOT, USER, SetGitIdentity, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..actions import Action
    from ..host import Host
    from ..settings import Settings


def plan(settings: Settings, host: Host) -> Iterator[Action]:
    """The user's identity, where they gave one; the directories that the seed user owns are no "dubious" ones."""
    if settings.git_name or settings.git_email:
        yield SetGitIdentity(USER, settings.git_config, settings.git_name, settings.git_email)
    text = host.gitconfig
    for path in dict.fromkeys([settings.scratch_home, settings.working_dir]):
        line = '\tdirectory = "{}"\n'.format(path.replace("\\", "\\\\").replace('"', '\\"'))
        if line not in text:
            text += f"[safe]\n{line}"
    if text != host.gitconfig:
        yield WriteFile(ROOT, "/etc/gitconfig", os.fsencode(text), 0o644)
