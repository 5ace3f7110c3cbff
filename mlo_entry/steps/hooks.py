"""Programs of a derived image, which run as root before the hand-off."""

from __future__ import annotations

from ..actions import ROOT, RunHook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..actions import Action
    from ..host import Host
    from ..settings import Settings


def plan(settings: Settings, host: Host) -> Iterator[Action]:
    """Each executable of /etc/mlo/boot.d, in order of name, with the identity and the directories as environment."""
    environ = (
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("NB_USER", settings.user),
        ("NB_UID", str(settings.uid)),
        ("NB_GROUP", settings.group),
        ("NB_GID", str(settings.gid)),
        ("HOME", "/root"),
        ("SCRATCH_HOME", settings.scratch_home),
        ("WORKING_DIR", settings.working_dir),
    )
    for path in host.hooks:
        yield RunHook(ROOT, path, environ)
