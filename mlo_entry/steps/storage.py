"""The directories on scratch: the home, the working directory, and the shared Hugging Face cache."""

from __future__ import annotations

import os

from ..actions import SEED, USER, ShareDir, UseDir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..actions import Action
    from ..host import Host
    from ..settings import Settings


def plan(settings: Settings, host: Host) -> Iterator[Action]:
    """The seed user makes what is missing: a root-squashed export refuses root. The user checks, and mends its own."""
    everything = os.R_OK | os.W_OK | os.X_OK
    directories = (
        (settings.scratch_home, "SCRATCH_HOME", True, everything),
        (settings.working_dir, "WORKING_DIR", True, os.X_OK),
        (settings.hf_home, "HF_HOME", False, everything),
    )
    within = settings.scratch_home
    for path, _, _, _ in directories:
        if not within.startswith(f"{path.rstrip('/')}/"):  # what lies above the home is everybody's
            yield ShareDir(SEED, path, settings.gid, within, settings.seed_user)
    for path, purpose, required, access in directories:
        yield UseDir(USER, path, settings.gid, within, settings.user, purpose, required, access)
