"""The directories on scratch: the home, the working directory, and the shared Hugging Face cache."""

from __future__ import annotations

import os

from ..actions import USER, UseDir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..actions import Action
    from ..host import Host
    from ..settings import Settings


def plan(settings: Settings, host: Host) -> Iterator[Action]:
    """The user looks, the seed user makes what is missing: a root-squashed export refuses root, its root the user."""
    everything = os.R_OK | os.W_OK | os.X_OK
    home = settings.scratch_home
    for path, purpose, required, access in (
        (home, "SCRATCH_HOME", True, everything),
        (settings.working_dir, "WORKING_DIR", True, os.X_OK),
        (settings.hf_home, "HF_HOME", False, everything),
    ):
        shared = home.startswith(f"{path.rstrip('/')}/")  # what lies above the home is everybody's: it stays as it is
        seed = "" if shared else settings.seed_user
        yield UseDir(USER, path, settings.gid, home, settings.user, purpose, required, access, seed)
