"""The user and group of the pod, with passwordless sudo and a home in the container."""

from __future__ import annotations

from ..actions import ROOT, EditAccounts, MakePipe, OwnDir, WriteFile
from ..environment import JOB_SH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..actions import Action
    from ..host import Host
    from ..settings import Settings

# For root's own sudo, which is the hand-off: no PAM session and no pty, so that sudo becomes the command; umask 007,
# not its union with sudo's; limits as the runtime set them; no waiting for DNS. The user is named by uid: a name in
# capitals could be an alias.
SUDOERS = """\
Defaults:root !pam_session, !pam_setcred, !use_pty, !fqdn, umask=0007, umask_override, rlimit_core=user
#{uid} ALL=(ALL:ALL) NOPASSWD: ALL
"""


def plan(settings: Settings, host: Host) -> Iterator[Action]:
    """The user and group of the pod in the account files; sudo for the user; /home/<user>."""
    yield EditAccounts(
        ROOT,
        user=settings.user,
        uid=settings.uid,
        group=settings.group,
        gid=settings.gid,
        supplementary=host.groups,
    )
    sudoers = SUDOERS.format(uid=settings.uid).encode()
    yield WriteFile(ROOT, "/etc/sudoers.d/mlo", sudoers, 0o440, uid=0, gid=0, required=True)
    yield MakePipe(ROOT, JOB_SH, settings.uid, settings.gid)
    yield OwnDir(ROOT, settings.home, settings.uid, settings.gid, 0o750)
