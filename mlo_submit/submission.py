"""The flags of a job, kept beside it, so that `rerun` can submit it again: JSON of what differs from the defaults.

Flags name secrets and hold none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from mlo_submit.errors import RefusedError
from mlo_submit.job import Flags, Mount

MAX = 64 * 1024  # characters; all annotations of an object may take 256 KiB


def encode(flags: Flags) -> str:
    """The flags as text; empty where they are too long to be kept."""
    default = asdict(Flags())
    text = json.dumps({key: value for key, value in asdict(flags).items() if value != default[key]}, sort_keys=True)
    return text if len(text) <= MAX else ""


def decode(text: str) -> Flags:
    """The flags that `encode` wrote.

    Raises:
        RefusedError: it did not write this text, or a later version did.
    """
    names = {field.name for field in fields(Flags)}
    try:
        found: dict[str, Any] = json.loads(text)
        unknown = found.keys() - names
        for name in ("argv", "node_types"):
            if name in found:
                found[name] = tuple(found[name])
        found["mounts"] = tuple(Mount(**mount) for mount in found.get("mounts", ()))
    except (ValueError, TypeError, AttributeError):
        unknown = {"what cannot be read"}
    if unknown:
        raise RefusedError(
            f"the job's submission holds {', '.join(sorted(unknown))}: another version of mlo-submit wrote it. "
            "Submit it anew with `mlo-submit run`."
        )
    return Flags(**found)
