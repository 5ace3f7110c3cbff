"""What can end a boot, with the container's exit code (sysexits.h).

    BootError
    ├── SettingsError      64  the pod's environment asks for what cannot be
    ├── RefusedError       71  the system does not let us: no_new_privs, a read-only /etc
    └── DirectoryError     73  a directory that the job needs cannot be had

Anything else that goes wrong is a warning, and the job goes on.
"""

from __future__ import annotations


class BootError(Exception):
    """The boot cannot go on; its message says what happened, why, and what to do."""

    exit_code: int


class SettingsError(BootError):
    """The pod's environment has bad values; the message lists every one."""

    exit_code = 64


class RefusedError(BootError):
    """The system refused what every boot needs."""

    exit_code = 71


class DirectoryError(BootError):
    """A directory that the job needs cannot be made or used."""

    exit_code = 73


def reason(error: OSError) -> str:
    """The error's text as part of a sentence: "permission denied"."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
